//! `reshape` on processor cores.

use super::Reshape;
use crate::{
    error::Result,
    ops::Lower,
    program::{Cpu, Lowering},
};

impl Lower<Cpu> for Reshape {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        Err(cx.error("a reshape shares its input's buffer and is never lowered"))
    }
}
