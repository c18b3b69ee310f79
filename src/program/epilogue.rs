//! What a product does to its result before storing it: y = (act(acc + bias) * scale + residual) * gate.

pub use webmamba_kernels::Act;
use webmamba_kernels::Parts;

/// The parts of an epilogue. Those that are present follow `[x, weight]` in the operator's inputs, in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Epilogue {
    /// A vector `[N]` added to the product.
    pub bias: bool,
    /// The non-linearity.
    pub act: Act,
    /// A vector `[N]` that multiplies the activated result (layer scale).
    pub scale: bool,
    /// A tensor of the output's shape that is added after the scale.
    pub residual: bool,
    /// A tensor of the output's shape that multiplies the sum.
    pub gate: bool,
}

impl From<Epilogue> for Parts {
    fn from(Epilogue { bias, act, scale, residual, gate }: Epilogue) -> Self {
        Self { bias, act, scale, residual, gate }
    }
}
