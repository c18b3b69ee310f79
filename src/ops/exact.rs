//! What evaluations compute with: f64 and the standard library, so that they share no approximation with any device.

use crate::{
    error::Result,
    ops::Act,
    tensor::{Shape, Tensor},
};

/// The values of a tensor.
pub(super) fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_f32().iter().map(|v| f64::from(*v)).collect()
}

/// A tensor of values that are rounded once.
///
/// # Errors
/// [`crate::Error::InvalidArgument`] when their number is not that of the shape.
pub(super) fn tensor(shape: impl Into<Shape>, values: Vec<f64>) -> Result<Tensor> {
    Tensor::from_f32(shape, values.into_iter().map(|v| v as f32).collect())
}

/// A non-linearity.
pub(super) fn act(act: Act, x: f64) -> f64 {
    match act {
        Act::Identity => x,
        Act::Relu => {
            if x < 0.0 {
                0.0
            } else {
                x
            }
        }
        Act::Gelu => 0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Act::GeluTanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh()),
        Act::Silu => x / (1.0 + (-x).exp()),
        Act::EluPlusOne => {
            if x > 0.0 {
                x + 1.0
            } else {
                x.exp()
            }
        }
        Act::Softplus => softplus(x),
    }
}

/// ln(1 + e^x); x itself above 20, as PyTorch.
pub(super) fn softplus(x: f64) -> f64 {
    if x > 20.0 { x } else { x.exp().ln_1p() }
}

/// Exponentials over their sum.
pub(super) fn softmax(values: &[f64]) -> Vec<f64> {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = values.iter().map(|v| (v - max).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}
