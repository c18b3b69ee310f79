//! y = epilogue(depthwise conv(x)): one filter a channel, over NHWC images; the first channels may have none and pass through.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{
        Definition, Epilogue, Operator,
        conv2d::{conv_extent, nhwc},
        exact,
    },
    tensor::{Shape, Tensor},
};

/// Inputs: x `(B, H, W, C)`, weight `[C - passed, 1, kh, kw]`, then the parts of the epilogue, which hold for all channels. Output:
/// `(B, H', W', C)`.
///
/// A 1-D convolution over tokens `(B, L, C)` is the same with H = 1 and a kernel of 1 x k.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DepthwiseConv2d {
    /// Step in both directions.
    pub stride: usize,
    /// Zeros above and below, and left and right: a causal convolution has all of them on one side.
    pub padding: [[usize; 2]; 2],
    /// So many channels at the start have no filter: what the epilogue takes of them is x itself, which needs an output of its size.
    pub passed: usize,
    /// What happens to the result.
    pub epilogue: Epilogue,
}

impl DepthwiseConv2d {
    /// A filter for every channel, and as many zeros on either side of an axis as a kernel of odd extents needs for an output of the
    /// input's size.
    pub const fn same(kernel: [usize; 2], stride: usize, epilogue: Epilogue) -> Self {
        Self { stride, padding: [[kernel[0] / 2; 2], [kernel[1] / 2; 2]], passed: 0, epilogue }
    }

    fn output(&self, x: &Shape, weight: &Shape) -> std::result::Result<[usize; 4], String> {
        let [b, h, w, c] = nhwc(x)?;
        let (oh, ow) = match *weight.dims() {
            [n, 1, kh, kw] if n > 0 && n.checked_add(self.passed) == Some(c) => {
                let [rows, columns] = self.padding;
                (conv_extent(h, kh, self.stride, rows)?, conv_extent(w, kw, self.stride, columns)?)
            }
            _ => {
                return Err(format!("weight must be [{c} - {}, 1, kh, kw] for an input {x}, found {weight}", self.passed));
            }
        };
        if self.passed > 0 && [oh, ow] != [h, w] {
            return Err(format!("channels pass through only where the output has the size of {x}, not {oh} x {ow}"));
        }
        Ok([b, oh, ow, c])
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
        output.rows() as u64 * inputs[1].len() as u64
    }
}

impl Definition for DepthwiseConv2d {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let [_, h, w, c] = nhwc(inputs[0].shape()).unwrap_or_default();
        let dims = self.output(inputs[0].shape(), inputs[1].shape()).unwrap_or_default();
        let ([images, oh, ow, _], [kh, kw]) = (dims, [inputs[1].shape().dims()[2], inputs[1].shape().dims()[3]]);
        let (x, weight, epilogue) = (exact::values(inputs[0]), exact::values(inputs[1]), self.epilogue.exact(inputs));
        let mut out = Vec::with_capacity(images * oh * ow * c);
        for pixel in 0..images * oh * ow {
            let (image, oy, ox) = (pixel / (oh * ow), pixel / ow % oh, pixel % ow);
            for passed in &x[pixel * c..][..self.passed] {
                out.push(epilogue.apply(*passed, out.len(), c));
            }
            for (i, filter) in weight.chunks_exact(kh * kw).enumerate() {
                let value = |tap: usize| {
                    let y = (oy * self.stride + tap / kw).checked_sub(self.padding[0][0]).filter(|y| *y < h)?;
                    let x0 = (ox * self.stride + tap % kw).checked_sub(self.padding[1][0]).filter(|x| *x < w)?;
                    Some(x[((image * h + y) * w + x0) * c + self.passed + i] * filter[tap])
                };
                let sum = (0..kh * kw).filter_map(value).sum();
                out.push(epilogue.apply(sum, out.len(), c));
            }
        }
        exact::tensor(dims, out)
    }
}
