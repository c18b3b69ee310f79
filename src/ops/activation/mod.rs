//! Pointwise non-linearities, as an operator of their own and as part of an [`crate::ops::Epilogue`].

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Act, Definition, Operator, exact, exactly},
    tensor::{Shape, Tensor},
};

/// y = act(x), any shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Activation(pub Act);

impl Operator for Activation {
    fn name(&self) -> &'static str {
        "activation"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x] = exactly(inputs)?;
        Ok(x.clone())
    }
}

impl Definition for Activation {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let values = exact::values(inputs[0]).into_iter().map(|x| exact::act(self.0, x)).collect();
        exact::tensor(inputs[0].shape().clone(), values)
    }
}
