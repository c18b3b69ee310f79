//! What each kernel computes, with which sizes: data that names a function and can be inspected.

use crate::{Act, Parts};

macro_rules! kernels {
    ($($(#[$doc:meta])* $name:ident => $text:literal),* $(,)?) => {
        /// The closed set of kernels.
        #[derive(Debug, Clone, PartialEq)]
        pub enum CpuKernel { $($(#[$doc])* $name($name)),* }

        impl CpuKernel {
            /// Name in profiles: that of the shader that computes the same, where there is one.
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => $text),* }
            }

            /// The kernel as what runs.
            pub fn kernel(&self) -> &dyn crate::Kernel {
                match self { $(Self::$name(kernel) => kernel),* }
            }
        }

        $(impl From<$name> for CpuKernel {
            fn from(kernel: $name) -> Self {
                Self::$name(kernel)
            }
        })*
    };
}

kernels! {
    /// The best class of every pixel.
    ArgMax => "arg_max",
    /// Softmax attention.
    Attention => "attention",
    /// Means over bins of positions.
    AvgPool => "avg_pool",
    /// Class activation maps.
    ClassActivation => "class_activation",
    /// Depthwise convolution.
    DepthwiseConv2d => "depthwise_conv2d",
    /// Patches to tokens.
    EmbedTokens => "embed_tokens",
    /// Product or dense convolution.
    Gemm => "gemm",
    /// Layer normalisation.
    LayerNorm => "layer_norm",
    /// Linear attention: queries times the sums.
    LinearAttention => "linear_attention",
    /// Linear attention: sums over tokens.
    LinearAttentionKv => "linear_attention_kv",
    /// Cells of 2 x 2 pixels as one.
    MergePatches => "merge_patches",
    /// Pointwise work.
    Pointwise => "pointwise",
    /// Maps at another size.
    Resize => "resize",
    /// Rotary embedding.
    Rope => "rope",
    /// Selective scan.
    SelectiveScan => "selective_scan",
    /// One token of each sequence.
    TakeToken => "take_token",
    /// Softmax and best classes.
    TopK => "top_k",
    /// Windows of images, and back.
    Window => "window",
}

/// `out = epilogue(x W^T)` over the pixels of an image, or over rows.
///
/// Reads x `(images, h, w, input_channels)`, the weight as panels of columns, vectors (bias, then scale, each
/// padded to whole vectors), residual, gate. Writes `(images, h', w', output_channels)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Gemm {
    /// Batch.
    pub images: usize,
    /// Input height and width.
    pub input: [usize; 2],
    /// Channels of an input pixel.
    pub input_channels: usize,
    /// The first that is read.
    pub first_channel: usize,
    /// How many of them are read.
    pub read_channels: usize,
    /// Output height and width.
    pub output: [usize; 2],
    /// N.
    pub output_channels: usize,
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Step in both directions.
    pub stride: usize,
    /// Zeros around the image.
    pub padding: usize,
    /// The weight comes as `[N, K]` instead of in panels; only with a kernel of one pixel.
    pub by_rows: bool,
    /// What happens to the result.
    pub epilogue: Parts,
}

/// One filter a channel. Reads x, the weight as `[taps, channels]`, vectors, residual, gate.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthwiseConv2d {
    /// Batch.
    pub images: usize,
    /// Input height and width.
    pub input: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// Output height and width.
    pub output: [usize; 2],
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Step in both directions.
    pub stride: usize,
    /// Zeros above and left.
    pub padding: [usize; 2],
    /// So many channels at the start have no filter and pass through.
    pub passed: usize,
    /// What happens to the result.
    pub epilogue: Parts,
}

/// Reads x, then weight and bias as two rows of `channels`.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNorm {
    /// Rows.
    pub rows: usize,
    /// Values a row.
    pub channels: usize,
    /// Added to the variance.
    pub eps: f32,
    /// The mean is subtracted; without that it is the norm by the root of the mean square.
    pub centred: bool,
}

