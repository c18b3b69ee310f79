//! `linear` on the GPU.

use super::{Linear, geometry};
use crate::{
    error::Result,
    ops::{Lower, gemm},
    program::{Gpu, Lowering},
};

impl Lower<Gpu> for Linear {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        gemm::lower(cx, &geometry(cx.shape(0), cx.shape(1)), &self.epilogue)
    }
}
