//! `global_avg_pool` on processor cores.

use super::GlobalAvgPool;
use crate::{
    error::Result,
    ops::Lower,
    program::{Cpu, Lowering, cpu},
};

impl Lower<Cpu> for GlobalAvgPool {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let shape = cx.shape(0);
        let images = shape.dims()[0];
        let kernel = cpu::GlobalAvgPool { images, positions: shape.rows() / images, channels: shape.last() };
        let (reads, output) = (vec![cx.activation(0)?], cx.output());
        cx.step(kernel, reads, vec![output]);
        Ok(())
    }
}
