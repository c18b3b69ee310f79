//! Pointwise work on processor cores.

use super::{Add, Mul, Scale};
use crate::{
    error::Result,
    ops::Lower,
    packed::Packing,
    program::{
        Cpu, Lowering,
        cpu::{Pointwise, PointwiseMode},
    },
};

impl Lower<Cpu> for Add {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        lower_cpu(cx, PointwiseMode::Add)
    }
}

impl Lower<Cpu> for Mul {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        lower_cpu(cx, PointwiseMode::Mul)
    }
}

impl Lower<Cpu> for Scale {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        lower_cpu(cx, PointwiseMode::Mul)
    }
}

/// Pushes the step; a partner shorter than the result repeats in every row.
pub(in crate::ops) fn lower_cpu(cx: &mut Lowering<'_, Cpu>, mode: PointwiseMode) -> Result<()> {
    let len = cx.output_shape().len();
    let mut reads = vec![cx.operand(0, Packing::Flat)?];
    let mut period = len;
    if !matches!(mode, PointwiseMode::Act(_)) {
        period = cx.shape(1).len();
        reads.push(cx.operand(1, Packing::Flat)?);
    }
    let output = cx.output();
    cx.step(Pointwise { mode, len, period }, reads, vec![output]);
    Ok(())
}
