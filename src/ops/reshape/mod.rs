//! Another shape for the same bytes; the innermost extent stays, so that padded channels stay where they are.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, exactly},
    tensor::{Shape, Tensor},
};

/// Reads the input under another shape. No dispatch: the output is the input's buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reshape(pub Shape);

impl Operator for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x] = exactly(inputs)?;
        if x.len() != self.0.len() || x.last() != self.0.last() {
            return Err(format!("{x} cannot become {}: channels and number of elements must stay", self.0));
        }
        Ok(self.0.clone())
    }
}

impl Definition for Reshape {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        inputs[0].reshape(self.0.clone())
    }
}
