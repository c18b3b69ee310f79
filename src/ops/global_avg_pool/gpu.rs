//! `global_avg_pool` on the GPU.

use super::GlobalAvgPool;
use crate::{
    error::Result,
    ops::Lower,
    program::{Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct PoolParams { images: u32, positions: u32, channels4: u32 }
}

impl Lower<Gpu> for GlobalAvgPool {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shape = cx.shape(0);
        let images = shape.dims()[0];
        let channels4 = padded_channels(shape.last()) / 4;
        let params = PoolParams { images: images as u32, positions: (shape.rows() / images) as u32, channels4: channels4 as u32 };
        let reads = vec![cx.activation(0)?];
        let workgroups = ((images * channels4) as u64).div_ceil(64);
        cx.dispatch(Kernel::new("global_avg_pool"), reads, vec![cx.output()], params.block(), workgroups);
        Ok(())
    }
}
