//! Batch normalisation with running statistics (Ioffe and Szegedy 2015). The pass `fold_batch_norm` removes most of them.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, exact, exactly, vector_of},
    packed::affine,
    tensor::{Shape, Tensor},
};

/// y = (x - mean) / sqrt(var + eps) * weight + bias with constant vectors.
///
/// Inputs: x `(.., C)`, then `[C]` each: weight, bias, running_mean, running_var.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f32,
}

impl Operator for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x, vectors @ ..] = exactly::<5>(inputs)?;
        for (what, vector) in ["weight", "bias", "running_mean", "running_var"].into_iter().zip(vectors) {
            vector_of(what, vector, x.last())?;
        }
        Ok(x.clone())
    }
}

impl Definition for BatchNorm {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let [weight, bias, mean, variance] = [1, 2, 3, 4].map(|i: usize| inputs[i].to_f32());
        let (scale, shift) = affine([&weight, &bias, &mean, &variance], self.eps);
        let vectors = scale.iter().zip(&shift).cycle();
        let values = exact::values(inputs[0]).into_iter().zip(vectors).map(|(v, (s, t))| v * s + t).collect();
        exact::tensor(inputs[0].shape().clone(), values)
    }
}
