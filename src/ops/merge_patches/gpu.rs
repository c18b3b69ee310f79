//! `merge_patches` on the GPU.

use super::MergePatches;
use crate::{
    error::Result,
    ops::{Lower, conv2d::nhwc},
    program::{Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct MergePatchesParams { images: u32, height: u32, width: u32, channels: u32 }
}

impl Lower<Gpu> for MergePatches {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let [images, height, width, channels] = nhwc(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        let params =
            MergePatchesParams { images: images as u32, height: height as u32, width: width as u32, channels: channels as u32 };
        let shape = cx.output_shape();
        let threads = (shape.rows() * padded_channels(shape.last()) / 4) as u64;
        let reads = vec![cx.activation(0)?];
        cx.dispatch(Kernel::new("merge_patches"), reads, vec![cx.output()], params.block(), threads.div_ceil(64));
        Ok(())
    }
}
