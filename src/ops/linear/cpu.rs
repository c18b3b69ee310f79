//! `linear` on processor cores.

use super::{Linear, geometry};
use crate::{
    error::Result,
    ops::{Lower, gemm},
    program::{Cpu, Lowering},
};

impl Lower<Cpu> for Linear {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        gemm::lower_cpu(cx, &geometry(cx.shape(0), cx.shape(1)), &self.epilogue)
    }
}
