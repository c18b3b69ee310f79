//! `conv2d` on the GPU.

use super::Conv2d;
use crate::{
    error::Result,
    ops::{Lower, gemm},
    program::{Gpu, Lowering},
};

impl Lower<Gpu> for Conv2d {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let geometry = self.geometry(cx.shape(0), cx.shape(1)).map_err(|reason| cx.error(reason))?;
        gemm::lower(cx, &geometry, &self.epilogue)
    }
}
