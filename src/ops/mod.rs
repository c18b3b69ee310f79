//! Operators: one folder each, with parameters, shape inference and evaluation in `mod.rs`, and the lowering to kernels beside it.
//!
//! The evaluation (`eval`) is the definition that kernels are held against.
//! Adding an operator touches its folder here, [`Op`], `shaders/<name>.wgsl` with the list of shaders, and `kernels/src/<name>.rs` with the
//! sizes of its step: `CONTRIBUTING.md` has them in order.

mod activation;
mod arg_max;
mod attention;
mod avg_pool;
mod batch_norm;
mod choices;
mod class_activation;
mod conv2d;
mod depthwise_conv2d;
mod embed_tokens;
mod epilogue;
mod exact;
mod gemm;
mod layer_norm;
mod linear;
mod linear_attention;
mod merge_patches;
mod pointwise;
mod reshape;
mod resize;
mod rope;
mod selective_scan;
mod take_token;
mod top_k;
mod window;

pub use activation::Activation;
pub use arg_max::ArgMax;
pub use attention::Attention;
pub use avg_pool::{AdaptiveAvgPool, GlobalAvgPool};
pub use batch_norm::BatchNorm;
pub use choices::{NORMS, PRODUCTS, Product, SCANS, choices};
pub use class_activation::ClassActivation;
pub use conv2d::Conv2d;
pub use depthwise_conv2d::DepthwiseConv2d;
pub use embed_tokens::EmbedTokens;
pub use layer_norm::{LayerNorm, RmsNorm};
pub use linear::Linear;
pub use linear_attention::LinearAttention;
pub use merge_patches::MergePatches;
pub use pointwise::{Add, Mul, Scale};
pub use reshape::Reshape;
pub use resize::Resize;
pub use rope::{Rope, rope_tables};
pub use selective_scan::{Direction, Gates, SelectiveScan};
pub use take_token::TakeToken;
pub use top_k::TopK;
pub use window::{WindowPartition, WindowReverse};

pub use crate::program::{Act, Epilogue};

use crate::{
    error::Result,
    program::{Lowering, Target},
    tensor::{DType, Shape, Tensor},
};

/// What every operator can do. Inputs are F32; feature maps are channels-last.
pub trait Operator {
    /// Name in errors, profiles and dumps; also the stem of the kernel's file where there is one.
    fn name(&self) -> &'static str;

    /// Output shape for these input shapes, or what does not fit.
    ///
    /// # Errors
    /// A sentence that names the expected and the found shapes.
    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String>;

    /// Whether input `i` may be a run of the channels of a value, and not only all of them.
    fn reads_channels(&self, _i: usize) -> bool {
        false
    }

    /// What the output's values are.
    fn element(&self) -> DType {
        DType::F32
    }

    /// Multiply-adds for these shapes: only the products that scale with the model, not pointwise work.
    fn macs(&self, _inputs: &[&Shape], _output: &Shape) -> u64 {
        0
    }
}

/// What an operator means. A trait of its own, so that a program without the oracle is also built without it.
pub trait Definition: Operator {
    /// The result by the operator's definition: plain loops and f64 sums, nothing in common with any device. This is the oracle that
    /// devices are held against. The inputs have passed `infer`.
    ///
    /// # Errors
    /// Only those of building the result tensor.
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor>;
}

/// How an operator becomes steps of a program for a kind of device.
pub trait Lower<T: Target> {
    /// Pushes the steps that fill `cx.output()`.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] when the operator cannot be run on such a device with these parameters.
    fn lower(&self, cx: &mut Lowering<'_, T>) -> Result<()>;
}

macro_rules! ops {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// The closed set of operators.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Op { $($(#[$doc])* $name($name)),* }

        impl std::ops::Deref for Op {
            type Target = dyn Operator;

            fn deref(&self) -> &Self::Target {
                match self { $(Self::$name(op) => op),* }
            }
        }

        impl Op {
            /// What the operator means.
            pub fn definition(&self) -> &dyn Definition {
                match self { $(Self::$name(op) => op),* }
            }
        }

        impl<T: Target> Lower<T> for Op
        where
            $($name: Lower<T>),*
        {
            fn lower(&self, cx: &mut Lowering<'_, T>) -> Result<()> {
                match self { $(Self::$name(op) => op.lower(cx)),* }
            }
        }

        $(impl From<$name> for Op {
            fn from(op: $name) -> Self {
                Self::$name(op)
            }
        })*
    };
}

ops! {
    /// Pointwise non-linearity.
    Activation,
    /// Means over bins of positions.
    AdaptiveAvgPool,
    /// Elementwise sum.
    Add,
    /// The best class of every pixel.
    ArgMax,
    /// Multi-head softmax attention within sequences.
    Attention,
    /// Inference batch normalisation.
    BatchNorm,
    /// Class activation maps of the best classes.
    ClassActivation,
    /// Dense 2-D convolution.
    Conv2d,
    /// Depthwise 2-D convolution.
    DepthwiseConv2d,
    /// Patches to tokens, a class token among them.
    EmbedTokens,
    /// Mean over all positions.
    GlobalAvgPool,
    /// Layer normalisation over channels.
    LayerNorm,
    /// Matrix product with a weight.
    Linear,
    /// MILA's linear attention.
    LinearAttention,
    /// Cells of 2 x 2 pixels as one pixel each.
    MergePatches,
    /// Elementwise product.
    Mul,
    /// Another shape for the same bytes.
    Reshape,
    /// Maps at another size.
    Resize,
    /// Normalisation by the root of the mean square over channels.
    RmsNorm,
    /// Rotary position embedding over two axes.
    Rope,
    /// Product with a vector over channels.
    Scale,
    /// Mamba's selective scan.
    SelectiveScan,
    /// One token of each sequence.
    TakeToken,
    /// Softmax and the k best classes.
    TopK,
    /// Images to windows.
    WindowPartition,
    /// Windows to images.
    WindowReverse,
}

impl Op {
    /// The epilogue of an operator that has one.
    pub fn epilogue(&self) -> Option<Epilogue> {
        match self {
            Self::Linear(op) => Some(op.epilogue),
            Self::Conv2d(op) => Some(op.epilogue),
            Self::DepthwiseConv2d(op) => Some(op.epilogue),
            _ => None,
        }
    }

    /// The same operator with another epilogue; unchanged where it has none.
    #[must_use]
    pub fn with_epilogue(mut self, epilogue: Epilogue) -> Self {
        match &mut self {
            Self::Linear(op) => op.epilogue = epilogue,
            Self::Conv2d(op) => op.epilogue = epilogue,
            Self::DepthwiseConv2d(op) => op.epilogue = epilogue,
            _ => {}
        }
        self
    }
}

/// Reports shapes that must be equal and are not.
fn same_shape(a: &Shape, b: &Shape) -> std::result::Result<(), String> {
    if a == b { Ok(()) } else { Err(format!("shapes must be equal, found {a} and {b}")) }
}

/// Reports a vector that does not have `len` elements.
fn vector_of(what: &str, shape: &Shape, len: usize) -> std::result::Result<(), String> {
    if shape.dims() == [len] { Ok(()) } else { Err(format!("{what} must be [{len}], found {shape}")) }
}

/// The inputs as an array, or how many there should be.
fn exactly<'a, const N: usize>(inputs: &[&'a Shape]) -> std::result::Result<[&'a Shape; N], String> {
    inputs.try_into().map_err(|_| format!("needs {N} inputs, found {}", inputs.len()))
}
