//! `layer_norm` on processor cores.

use super::LayerNorm;
use crate::{
    error::Result,
    ops::Lower,
    packed::Packing,
    program::{Cpu, Lowering, cpu},
};

impl Lower<Cpu> for LayerNorm {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let shape = cx.shape(0);
        let vectors = Packing::Vectors { len: shape.last(), first: 0, defaults: vec![0, 0] };
        let reads = vec![cx.activation(0)?, cx.weight(&[Some(1), Some(2)], vectors)?];
        let output = cx.output();
        cx.step(cpu::LayerNorm { rows: shape.rows(), channels: shape.last(), eps: self.eps }, reads, vec![output]);
        Ok(())
    }
}
