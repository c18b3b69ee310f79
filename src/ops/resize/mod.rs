//! Maps of another size, as PyTorch's `interpolate` makes them with `align_corners` false: without antialiasing.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, conv2d::nhwc, exact, exactly},
    tensor::{Shape, Tensor},
};

/// `(B, H, W, C)` -> `(B, h, w, C)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resize {
    /// Height and width of the result.
    pub size: [usize; 2],
    /// The nearest position, `floor(i H / h)`, instead of weighing the two around `(i + 1/2) H / h - 1/2`.
    pub nearest: bool,
}

impl Operator for Resize {
    fn name(&self) -> &'static str {
        "resize"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x] = exactly(inputs)?;
        let [b, h, w, c] = nhwc(x)?;
        sizes([h, w], self.size)?;
        Ok(Shape::from([b, self.size[0], self.size[1], c]))
    }
}

/// Devices place positions by whole numbers of 32 bits: reports sizes that are too large for them.
pub(super) fn sizes(from: [usize; 2], to: [usize; 2]) -> std::result::Result<(), String> {
    let fits = |axis: usize| from[axis].checked_mul(to[axis]).is_some_and(|product| product < 1 << 30);
    if fits(0) && fits(1) { Ok(()) } else { Err(format!("maps of {from:?} cannot be resized to {to:?}")) }
}

/// What an output position of an axis is made of: two positions of the input, and the weight of the second.
pub(super) fn taps(i: usize, from: usize, to: usize) -> ([usize; 2], f64) {
    let at = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
    let first = (at as usize).min(from - 1);
    ([first, (first + 1).min(from - 1)], at - first as f64)
}

impl Definition for Resize {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let &[b, h, w, c] = inputs[0].shape().dims() else { return exact::tensor([0], Vec::new()) };
        let x = exact::values(inputs[0]);
        exact::tensor([b, self.size[0], self.size[1], c], resized(&x, [b, h, w, c], self.size, self.nearest))
    }
}

/// A batch of maps `[B, H, W, C]` at another size.
pub(super) fn resized(x: &[f64], [b, h, w, c]: [usize; 4], [rows, columns]: [usize; 2], nearest: bool) -> Vec<f64> {
    let place = |i: usize, from: usize, to: usize| match nearest {
        true => ([i * from / to; 2], 0.0),
        false => taps(i, from, to),
    };
    let value = |i: usize| {
        let (image, channel) = (i / (c * columns * rows), i % c);
        let (down, v) = place(i / (c * columns) % rows, h, rows);
        let (across, u) = place(i / c % columns, w, columns);
        let at = |y: usize, x0: usize| x[((image * h + y) * w + x0) * c + channel];
        let row = |y: usize| at(y, across[0]) * (1.0 - u) + at(y, across[1]) * u;
        row(down[0]) * (1.0 - v) + row(down[1]) * v
    };
    (0..b * rows * columns * c).map(value).collect()
}
