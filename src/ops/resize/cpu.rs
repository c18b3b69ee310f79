//! `resize` on processor cores.

use super::Resize;
use crate::{
    error::Result,
    ops::{Lower, conv2d::nhwc},
    program::{Cpu, Lowering, cpu},
};

impl Lower<Cpu> for Resize {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let [images, height, width, channels] = nhwc(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        let kernel = cpu::Resize { images, input: [height, width], output: self.size, channels, nearest: self.nearest };
        let (reads, output) = (vec![cx.activation(0)?], cx.output());
        cx.step(kernel, reads, vec![output]);
        Ok(())
    }
}
