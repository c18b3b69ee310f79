//! `embed_tokens` on processor cores.

use super::EmbedTokens;
use crate::{
    error::Result,
    ops::Lower,
    packed::Packing,
    program::{Cpu, Lowering, cpu},
};

impl Lower<Cpu> for EmbedTokens {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let shape = cx.output_shape();
        let [samples, tokens, channels] = shape.dims().try_into().map_err(|_| cx.error(format!("no tokens: {shape}")))?;
        let (class, positions) = (cx.weight(&[Some(1)], Packing::Flat)?, cx.weight(&[Some(2)], Packing::Flat)?);
        // Images have the one place in time, which adds nothing.
        let frames = match cx.inputs() {
            3 => cx.weight(&[None], Packing::Vectors { len: channels, first: 0, defaults: vec![0] })?,
            _ => cx.weight(&[Some(3)], Packing::Flat)?,
        };
        let (reads, output) = (vec![cx.activation(0)?, class, positions, frames], cx.output());
        cx.step(cpu::EmbedTokens { samples, tokens, channels, at: self.at, frames: self.frames }, reads, vec![output]);
        Ok(())
    }
}
