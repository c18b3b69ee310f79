//! `window` on the GPU.

use super::{WindowPartition, WindowReverse};
use crate::{
    error::Result,
    ops::{Lower, conv2d::nhwc},
    program::{Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct WindowParams { images: u32, height: u32, width: u32, size: u32, channels4: u32 }
}

impl Lower<Gpu> for WindowPartition {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let dims = nhwc(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        lower(cx, false, dims, self.size)
    }
}

impl Lower<Gpu> for WindowReverse {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let dims = self.output(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        lower(cx, true, dims, self.size)
    }
}

fn lower(cx: &mut Lowering<'_>, reverse: bool, dims: [usize; 4], size: usize) -> Result<()> {
    let [images, height, width, channels] = dims;
    let channels4 = padded_channels(channels) / 4;
    let params = WindowParams {
        images: images as u32,
        height: height as u32,
        width: width as u32,
        size: size as u32,
        channels4: channels4 as u32,
    };
    let threads = (cx.output_shape().rows() * channels4) as u64;
    let reads = vec![cx.activation(0)?];
    let kernel = Kernel::new("window").with("REVERSE", reverse.into());
    cx.dispatch(kernel, reads, vec![cx.output()], params.block(), threads.div_ceil(64));
    Ok(())
}
