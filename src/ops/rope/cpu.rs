//! `rope` on processor cores.

use super::Rope;
use crate::{
    error::Result,
    ops::Lower,
    packed::Packing,
    program::{Cpu, Lowering, cpu},
};

impl Lower<Cpu> for Rope {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let shape = cx.shape(0);
        let kernel = cpu::Rope {
            tokens: shape.rows(),
            image_tokens: shape.dims()[1],
            width: cx.shape(2).dims()[0],
            parts: self.parts,
            channels: shape.last() / self.parts,
        };
        let table = Packing::Flat;
        let tables = [cx.weight(&[Some(1)], table.clone())?, cx.weight(&[Some(2)], table)?];
        let (reads, output) = (vec![cx.activation(0)?, tables[0], tables[1]], cx.output());
        cx.step(kernel, reads, vec![output]);
        Ok(())
    }
}
