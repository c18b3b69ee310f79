//! Steps for processor cores: which function, with which operands. The functions are in the crate `webmamba-kernels`, under the
//! names of the shaders that compute the same.

pub use webmamba_kernels::{
    ArgMax, Attention, AvgPool, Caps, ClassActivation, CpuKernel, DepthwiseConv2d, Direction, EmbedTokens, Gates, Gemm, Isa,
    LayerNorm, LinearAttention, LinearAttentionKv, LinearAttentionSizes, MergePatches, Pointwise, PointwiseMode, Resize, Rope,
    SelectiveScan, TakeToken, TopK, Window,
};

use crate::program::{BufId, BufRef, Label};

/// A kernel with its operands.
#[derive(Debug, Clone)]
pub struct CpuStep {
    /// What is computed.
    pub kernel: CpuKernel,
    /// What it reads, in the order that the kernel documents.
    pub reads: Vec<BufRef>,
    /// What it writes.
    pub writes: Vec<BufId>,
    /// Operator and graph node, for profiles and errors.
    pub label: Label,
}
