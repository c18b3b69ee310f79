//! `layer_norm` and `rms_norm` on processor cores.

use super::{LayerNorm, RmsNorm};
use crate::{
    error::Result,
    ops::Lower,
    packed::Packing,
    program::{Cpu, Lowering, cpu},
};

impl Lower<Cpu> for LayerNorm {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        lower(cx, Some(2), self.eps)
    }
}

impl Lower<Cpu> for RmsNorm {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        lower(cx, None, self.eps)
    }
}

/// Pushes the step; what has a bias is centred too.
fn lower(cx: &mut Lowering<'_, Cpu>, bias: Option<usize>, eps: f32) -> Result<()> {
    let (rows, channels) = (cx.shape(0).rows(), cx.shape(0).last());
    let vectors = Packing::Vectors { len: channels, first: 0, defaults: vec![0, 0] };
    let reads = vec![cx.activation(0)?, cx.weight(&[Some(1), bias], vectors)?];
    let output = cx.output();
    cx.step(cpu::LayerNorm { rows, channels, eps, centred: bias.is_some() }, reads, vec![output]);
    Ok(())
}
