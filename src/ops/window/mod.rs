//! Windows of images as sequences (Swin, Liu et al. 2021), padded with zeros at the bottom and right where they do not divide.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, conv2d::nhwc, exactly},
    tensor::{Shape, Tensor},
};

/// `(B, H, W, C)` -> `(B * windows, size * size, C)`, windows in row-major order inside each image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowPartition {
    /// Side of a window.
    pub size: usize,
}

/// The inverse: `(B * windows, size * size, C)` -> `(B, height, width, C)`, dropping the padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowReverse {
    /// Side of a window.
    pub size: usize,
    /// Height of the image.
    pub height: usize,
    /// Width of the image.
    pub width: usize,
}

/// Windows down and across.
fn grid(size: usize, height: usize, width: usize) -> [usize; 2] {
    [height.div_ceil(size), width.div_ceil(size)]
}

/// For every position of the windowed tensor in order: the image position it holds, or `None` in the padding.
fn positions(images: usize, size: usize, height: usize, width: usize) -> impl Iterator<Item = Option<usize>> {
    let [down, across] = grid(size, height, width);
    (0..images * down * across * size * size).map(move |i| {
        let (window, inside) = (i / (size * size), i % (size * size));
        let (image, window) = (window / (down * across), window % (down * across));
        let y = window / across * size + inside / size;
        let x = window % across * size + inside % size;
        (y < height && x < width).then_some((image * height + y) * width + x)
    })
}

impl Operator for WindowPartition {
    fn name(&self) -> &'static str {
        "window_partition"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x] = exactly(inputs)?;
        let [b, h, w, c] = nhwc(x)?;
        if self.size == 0 {
            return Err("the window size must not be zero".into());
        }
        let [down, across] = grid(self.size, h, w);
        Ok(Shape::from([b * down * across, self.size * self.size, c]))
    }
}

impl Definition for WindowPartition {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let [b, h, w, c] = nhwc(inputs[0].shape()).unwrap_or_default();
        let x = inputs[0].to_f32();
        let [down, across] = grid(self.size, h, w);
        let shape = [b * down * across, self.size * self.size, c];
        let mut out = vec![0.0; shape.iter().product()];
        for (pixel, at) in out.chunks_exact_mut(c).zip(positions(b, self.size, h, w)) {
            if let Some(at) = at {
                pixel.copy_from_slice(&x[at * c..(at + 1) * c]);
            }
        }
        Tensor::from_f32(shape, out)
    }
}

impl WindowReverse {
    fn output(&self, x: &Shape) -> std::result::Result<[usize; 4], String> {
        let &[windows, length, c] = x.dims() else { return Err(format!("input must be (B * windows, L, C), found {x}")) };
        if self.size == 0 || self.height == 0 || self.width == 0 {
            return Err("window size, height and width must not be zero".into());
        }
        let [down, across] = grid(self.size, self.height, self.width);
        if length != self.size * self.size || windows % (down * across) != 0 {
            return Err(format!("{x} does not hold {down} x {across} windows of {0} x {0} an image", self.size));
        }
        Ok([windows / (down * across), self.height, self.width, c])
    }
}

impl Operator for WindowReverse {
    fn name(&self) -> &'static str {
        "window_reverse"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x] = exactly(inputs)?;
        Ok(Shape::from(self.output(x)?))
    }
}

impl Definition for WindowReverse {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let dims = self.output(inputs[0].shape()).unwrap_or_default();
        let c = dims[3];
        let mut out = vec![0.0; dims.iter().product()];
        let windows = inputs[0].to_f32();
        for (pixel, at) in windows.chunks_exact(c).zip(positions(dims[0], self.size, self.height, self.width)) {
            if let Some(at) = at {
                out[at * c..(at + 1) * c].copy_from_slice(pixel);
            }
        }
        Tensor::from_f32(dims, out)
    }
}
