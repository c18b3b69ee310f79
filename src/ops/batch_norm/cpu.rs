//! `batch_norm` on processor cores.

use super::BatchNorm;
use crate::{
    error::Result,
    ops::Lower,
    packed::Packing,
    program::{
        Cpu, Lowering,
        cpu::{Pointwise, PointwiseMode},
    },
};

impl Lower<Cpu> for BatchNorm {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let shape = cx.shape(0);
        let vectors = cx.weight(&[Some(1), Some(2), Some(3), Some(4)], Packing::Affine { eps: self.eps.to_bits() })?;
        let (reads, output) = (vec![cx.activation(0)?, vectors], cx.output());
        let kernel = Pointwise { mode: PointwiseMode::Affine, len: shape.len(), period: shape.last() };
        cx.step(kernel, reads, vec![output]);
        Ok(())
    }
}
