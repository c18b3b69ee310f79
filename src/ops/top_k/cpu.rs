//! `top_k` on processor cores.

use super::TopK;
use crate::{
    error::Result,
    ops::Lower,
    program::{Cpu, Lowering, cpu},
};

impl Lower<Cpu> for TopK {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let shape = cx.shape(0);
        let kernel = cpu::TopK { rows: shape.rows(), classes: shape.last(), k: self.k, temperature: self.temperature };
        let (reads, output) = (vec![cx.activation(0)?], cx.output());
        cx.step(kernel, reads, vec![output]);
        Ok(())
    }
}
