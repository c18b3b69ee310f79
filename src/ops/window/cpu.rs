//! Windows on processor cores.

use super::{WindowPartition, WindowReverse};
use crate::{
    error::Result,
    ops::{Lower, conv2d::nhwc},
    program::{Cpu, Lowering, cpu::Window},
};

impl Lower<Cpu> for WindowPartition {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let dims = nhwc(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        lower(cx, false, dims, self.size)
    }
}

impl Lower<Cpu> for WindowReverse {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let dims = self.output(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        lower(cx, true, dims, self.size)
    }
}

fn lower(cx: &mut Lowering<'_, Cpu>, reverse: bool, dims: [usize; 4], size: usize) -> Result<()> {
    let [images, height, width, channels] = dims;
    let (reads, output) = (vec![cx.activation(0)?], cx.output());
    cx.step(Window { images, height, width, size, channels, reverse }, reads, vec![output]);
    Ok(())
}
