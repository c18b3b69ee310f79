//! `resize` on the GPU.

use super::Resize;
use crate::{
    error::Result,
    ops::{Lower, conv2d::nhwc},
    program::{Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct ResizeParams { positions: u32, height: u32, width: u32, rows: u32, columns: u32, channels4: u32 }
}

impl Lower<Gpu> for Resize {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let [images, height, width, channels] = nhwc(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        let [rows, columns] = self.size;
        let (positions, channels4) = (images * rows * columns, padded_channels(channels) / 4);
        let params = ResizeParams {
            positions: positions as u32,
            height: height as u32,
            width: width as u32,
            rows: rows as u32,
            columns: columns as u32,
            channels4: channels4 as u32,
        };
        let kernel = Kernel::new("resize").with("NEAREST", self.nearest.into());
        let reads = vec![cx.activation(0)?];
        let workgroups = ((positions * channels4) as u64).div_ceil(64);
        cx.dispatch(kernel, reads, vec![cx.output()], params.block(), workgroups);
        Ok(())
    }
}
