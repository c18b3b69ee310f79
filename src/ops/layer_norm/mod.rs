//! Layer normalisation over channels (Ba et al. 2016), and by the root of the mean square alone (Zhang and Sennrich 2019).

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, exact, exactly, vector_of},
    tensor::{Shape, Tensor},
};

/// y = (x - mean) / sqrt(var + eps) * weight + bias over the innermost axis. Inputs: x `(.., C)`, weight `[C]`, bias `[C]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNorm {
    /// Added to the variance.
    pub eps: f32,
}

/// y = x / sqrt(mean(x^2) + eps) * weight over the innermost axis. Inputs: x `(.., C)`, weight `[C]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RmsNorm {
    /// Added to the mean square.
    pub eps: f32,
}

impl Operator for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x, weight] = exactly(inputs)?;
        vector_of("weight", weight, x.last())?;
        Ok(x.clone())
    }
}

impl Definition for RmsNorm {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let [x, weight] = [0, 1].map(|i: usize| exact::values(inputs[i]));
        let mut out = Vec::with_capacity(x.len());
        for row in x.chunks_exact(weight.len()) {
            let square = row.iter().map(|v| v * v).sum::<f64>() / row.len() as f64;
            let scale = 1.0 / (square + f64::from(self.eps)).sqrt();
            out.extend(row.iter().zip(&weight).map(|(v, w)| v * scale * w));
        }
        exact::tensor(inputs[0].shape().clone(), out)
    }
}

impl Operator for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x, weight, bias] = exactly(inputs)?;
        vector_of("weight", weight, x.last())?;
        vector_of("bias", bias, x.last())?;
        Ok(x.clone())
    }
}

impl Definition for LayerNorm {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let [x, weight, bias] = [0, 1, 2].map(|i: usize| exact::values(inputs[i]));
        let mut out = Vec::with_capacity(x.len());
        for row in x.chunks_exact(weight.len()) {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / row.len() as f64;
            let scale = 1.0 / (variance + f64::from(self.eps)).sqrt();
            out.extend(row.iter().zip(&weight).zip(&bias).map(|((v, w), b)| (v - mean) * scale * w + b));
        }
        exact::tensor(inputs[0].shape().clone(), out)
    }
}
