//! `depthwise_conv2d` on processor cores.

use super::DepthwiseConv2d;
use crate::{
    error::Result,
    ops::{Lower, conv2d::nhwc},
    packed::Packing,
    program::{Cpu, Lowering, cpu},
};

impl Lower<Cpu> for DepthwiseConv2d {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let [images, h, w, channels] = nhwc(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        let [_, oh, ow, _] = self.output(cx.shape(0), cx.shape(1)).map_err(|reason| cx.error(reason))?;
        let kernel = [cx.shape(1).dims()[2], cx.shape(1).dims()[3]];
        let weight = cx.weight(
            &[Some(1)],
            Packing::Taps { taps: kernel[0] * kernel[1], lead: 0, channels: channels - self.passed, align: 1 },
        )?;
        let [vectors, residual, gate] = self.epilogue.bind_cpu(cx, channels)?;
        let kernel = cpu::DepthwiseConv2d {
            images,
            input: [h, w],
            channels,
            output: [oh, ow],
            kernel,
            stride: self.stride,
            padding: self.padding.map(|[before, _]| before),
            passed: self.passed,
            epilogue: self.epilogue.into(),
        };
        let (reads, output) = (vec![cx.activation(0)?, weight, vectors, residual, gate], cx.output());
        cx.step(kernel, reads, vec![output]);
        Ok(())
    }
}
