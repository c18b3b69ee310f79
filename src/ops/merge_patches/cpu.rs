//! `merge_patches` on processor cores.

use super::MergePatches;
use crate::{
    error::Result,
    ops::{Lower, conv2d::nhwc},
    program::{Cpu, Lowering, cpu},
};

impl Lower<Cpu> for MergePatches {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let [images, height, width, channels] = nhwc(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        let (reads, output) = (vec![cx.activation(0)?], cx.output());
        cx.step(cpu::MergePatches { images, height, width, channels }, reads, vec![output]);
        Ok(())
    }
}
