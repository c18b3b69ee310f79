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
        let [images, tokens, channels] = shape.dims().try_into().map_err(|_| cx.error(format!("no tokens: {shape}")))?;
        let (class, positions) = (cx.weight(&[Some(1)], Packing::Flat)?, cx.weight(&[Some(2)], Packing::Flat)?);
        let (reads, output) = (vec![cx.activation(0)?, class, positions], cx.output());
        cx.step(cpu::EmbedTokens { images, tokens, channels, at: self.at }, reads, vec![output]);
        Ok(())
    }
}
