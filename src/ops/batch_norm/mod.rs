//! Batch normalisation with running statistics (Ioffe and Szegedy 2015). The pass `fold_batch_norm` removes most of them.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Operator, exact, exactly, vector_of},
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

impl BatchNorm {
    /// The normalisation as `x * scale + shift`, computed in f64: `(scale, shift)`.
    pub fn affine(&self, weight: &[f32], bias: &[f32], mean: &[f32], variance: &[f32]) -> (Vec<f64>, Vec<f64>) {
        let scale: Vec<f64> =
            weight.iter().zip(variance).map(|(w, v)| f64::from(*w) / (f64::from(*v) + f64::from(self.eps)).sqrt()).collect();
        let shift = scale.iter().zip(bias).zip(mean).map(|((s, b), m)| f64::from(*b) - f64::from(*m) * s).collect();
        (scale, shift)
    }
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

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let [weight, bias, mean, variance] = [1, 2, 3, 4].map(|i: usize| inputs[i].to_f32());
        let (scale, shift) = self.affine(&weight, &bias, &mean, &variance);
        let vectors = scale.iter().zip(&shift).cycle();
        let values = exact::values(inputs[0]).into_iter().zip(vectors).map(|(v, (s, t))| v * s + t).collect();
        exact::tensor(inputs[0].shape().clone(), values)
    }
}
