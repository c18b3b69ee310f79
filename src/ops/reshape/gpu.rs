//! `reshape` on the GPU.

use super::Reshape;
use crate::{
    error::Result,
    ops::Lower,
    program::{Gpu, Lowering},
};

impl Lower<Gpu> for Reshape {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        Err(cx.error("a reshape shares its input's buffer and is never lowered"))
    }
}
