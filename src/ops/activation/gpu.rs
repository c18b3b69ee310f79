//! `activation` on the GPU.

use super::Activation;
use crate::{
    error::Result,
    ops::{Lower, pointwise},
    program::{Gpu, Lowering},
};

impl Lower<Gpu> for Activation {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        pointwise::lower(cx, pointwise::Mode::Activation(self.0))
    }
}
