//! What a product does to its result before storing it: y = (act(acc + bias) * scale + residual) * gate.

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
    /// ln(1 + e^x): the step sizes of state-space models.
    Softplus = 6,
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
            Self::Softplus => "softplus",
        }
    }
}

/// Which parts an epilogue has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts {
    /// A vector `[N]` added to the product.
    pub bias: bool,
    /// The non-linearity.
    pub act: Act,
    /// A vector `[N]` that multiplies the activated result.
    pub scale: bool,
    /// A tensor of the output's shape that is added after the scale.
    pub residual: bool,
    /// A tensor of the output's shape that multiplies the sum.
    pub gate: bool,
}
