//! Pointwise non-linearities, as an operator of their own and as part of an [`crate::ops::Epilogue`].

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Operator, exact, exactly},
    tensor::{Shape, Tensor},
};

/// A pointwise function. The discriminants are those of `shaders/shared/activation.wgsl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u32)]
pub enum Act {
    /// x.
    #[default]
    Identity = 0,
    /// max(x, 0).
    Relu = 1,
    /// x / 2 (1 + erf(x / sqrt 2)): `nn.GELU()`.
    Gelu = 2,
    /// The tanh approximation: `nn.GELU(approximate="tanh")`.
    GeluTanh = 3,
    /// x sigmoid(x).
    Silu = 4,
    /// ELU(x) + 1, the positive feature map of linear attention.
    EluPlusOne = 5,
}

impl Act {
    /// Name in dumps.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Relu => "relu",
            Self::Gelu => "gelu",
            Self::GeluTanh => "gelu_tanh",
            Self::Silu => "silu",
            Self::EluPlusOne => "elu_plus_one",
        }
    }
}

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

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let values = exact::values(inputs[0]).into_iter().map(|x| exact::act(self.0, x)).collect();
        exact::tensor(inputs[0].shape().clone(), values)
    }
}
