//! `arg_max` on processor cores.

use super::ArgMax;
use crate::{
    error::Result,
    ops::{Lower, conv2d::nhwc},
    program::{Cpu, Lowering, cpu},
};

impl Lower<Cpu> for ArgMax {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let [images, height, width, channels] = nhwc(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        let kernel = cpu::ArgMax { images, input: [height, width], through: self.through, output: self.size, channels };
        let (reads, output) = (vec![cx.activation(0)?], cx.output());
        cx.step(kernel, reads, vec![output]);
        Ok(())
    }
}
