//! Cells of 2 x 2 pixels as one pixel each (Swin's patch merging, Liu et al. 2021).

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, conv2d::nhwc, exactly},
    tensor::{Shape, Tensor},
};

/// `(B, H, W, C)` -> `(B, ceil(H / 2), ceil(W / 2), 4 C)`: the channels of the upper left, the lower left, the upper right and the lower
/// right pixel. Odd extents have zeros at the bottom and right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergePatches;

fn output(x: &Shape) -> std::result::Result<[usize; 4], String> {
    let [b, h, w, c] = nhwc(x)?;
    let wide = c.checked_mul(4).ok_or_else(|| format!("{c} channels are too many"))?;
    Ok([b, h.div_ceil(2), w.div_ceil(2), wide])
}

impl Operator for MergePatches {
    fn name(&self) -> &'static str {
        "merge_patches"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x] = exactly(inputs)?;
        output(x).map(Shape::from)
    }
}

impl Definition for MergePatches {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let [_, h, w, c] = nhwc(inputs[0].shape()).unwrap_or_default();
        let dims = output(inputs[0].shape()).unwrap_or_default();
        let ([images, oh, ow, _], x) = (dims, inputs[0].to_f32());
        let mut out = Vec::with_capacity(dims.iter().product());
        for pixel in 0..images * oh * ow {
            let (image, oy, ox) = (pixel / (oh * ow), pixel / ow % oh, pixel % ow);
            for [down, right] in [[0, 0], [1, 0], [0, 1], [1, 1]] {
                let (y, x0) = (2 * oy + down, 2 * ox + right);
                for channel in 0..c {
                    out.push(if y < h && x0 < w { x[((image * h + y) * w + x0) * c + channel] } else { 0.0 });
                }
            }
        }
        Tensor::from_f32(dims, out)
    }
}
