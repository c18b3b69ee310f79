//! Means over positions on processor cores.

use super::{AdaptiveAvgPool, GlobalAvgPool, row};
use crate::{
    error::Result,
    ops::{Lower, conv2d::nhwc},
    program::{Cpu, Lowering, cpu},
};

impl Lower<Cpu> for AdaptiveAvgPool {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let dims = nhwc(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        lower(cx, dims, self.size)
    }
}

impl Lower<Cpu> for GlobalAvgPool {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let dims = row(cx.shape(0));
        lower(cx, dims, [1, 1])
    }
}

fn lower(cx: &mut Lowering<'_, Cpu>, dims: [usize; 4], bins: [usize; 2]) -> Result<()> {
    let [images, height, width, channels] = dims;
    let (reads, output) = (vec![cx.activation(0)?], cx.output());
    cx.step(cpu::AvgPool { images, input: [height, width], bins, channels }, reads, vec![output]);
    Ok(())
}