/// Reads patches `(samples, tokens - 1, channels)`, the class token, positions of the tokens of one frame, and positions `(frames, channels)`
/// of the frames. Writes `(samples, tokens, channels)`.
#[derive(Debug, Clone, PartialEq)]
pub struct EmbedTokens {
    /// Batch.
    pub samples: usize,
    /// Tokens a sample, the class token among them.
    pub tokens: usize,
    /// Channels.
    pub channels: usize,
    /// Where the class token stands.
    pub at: usize,
    /// Frames of a sample.
    pub frames: usize,
}

/// Reads `(images, tokens, channels)`, writes `(images, channels)`.
#[derive(Debug, Clone, PartialEq)]
pub struct TakeToken {
    /// Batch.
    pub images: usize,
    /// Tokens an image.
    pub tokens: usize,
    /// Channels.
    pub channels: usize,
    /// Which token is taken.
    pub at: usize,
}

/// Reads `(images, height, width, channels)`, writes `(images, height / 2, width / 2, 4 channels)`, rounded up.
#[derive(Debug, Clone, PartialEq)]
pub struct MergePatches {
    /// Batch.
    pub images: usize,
    /// Input height.
    pub height: usize,
    /// Input width.
    pub width: usize,
    /// Input channels.
    pub channels: usize,
}

/// What [`Pointwise`] does with a value and its partner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PointwiseMode {
    /// act(x); no partner.
    Act(Act),
    /// x + y.
    Add,
    /// x y.
    Mul,
    /// x y + z: the second row of the partner is added.
    Affine,
}

/// Reads x and a partner that repeats every `period` values.
#[derive(Debug, Clone, PartialEq)]
pub struct Pointwise {
    /// What is done.
    pub mode: PointwiseMode,
    /// Values in all.
    pub len: usize,
    /// Values after which the partner starts again.
    pub period: usize,
}

/// Reads x `(images, height, width, channels)`, writes `(images, rows, columns, channels)`.
#[derive(Debug, Clone, PartialEq)]
pub struct AvgPool {
    /// Batch.
    pub images: usize,
    /// Height and width of an image.
    pub input: [usize; 2],
    /// Bins down and across.
    pub bins: [usize; 2],
    /// Channels.
    pub channels: usize,
}

/// Reads x `(images, height, width, channels)`, writes `(images, rows, columns, channels)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Resize {
    /// Batch.
    pub images: usize,
    /// Height and width of an image.
    pub input: [usize; 2],
    /// Height and width of a result.
    pub output: [usize; 2],
    /// Channels.
    pub channels: usize,
    /// The nearest position instead of the weighed four around it.
    pub nearest: bool,
}

/// Reads logits `(images, height, width, channels)` of up to 255 classes, writes a byte a pixel: `(images, rows, columns)`.
#[derive(Debug, Clone, PartialEq)]
pub struct ArgMax {
    /// Batch.
    pub images: usize,
    /// Height and width of the logits of an image.
    pub input: [usize; 2],
    /// Height and width of the first resize.
    pub through: [usize; 2],
    /// Height and width of the result, of the second.
    pub output: [usize; 2],
    /// Classes.
    pub channels: usize,
}

/// Reads qkv `(sequences, length, 3 channels)`, writes `(sequences, length, channels)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// B.
    pub sequences: usize,
    /// L.
    pub length: usize,
    /// Number of heads; divides the channels.
    pub heads: usize,
    /// C.
    pub channels: usize,
}

/// Sizes that both steps of linear attention share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinearAttentionSizes {
    /// Batch.
    pub images: usize,
    /// Tokens an image.
    pub tokens: usize,
    /// Number of heads.
    pub heads: usize,
    /// Channels of the values.
    pub channels: usize,
    /// Channels of the queries, and of the keys.
    pub keys: usize,
    /// The result is divided by the normaliser.
    pub normalised: bool,
    /// Tokens a row of the grid, where the rotation happens here; 0 where qk comes rotated as well.
    pub width: usize,
    /// Pieces into which the tokens of an image are cut for their sums.
    pub splits: usize,
}

