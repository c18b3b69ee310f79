//! The product behind `linear` and `conv2d`: an implicit GEMM whose left matrix is gathered from an NHWC image.

mod cpu;
mod gpu;

pub(super) use cpu::lower_cpu;
pub(super) use gpu::lower;

/// Geometry of a convolution seen as a product: rows are output pixels, columns are output channels, and the reduced axis is
/// (kernel position, input channel).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ImplicitGemm {
    /// Batch.
    pub(super) images: usize,
    /// Input height and width.
    pub(super) input: [usize; 2],
    /// Channels that are read of an input pixel.
    pub(super) channels: usize,
    /// Output height and width.
    pub(super) output: [usize; 2],
    /// N.
    pub(super) output_channels: usize,
    /// Kernel height and width.
    pub(super) kernel: [usize; 2],
    /// Step in both directions.
    pub(super) stride: usize,
    /// Zeros around the image.
    pub(super) padding: usize,
}
