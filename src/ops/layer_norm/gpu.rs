//! `layer_norm` and `rms_norm` on the GPU.

use super::{LayerNorm, RmsNorm};
use crate::{
    error::Result,
    ops::{Lower, choices::NORMS},
    packed::Packing,
    program::{Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct LayerNormParams { rows: u32, channels: u32, eps: f32 }
}

impl Lower<Gpu> for LayerNorm {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        lower(cx, Some(2), self.eps)
    }
}

impl Lower<Gpu> for RmsNorm {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        lower(cx, None, self.eps)
    }
}

/// Pushes the dispatch; what has a bias is centred too.
fn lower(cx: &mut Lowering<'_>, bias: Option<usize>, eps: f32) -> Result<()> {
    let shape = cx.shape(0);
    let len = padded_channels(shape.last());
    let vectors = cx.weight(&[Some(1), bias], Packing::Vectors { len, first: 0, defaults: vec![0, 0] })?;
    let team = cx.choose(&NORMS, [shape.rows(), shape.last(), 1])?.value;
    let params = LayerNormParams { rows: shape.rows() as u32, channels: shape.last() as u32, eps };
    let kernel = Kernel::new("layer_norm").with("TEAM", team).with("CENTRED", bias.is_some().into());
    let reads = vec![cx.activation(0)?, vectors];
    let rows_per_workgroup = u64::from(64 / team);
    cx.dispatch(kernel, reads, vec![cx.output()], params.block(), (shape.rows() as u64).div_ceil(rows_per_workgroup));
    Ok(())
}
