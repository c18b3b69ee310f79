//! y = epilogue(depthwise conv(x)): one filter a channel, over NHWC images.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{
        Epilogue, Operator,
        conv2d::{conv_extent, nhwc},
        exact,
    },
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
        let [_, h, w, c] = nhwc(inputs[0].shape()).unwrap_or_default();
        let dims = self.output(inputs[0].shape(), inputs[1].shape()).unwrap_or_default();
        let ([images, oh, ow, _], [kh, kw]) = (dims, [inputs[1].shape().dims()[2], inputs[1].shape().dims()[3]]);
        let (x, weight, epilogue) = (exact::values(inputs[0]), exact::values(inputs[1]), self.epilogue.exact(inputs));
        let mut out = Vec::with_capacity(images * oh * ow * c);
        for pixel in 0..images * oh * ow {
            let (image, oy, ox) = (pixel / (oh * ow), pixel / ow % oh, pixel % ow);
            for (channel, filter) in weight.chunks_exact(kh * kw).enumerate() {
                let value = |tap: usize| {
                    let y = (oy * self.stride + tap / kw).checked_sub(self.padding[0]).filter(|y| *y < h)?;
                    let x0 = (ox * self.stride + tap % kw).checked_sub(self.padding[1]).filter(|x| *x < w)?;
                    Some(x[((image * h + y) * w + x0) * c + channel] * filter[tap])
                };
                let sum = (0..kh * kw).filter_map(value).sum();
                out.push(epilogue.apply(sum, out.len(), c));
            }
        }
        exact::tensor(dims, out)
    }
}
