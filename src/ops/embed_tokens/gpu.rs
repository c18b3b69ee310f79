//! `embed_tokens` on the GPU.

use super::EmbedTokens;
use crate::{
    error::Result,
    ops::Lower,
    packed::Packing,
    program::{CHANNEL_ALIGN, Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct EmbedTokensParams { samples: u32, tokens: u32, channels4: u32, at: u32, patches: u32 }
}

impl Lower<Gpu> for EmbedTokens {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shape = cx.output_shape();
        let [samples, tokens, channels] = shape.dims().try_into().map_err(|_| cx.error(format!("no tokens: {shape}")))?;
        let channels4 = padded_channels(channels) / 4;
        let params = EmbedTokensParams {
            samples: samples as u32,
            tokens: tokens as u32,
            channels4: channels4 as u32,
            at: self.at as u32,
            patches: ((tokens - 1) / self.frames).max(1) as u32,
        };
        let rows = Packing::Rows { align: CHANNEL_ALIGN };
        let vector = Packing::Vectors { len: channels4 * 4, first: 0, defaults: vec![0] };
        // Images have the one place in time, which adds nothing.
        let frames = match cx.inputs() {
            3 => cx.weight(&[None], vector.clone())?,
            _ => cx.weight(&[Some(3)], rows.clone())?,
        };
        let reads = vec![cx.activation(0)?, cx.weight(&[Some(1)], vector)?, cx.weight(&[Some(2)], rows)?, frames];
        let threads = (samples * tokens * channels4) as u64;
        cx.dispatch(Kernel::new("embed_tokens"), reads, vec![cx.output()], params.block(), threads.div_ceil(64));
        Ok(())
    }
}
