//! y = epilogue(depthwise conv(x)): one filter a channel, over NHWC images.

use crate::{
    error::Result,
    ops::{
        Epilogue, Operator,
        conv2d::{conv_extent, nhwc},
        math,
    },
    platform,
    program::{Kernel, Lowering, Packing, Params, padded_channels, params},
    tensor::{Shape, Tensor},
};

/// Inputs: x `(B, H, W, C)`, weight `[C, 1, kh, kw]`, then the parts of the epilogue. Output: `(B, H', W', C)`.
///
/// A 1-D convolution over tokens `(B, L, C)` is the same with H = 1 and a kernel of 1 x k.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepthwiseConv2d {
    /// Step in both directions.
    pub stride: usize,
    /// Zeros above and left (and as many below and right): `[vertical, horizontal]`.
    pub padding: [usize; 2],
    /// What happens to the result.
    pub epilogue: Epilogue,
}

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
    }
}

const WORKGROUP: u64 = 64;

impl DepthwiseConv2d {
    fn output(&self, x: &Shape, weight: &Shape) -> std::result::Result<[usize; 4], String> {
        let [b, h, w, c] = nhwc(x)?;
        match *weight.dims() {
            [n, 1, kh, kw] if n == c => {
                Ok([b, conv_extent(h, kh, self.stride, self.padding[0])?, conv_extent(w, kw, self.stride, self.padding[1])?, c])
            }
            _ => Err(format!("weight must be [{c}, 1, kh, kw] for an input {x}, found {weight}")),
        }
    }
}

impl Operator for DepthwiseConv2d {
    fn name(&self) -> &'static str {
        "depthwise_conv2d"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x, weight, ..] = inputs else { return Err(format!("needs at least 2 inputs, found {}", inputs.len())) };
        let out = Shape::from(self.output(x, weight)?);
        self.epilogue.check(inputs, &out)?;
        Ok(out)
    }

    fn macs(&self, inputs: &[&Shape], output: &Shape) -> u64 {
        output.len() as u64 * (inputs[1].len() / output.last().max(1)) as u64
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let misfit = |reason| crate::Error::Shape { op: self.name(), node: String::new(), reason };
        let [_, h, w, c] = nhwc(inputs[0].shape()).map_err(misfit)?;
        let out_dims = self.output(inputs[0].shape(), inputs[1].shape()).map_err(misfit)?;
        let [_, oh, ow, _] = out_dims;
        let (kh, kw) = (inputs[1].shape().dims()[2], inputs[1].shape().dims()[3]);
        let x = inputs[0].to_f32();
        // (taps, C), so that the inner loop runs over channels.
        let mut filter = vec![0.0; kh * kw * c];
        for (channel, taps) in inputs[1].to_f32().chunks_exact(kh * kw).enumerate() {
            for (tap, value) in taps.iter().enumerate() {
                filter[tap * c + channel] = *value;
            }
        }
        let epilogue = self.epilogue.prepare(inputs);
        let mut out = vec![0.0; Shape::from(out_dims).len()];
        platform::par_chunks_mut(&mut out, ow * c, |row, out| {
            let (image, oy) = (row / oh, row % oh);
            for ky in 0..kh {
                let Some(y) = (oy * self.stride + ky).checked_sub(self.padding[0]).filter(|y| *y < h) else { continue };
                for (ox, pixel) in out.chunks_exact_mut(c).enumerate() {
                    for kx in 0..kw {
                        let Some(x0) = (ox * self.stride + kx).checked_sub(self.padding[1]).filter(|x| *x < w) else { continue };
                        let from = ((image * h + y) * w + x0) * c;
                        let taps = &filter[(ky * kw + kx) * c..][..c];
                        math::multiply_add(pixel, &x[from..from + c], taps);
                    }
                }
            }
            epilogue.apply(out, c, row * ow);
        });
        Tensor::from_f32(out_dims, out)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let [b, h, w, c] = nhwc(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        let [_, oh, ow, _] = self.output(cx.shape(0), cx.shape(1)).map_err(|reason| cx.error(reason))?;
        let (kh, kw) = (cx.shape(1).dims()[2], cx.shape(1).dims()[3]);
        let weight = cx.weight(&[Some(1)], Packing::Taps { taps: kh * kw, channels: c })?;
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
            pad_y: self.padding[0] as u32,
            pad_x: self.padding[1] as u32,
        };
        let threads = (b * oh * ow * channels4) as u64;
        let reads = vec![cx.activation(0)?, weight, vectors, residual, gate];
        cx.dispatch(kernel, reads, vec![cx.output()], params.block(), threads.div_ceil(WORKGROUP));
        Ok(())
    }
}
