//! One token of each sequence.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, exactly},
    tensor::{Shape, Tensor},
};

/// `(B, L, C)` -> `(B, C)`: the token of this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TakeToken {
    /// Which one, from 0.
    pub at: usize,
}

impl TakeToken {
    /// Batch, tokens and channels.
    fn dims(self, x: &Shape) -> std::result::Result<[usize; 3], String> {
        match *x.dims() {
            [images, tokens, channels] if self.at < tokens => Ok([images, tokens, channels]),
            _ => Err(format!("needs (B, L, C) with L > {}, found {x}", self.at)),
        }
    }
}

impl Operator for TakeToken {
    fn name(&self) -> &'static str {
        "take_token"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x] = exactly(inputs)?;
        let [images, _, channels] = self.dims(x)?;
        Ok(Shape::from([images, channels]))
    }
}

impl Definition for TakeToken {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let [images, tokens, channels] = self.dims(inputs[0].shape()).unwrap_or_default();
        let x = inputs[0].to_f32();
        let rows = (0..images).flat_map(|image| x[(image * tokens + self.at) * channels..][..channels].to_vec());
        Tensor::from_f32([images, channels], rows.collect())
    }
}
