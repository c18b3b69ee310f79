//! `avg_pool` on the GPU.

use super::{AdaptiveAvgPool, GlobalAvgPool, row};
use crate::{
    error::Result,
    ops::{Lower, conv2d::nhwc},
    program::{Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct PoolParams { bins: u32, rows: u32, columns: u32, height: u32, width: u32, channels4: u32 }
}

impl Lower<Gpu> for AdaptiveAvgPool {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let dims = nhwc(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        lower(cx, dims, self.size)
    }
}

impl Lower<Gpu> for GlobalAvgPool {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let dims = row(cx.shape(0));
        lower(cx, dims, [1, 1])
    }
}

fn lower(cx: &mut Lowering<'_>, dims: [usize; 4], [rows, columns]: [usize; 2]) -> Result<()> {
    let [images, height, width, channels] = dims;
    let (bins, channels4) = (images * rows * columns, padded_channels(channels) / 4);
    let params = PoolParams {
        bins: bins as u32,
        rows: rows as u32,
        columns: columns as u32,
        height: height as u32,
        width: width as u32,
        channels4: channels4 as u32,
    };
    let reads = vec![cx.activation(0)?];
    let workgroups = ((bins * channels4) as u64).div_ceil(64);
    cx.dispatch(Kernel::new("avg_pool"), reads, vec![cx.output()], params.block(), workgroups);
    Ok(())
}
