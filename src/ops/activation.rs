//! Pointwise non-linearities, as an operator of their own and as part of an [`crate::ops::Epilogue`].

use crate::{
    error::Result,
    ops::{Operator, exactly, math, pointwise},
    platform,
    program::Lowering,
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

    /// Applies the function to every value.
    pub fn apply(self, values: &mut [f32]) {
        match self {
            Self::Identity => {}
            Self::Relu => relu(values),
            Self::Gelu => gelu(values),
            Self::GeluTanh => gelu_tanh(values),
            Self::Silu => silu(values),
            Self::EluPlusOne => elu_plus_one(values),
        }
    }
}

/// Declares a function that applies an expression to every value, compiled for several instruction sets.
macro_rules! each {
    ($($name:ident: $x:ident => $value:expr;)*) => {
        $(#[multiversion::multiversion(targets = "simd")]
        fn $name(values: &mut [f32]) {
            for v in values {
                let $x = *v;
                *v = $value;
            }
        })*
    };
}

each! {
    relu: x => if x < 0.0 { 0.0 } else { x };
    gelu: x => 0.5 * x * (1.0 + math::erf(x * std::f32::consts::FRAC_1_SQRT_2));
    gelu_tanh: x => 0.5 * x * (1.0 + math::tanh(0.797_884_6 * (x + 0.044_715 * x * x * x)));
    silu: x => x * math::sigmoid(x);
    elu_plus_one: x => if x > 0.0 { x + 1.0 } else { math::exp(x) };
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
        let mut out = inputs[0].to_f32().into_owned();
        platform::par_chunks_mut(&mut out, 1 << 14, |_, chunk| self.0.apply(chunk));
        Tensor::from_f32(inputs[0].shape().clone(), out)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        pointwise::lower(cx, pointwise::Mode::Activation(self.0))
    }
}
