//! `take_token` on the GPU.

use super::TakeToken;
use crate::{
    error::Result,
    ops::Lower,
    program::{Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct TakeTokenParams { images: u32, tokens: u32, channels4: u32, at: u32 }
}

impl Lower<Gpu> for TakeToken {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let [images, tokens, channels] = self.dims(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        let channels4 = padded_channels(channels) / 4;
        let params =
            TakeTokenParams { images: images as u32, tokens: tokens as u32, channels4: channels4 as u32, at: self.at as u32 };
        let threads = (images * channels4) as u64;
        let reads = vec![cx.activation(0)?];
        cx.dispatch(Kernel::new("take_token"), reads, vec![cx.output()], params.block(), threads.div_ceil(64));
        Ok(())
    }
}
