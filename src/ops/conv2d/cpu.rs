//! `conv2d` on processor cores.

use super::Conv2d;
use crate::{
    error::Result,
    ops::{Lower, gemm},
    program::{Cpu, Lowering},
};

impl Lower<Cpu> for Conv2d {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let geometry = self.geometry(cx.shape(0), cx.shape(1)).map_err(|reason| cx.error(reason))?;
        gemm::lower_cpu(cx, &geometry, &self.epilogue)
    }
}
