//! `depthwise_conv2d` on the GPU.

use super::DepthwiseConv2d;
use crate::{
    error::Result,
    ops::{Lower, conv2d::nhwc},
    packed::Packing,
    program::{CHANNEL_ALIGN, Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct DepthwiseParams {
        in_h: u32,
        in_w: u32,
        channels: u32,
        images: u32,
        out_h: u32,
        out_w: u32,
        kernel_h: u32,
        kernel_w: u32,
        stride: u32,
        pad_y: u32,
        pad_x: u32,
        passed: u32,
    }
}

const WORKGROUP: u64 = 64;

impl Lower<Gpu> for DepthwiseConv2d {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let [b, h, w, c] = nhwc(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        let [_, oh, ow, _] = self.output(cx.shape(0), cx.shape(1)).map_err(|reason| cx.error(reason))?;
        let (kh, kw) = (cx.shape(1).dims()[2], cx.shape(1).dims()[3]);
        let weight = cx.weight(
            &[Some(1)],
            Packing::Taps { taps: kh * kw, lead: self.passed % CHANNEL_ALIGN, channels: c - self.passed, align: CHANNEL_ALIGN },
        )?;
        let (kernel, [vectors, residual, gate]) =
            self.epilogue.bind(cx, Kernel::new("depthwise_conv2d"), 0, padded_channels(c))?;
        let channels4 = padded_channels(c) / 4;
        let params = DepthwiseParams {
            in_h: h as u32,
            in_w: w as u32,
            channels: c as u32,
            images: b as u32,
            out_h: oh as u32,
            out_w: ow as u32,
            kernel_h: kh as u32,
            kernel_w: kw as u32,
            stride: self.stride as u32,
            pad_y: self.padding[0][0] as u32,
            pad_x: self.padding[1][0] as u32,
            passed: self.passed as u32,
        };
        let threads = (b * oh * ow * channels4) as u64;
        let reads = vec![cx.activation(0)?, weight, vectors, residual, gate];
        cx.dispatch(kernel, reads, vec![cx.output()], params.block(), threads.div_ceil(WORKGROUP));
        Ok(())
    }
}
