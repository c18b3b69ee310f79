//! `attention` on the GPU.

use super::Attention;
use crate::{
    error::Result,
    ops::Lower,
    program::{Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct AttentionParams { sequences: u32, length: u32, heads: u32, qkv_stride: u32, out_stride: u32, channels: u32, scale: f32 }
}

/// Queries a workgroup: one a thread.
const QUERIES: usize = 64;

/// A thread holds its query and its result in registers; wider heads would spill on every GPU.
const MAX_HEAD_DIM: usize = 128;

impl Lower<Gpu> for Attention {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let [b, l, c] = self.dims(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        let d = c / self.heads;
        if d > MAX_HEAD_DIM {
            return Err(cx.error(format!("heads of {d} channels are wider than {MAX_HEAD_DIM}, the most a kernel holds")));
        }
        let params = AttentionParams {
            sequences: b as u32,
            length: l as u32,
            heads: self.heads as u32,
            qkv_stride: padded_channels(3 * c) as u32,
            out_stride: padded_channels(c) as u32,
            channels: c as u32,
            scale: 1.0 / (d as f32).sqrt(),
        };
        let kernel = Kernel::new("attention").with("HEAD_DIM", d as u32);
        let reads = vec![cx.activation(0)?];
        let workgroups = (b * self.heads * l.div_ceil(QUERIES)) as u64;
        cx.dispatch(kernel, reads, vec![cx.output()], params.block(), workgroups);
        Ok(())
    }
}
