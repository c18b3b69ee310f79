//! Elementwise sums and products: mostly fused into an [`crate::ops::Epilogue`], but complete on their own.

mod cpu;
mod gpu;

pub(super) use cpu::lower_cpu;
pub(super) use gpu::{Mode, lower};

use crate::{
    error::Result,
    ops::{Definition, Operator, exact, exactly, same_shape, vector_of},
    tensor::{Shape, Tensor},
};

/// y = a + b, equal shapes; or a constant b of one image for all of a batch, such as positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Add;

/// y = a * b, equal shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mul;

/// y = x * gamma with `gamma` `[C]` over the innermost axis: layer scale (CaiT, Touvron et al. 2021).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale;

impl Operator for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        match inputs {
            [a, b] if b.dims().first() == Some(&1) && b.dims().get(1..) == a.dims().get(1..) => Ok((*a).clone()),
            _ => infer_pair(inputs),
        }
    }
}

impl Definition for Add {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        eval_pair(inputs, |a, b| a + b)
    }
}

impl Operator for Mul {
    fn name(&self) -> &'static str {
        "mul"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        infer_pair(inputs)
    }
}

impl Definition for Mul {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        eval_pair(inputs, |a, b| a * b)
    }
}

impl Operator for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x, gamma] = exactly(inputs)?;
        vector_of("gamma", gamma, x.last())?;
        Ok(x.clone())
    }
}

impl Definition for Scale {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        eval_pair(inputs, |a, b| a * b)
    }
}

fn infer_pair(inputs: &[&Shape]) -> std::result::Result<Shape, String> {
    let [a, b] = exactly(inputs)?;
    same_shape(a, b)?;
    Ok(a.clone())
}

/// The second operand starts again where it ends.
fn eval_pair(inputs: &[&Tensor], f: impl Fn(f64, f64) -> f64) -> Result<Tensor> {
    let (a, b) = (exact::values(inputs[0]), exact::values(inputs[1]));
    let out = a.iter().zip(b.iter().cycle()).map(|(a, b)| f(*a, *b)).collect();
    exact::tensor(inputs[0].shape().clone(), out)
}
