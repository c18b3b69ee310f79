//! Means over positions: `AdaptiveAvgPool2d`, and over all of them.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, conv2d::nhwc, exact, exactly},
    tensor::{Shape, Tensor},
};

/// `(B, H, W, C)` -> `(B, h, w, C)`: bin i of an axis is the mean from position `floor(i n / s)` to `ceil((i + 1) n / s)`, so bins
/// overlap where s does not divide n.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptiveAvgPool {
    /// Bins down and across.
    pub size: [usize; 2],
}

/// `(B, .., C)` -> `(B, C)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalAvgPool;

impl Operator for AdaptiveAvgPool {
    fn name(&self) -> &'static str {
        "adaptive_avg_pool"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x] = exactly(inputs)?;
        let [b, _, _, c] = nhwc(x)?;
        Ok(Shape::from([b, self.size[0], self.size[1], c]))
    }
}

impl Definition for AdaptiveAvgPool {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let &[b, h, w, c] = inputs[0].shape().dims() else { return exact::tensor([0], Vec::new()) };
        let ([rows, columns], x) = (self.size, exact::values(inputs[0]));
        let bin = |i: usize, n: usize, s: usize| i * n / s..((i + 1) * n).div_ceil(s);
        let mean = |i: usize| {
            let (image, y, x0, channel) = (i / (c * columns * rows), i / (c * columns) % rows, i / c % columns, i % c);
            let (down, across) = (bin(y, h, rows), bin(x0, w, columns));
            let row = |y: usize| across.clone().map(move |x0| ((image * h + y) * w + x0) * c + channel);
            let sum: f64 = down.clone().flat_map(row).map(|at| x[at]).sum();
            sum / (down.len() * across.len()) as f64
        };
        exact::tensor([b, rows, columns, c], (0..b * rows * columns * c).map(mean).collect())
    }
}

impl Operator for GlobalAvgPool {
    fn name(&self) -> &'static str {
        "global_avg_pool"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x] = exactly(inputs)?;
        if x.rank() < 3 || x.is_empty() {
            return Err(format!("input must be (B, .., C) with at least one position, found {x}"));
        }
        Ok(Shape::from([x.dims()[0], x.last()]))
    }
}

impl Definition for GlobalAvgPool {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let shape = inputs[0].shape();
        let (images, c) = (shape.dims()[0], shape.last());
        let (x, positions) = (exact::values(inputs[0]), shape.rows() / images);
        let mean = |i: usize| {
            let image = &x[i / c * positions * c..][..positions * c];
            image.iter().skip(i % c).step_by(c).sum::<f64>() / positions as f64
        };
        exact::tensor([images, c], (0..images * c).map(mean).collect())
    }
}

/// All positions as one row of a map: `[B, 1, positions, C]`.
fn row(x: &Shape) -> [usize; 4] {
    let images = x.dims()[0];
    [images, 1, x.rows() / images, x.last()]
}