/// Per image, head and split: `k'^T v` `[d, e]` and the sum of k `[d]`, both over the number of tokens.
///
/// Reads qk `(images, tokens, 2 K)`, v `(images, tokens, C)`, then rotated qk or the two rotation tables.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearAttentionKv(pub LinearAttentionSizes);

/// Reads qk, then rotated qk or the two rotation tables, then what [`LinearAttentionKv`] wrote. Writes `(images, tokens, C)`.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearAttention(pub LinearAttentionSizes);

/// Reads x `(images, height width, parts C)` and the two tables.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Tokens in all.
    pub tokens: usize,
    /// Tokens an image.
    pub image_tokens: usize,
    /// Tokens a row of the grid.
    pub width: usize,
    /// Independent parts along the channels.
    pub parts: usize,
    /// Channels of a part.
    pub channels: usize,
}

/// Reads xz `(images, length, width)`, delta `(images, length, channels)`, a tensor with B and C, A transposed
/// `[states, channels]`, D and the bias of delta as two rows of `channels`, and what is added `(images, length, width)` with `sum` or the
/// tensor with the rotated B and C where these are `rotated`; nothing in place of what a switch leaves out. Writes `(images, length, width)`.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectiveScan {
    /// Batch.
    pub images: usize,
    /// Tokens an image.
    pub length: usize,
    /// Channels of xz.
    pub width: usize,
    /// Channels that are scanned; the others are copied.
    pub channels: usize,
    /// States a channel.
    pub states: usize,
    /// Channels of the tensor with B and C.
    pub bc_width: usize,
    /// Where in them the `2 groups states` of B, then C, begin.
    pub bc_first: usize,
    /// The way through the tokens.
    pub direction: Direction,
    /// Something is added to the result.
    pub sum: bool,
    /// What of the recurrence there is.
    pub gates: Gates,
}

/// Parts of a scan, by the differences between Mamba and linear attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gates {
    /// Groups of B and C, each for as many channels.
    pub groups: usize,
    /// The input is multiplied by delta.
    pub input: bool,
    /// The state decays by exp(delta A).
    pub forget: bool,
    /// The input is added to the result, times D.
    pub shortcut: bool,
    /// The result is divided by that of a scan over ones.
    pub normalised: bool,
    /// B and C of the numerator come rotated, beside those of the normaliser.
    pub rotated: bool,
}

impl Gates {
    /// Those of Mamba.
    pub const MAMBA: Self = Self { groups: 1, input: true, forget: true, shortcut: true, normalised: false, rotated: false };
}

impl Default for Gates {
    fn default() -> Self {
        Self::MAMBA
    }
}

/// The order in which a scan takes the tokens of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Direction {
    /// Rows of a map that is taken column by column; 1 where the tokens are taken as they lie.
    pub height: usize,
    /// From the last one to the first.
    pub reversed: bool,
}

impl Direction {
    /// The tokens as they lie.
    pub const FORWARD: Self = Self { height: 1, reversed: false };
}

impl Default for Direction {
    fn default() -> Self {
        Self::FORWARD
    }
}

/// Reads logits `(rows, classes)`, writes `(rows, k, 2)`.
#[derive(Debug, Clone, PartialEq)]
pub struct TopK {
    /// Rows.
    pub rows: usize,
    /// Classes.
    pub classes: usize,
    /// How many of them.
    pub k: usize,
    /// Divides the logits.
    pub temperature: f32,
}

/// Reads features `(images, positions, channels)`, the head's weight `[classes, channels]`, its bias, and the best classes.
#[derive(Debug, Clone, PartialEq)]
pub struct ClassActivation {
    /// Batch.
    pub images: usize,
    /// Positions an image.
    pub positions: usize,
    /// Channels.
    pub channels: usize,
    /// Classes of the head.
    pub classes: usize,
    /// Maps an image.
    pub k: usize,
}

/// Reads an image batch `(images, height, width, channels)` and writes windows, or the reverse.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Batch.
    pub images: usize,
    /// Height of an image.
    pub height: usize,
    /// Width of an image.
    pub width: usize,
    /// Side of a window.
    pub size: usize,
    /// Channels.
    pub channels: usize,
    /// From windows to images.
    pub reverse: bool,
}
