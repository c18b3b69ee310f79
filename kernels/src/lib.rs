//! The kernels of webmamba's CPU device, one file each under the name of the shader that computes the same, and the register tile,
//! vectors and functions that they share.
//!
//! They are a crate of their own because WebAssembly is built for size, and these for speed. It promises nothing to others than
//! webmamba.

mod arg_max;
mod attention;
mod avg_pool;
mod class_activation;
mod depthwise_conv2d;
mod embed_tokens;
mod epilogue;
mod gemm;
mod isa;
mod layer_norm;
mod linear_attention;
mod math;
mod merge_patches;
mod pointwise;
mod resize;
mod rope;
mod selective_scan;
mod simd;
mod steps;
mod take_token;
mod tile;
mod top_k;
mod window;

use std::ops::Range;

pub use epilogue::{Act, Parts};
pub use isa::{Caps, Isa};
pub use simd::{available, detect};
pub use steps::{
    ArgMax, Attention, AvgPool, ClassActivation, CpuKernel, DepthwiseConv2d, Direction, EmbedTokens, Gates, Gemm, LayerNorm,
    LinearAttention, LinearAttentionKv, LinearAttentionSizes, MergePatches, Pointwise, PointwiseMode, Resize, Rope,
    SelectiveScan, TakeToken, TopK, Window,
};

/// A range of memory that steps read and write: a part of the arena, a weight, or nothing.
#[derive(Debug, Clone, Copy)]
pub struct Region {
    /// The first value.
    pub start: *mut f32,
    /// How many there are.
    pub len: usize,
}

impl Region {
    /// No memory.
    pub const NOTHING: Self = Self { start: std::ptr::NonNull::dangling().as_ptr(), len: 0 };
}

/// The operands of a step while it runs.
#[derive(Clone, Copy)]
pub struct Io<'a> {
    reads: &'a [Region],
    writes: &'a [Region],
    /// As many zeros as the longest row of taps has: what lies around an image.
    pub zeros: &'a [f32],
}

impl<'a> Io<'a> {
    /// The operands of one step.
    ///
    /// # Safety
    /// For as long as `'a`, all regions are live, what is written overlaps nothing that is read, and only parts of this very step
    /// write it.
    pub unsafe fn new(reads: &'a [Region], writes: &'a [Region], zeros: &'a [f32]) -> Self {
        Self { reads, writes, zeros }
    }

    /// What is read, by its number.
    pub fn read(&self, i: usize) -> &'a [f32] {
        let Region { start, len } = self.reads[i];
        // SAFETY: `new` has promised that it is live and not written.
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    /// A range of what is written.
    ///
    /// # Safety
    /// While the slice lives, no other part of the step and no other slice overlaps the range.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn write(&self, range: Range<usize>) -> &'a mut [f32] {
        let Region { start, len } = self.writes[0];
        assert!(range.start <= range.end && range.end <= len, "a part writes {range:?} of {len} values");
        // SAFETY: it is in bounds and live, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(start.add(range.start), range.len()) }
    }

    /// A range of what is written, as bytes.
    ///
    /// # Safety
    /// As [`Io::write`].
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn write_bytes(&self, range: Range<usize>) -> &'a mut [u8] {
        let Region { start, len } = self.writes[0];
        assert!(range.start <= range.end && range.end <= len * 4, "a part writes {range:?} of {len} values of four bytes");
        // SAFETY: it is in bounds and live, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(start.cast::<u8>().add(range.start), range.len()) }
    }

    /// Where what is written starts, for parts that interleave.
    pub fn out(&self) -> Region {
        self.writes[0]
    }
}

/// A function over parts, which run in any order and at the same time.
pub trait Kernel: Sync {
    /// Number of parts that are worth a thread each, or more of them where they differ in length.
    fn parts(&self, caps: &Caps) -> usize;

    /// Values of memory that a running part wants for itself.
    fn scratch(&self, _caps: &Caps) -> usize {
        0
    }

    /// Computes one part. The scratch memory holds anything.
    ///
    /// # Safety
    /// The operands have the sizes that the kernel's own say, and no part runs twice at the same time.
    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, scratch: &mut [f32]);
}

/// Cuts `count` items into at most `parts` runs of nearly equal length: the run number `part`.
fn run_of(count: usize, parts: usize, part: usize) -> Range<usize> {
    part * count / parts..(part + 1) * count / parts
}

/// How many parts `count` items of `cost` operations each are worth: one where it would be over before a thread has woken up,
/// else some for every thread, so that a late one holds nobody up for long.
fn worthwhile(count: usize, cost: usize, caps: &Caps) -> usize {
    /// Operations that take a few microseconds.
    const LEAST: usize = 1 << 14;
    let most = if caps.threads == 1 { 1 } else { caps.threads * 4 };
    (count * cost / LEAST).clamp(1, most).min(count.max(1))
}
