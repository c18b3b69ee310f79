//! `activation` on processor cores.

use super::Activation;
use crate::{
    error::Result,
    ops::{Lower, pointwise},
    program::{Cpu, Lowering, cpu::PointwiseMode},
};

impl Lower<Cpu> for Activation {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        pointwise::lower_cpu(cx, PointwiseMode::Act(self.0))
    }
}
