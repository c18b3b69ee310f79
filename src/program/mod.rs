//! What a device is told to do, as data: kernels, buffers, weights and an ordered list of steps.
//!
//! Operators produce this ([`crate::ops::Lower`]); [`crate::plan`] assigns memory to it, and
//! [`crate::gpu`] and [`crate::cpu`] run it. Nothing here touches a device, so every program of every model can be inspected and
//! validated in tests.

mod caps;
mod choice;
pub mod cpu;
mod epilogue;
mod lowering;
mod params;
mod target;

pub use caps::{AdapterClass, Caps, Precision};
pub use choice::{Candidate, Choice, Tuning};
pub use epilogue::{Act, Epilogue};
pub use lowering::{Lowering, Operand, View};
pub(crate) use params::params;
pub use params::{ParamBlock, Params};
pub use target::{Cpu, Gpu, Step, Target};

use crate::{packed::PackedWeight, tensor::TensorDesc};

/// Channels are padded to a multiple of four in device buffers, so every kernel reads `vec4`s; the padding holds zeros.
pub const CHANNEL_ALIGN: usize = 4;

/// The innermost extent as it is stored on the device.
pub const fn padded_channels(channels: usize) -> usize {
    channels.next_multiple_of(CHANNEL_ALIGN)
}

/// Bytes that a value takes on the device: the innermost extent padded, bytes four to a word.
pub fn device_bytes(desc: &TensorDesc) -> u64 {
    (desc.shape.rows() * padded_channels(desc.shape.last()) * desc.dtype.size()) as u64
}

/// A compute shader and the constants that specialise it: the key of the pipeline cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kernel {
    /// File stem of `shaders/<name>.wgsl`.
    pub shader: &'static str,
    /// `const NAME: u32 = value;` lines put before the shader's text, in this order.
    pub constants: Vec<(&'static str, u32)>,
}

impl Kernel {
    /// A kernel without constants.
    pub fn new(shader: &'static str) -> Self {
        Self { shader, constants: Vec::new() }
    }

    /// The value of a constant.
    pub fn constant(&self, name: &str) -> Option<u32> {
        self.constants.iter().find(|(n, _)| *n == name).map(|(_, value)| *value)
    }

    /// Adds a constant.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: u32) -> Self {
        self.constants.push((name, value));
        self
    }
}

/// An activation or scratch buffer of a program, before it has memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufId(pub usize);

/// A weight buffer of a program: an index into [`Program::weights()`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WeightId(pub usize);

/// What a kernel reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BufRef {
    /// An activation or scratch buffer.
    Buffer(BufId),
    /// A packed weight; read-only.
    Weight(WeightId),
    /// Nothing: a small buffer of zeros, for bindings that the kernel's constants switch off.
    Nothing,
}

/// One kernel launch.
#[derive(Debug, Clone)]
pub struct Dispatch {
    /// The pipeline.
    pub kernel: Kernel,
    /// Bindings `0..reads.len()` of group 0, read-only.
    pub reads: Vec<BufRef>,
    /// The bindings after the reads, read-write. A buffer never appears in both lists.
    pub writes: Vec<BufId>,
    /// The uniform block, bound after the writes.
    pub params: ParamBlock,
    /// Workgroups, already folded (see [`fold_grid`]).
    pub grid: [u32; 3],
    /// Operator and graph node, for profiles and errors.
    pub label: Label,
}

/// Where a dispatch comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Label {
    /// Operator name, such as `selective_scan`.
    pub op: &'static str,
    /// Graph node, such as `levels.2.blocks.0.mixer`.
    pub node: String,
}

/// A buffer's size and what it is for.
#[derive(Debug, Clone)]
pub struct BufferInfo {
    /// Bytes wanted.
    pub bytes: u64,
    /// Graph node that fills it.
    pub name: String,
}

/// A named input or result of a program.
#[derive(Debug, Clone)]
pub struct ProgramValue {
    /// Name, such as `logits`.
    pub name: String,
    /// Where it is.
    pub buffer: BufId,
    /// Logical type and shape (channels not padded).
    pub desc: TensorDesc,
}

/// Everything a device needs to run a graph for one batch size and input size.
///
/// Only [`crate::plan::lower`] makes one, and nobody can change it: shaders run without bounds checks, so the parameters of a
/// dispatch must be those of its buffers.
///
/// ```
/// fn look(program: &webmamba::low_level::program::Program) -> usize {
///     program.dispatches().len()
/// }
/// ```
///
/// ```compile_fail,E0616
/// fn change(program: &mut webmamba::low_level::program::Program) {
///     program.dispatches.clear();
/// }
/// ```
#[derive(Debug)]
pub struct Program<T: Target = Gpu> {
    pub(crate) buffers: Vec<BufferInfo>,
    pub(crate) weights: Vec<PackedWeight>,
    pub(crate) dispatches: Vec<T::Step>,
    pub(crate) inputs: Vec<ProgramValue>,
    pub(crate) outputs: Vec<ProgramValue>,
}

impl<T: Target> Default for Program<T> {
    fn default() -> Self {
        Self { buffers: Vec::new(), weights: Vec::new(), dispatches: Vec::new(), inputs: Vec::new(), outputs: Vec::new() }
    }
}

impl<T: Target> Program<T> {
    /// Activation and scratch buffers.
    pub fn buffers(&self) -> &[BufferInfo] {
        &self.buffers
    }

    /// Weights, each once.
    pub fn weights(&self) -> &[PackedWeight] {
        &self.weights
    }

    /// What is done, in order.
    pub fn dispatches(&self) -> &[T::Step] {
        &self.dispatches
    }

    /// Inputs in the graph's order.
    pub fn inputs(&self) -> &[ProgramValue] {
        &self.inputs
    }

    /// Results in the graph's order.
    pub fn outputs(&self) -> &[ProgramValue] {
        &self.outputs
    }

    /// Bytes of all packed weights.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.iter().map(|w| w.bytes()).sum()
    }
}

/// The largest number of workgroups a dispatch may have along one axis in WebGPU.
pub const MAX_WORKGROUPS_PER_AXIS: u32 = 65_535;

/// Folds a one-dimensional grid of `workgroups` into two axes where it exceeds WebGPU's limit.
///
/// Kernels undo it with `workgroup_index` of `shaders/shared/index.wgsl` and must tolerate surplus workgroups.
pub fn fold_grid(workgroups: u64) -> [u32; 3] {
    let limit = u64::from(MAX_WORKGROUPS_PER_AXIS);
    let y = workgroups.div_ceil(limit).max(1);
    let x = workgroups.div_ceil(y).max(1);
    // 65,535 squared workgroups are more than any buffer of u32 indices can feed.
    [x.min(limit) as u32, y.min(limit) as u32, 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folded_grids_cover_all_workgroups() {
        for n in [0u64, 1, 3, 65_534, 65_535, 65_536, 131_071, 1_000_003, 4_294_836_225] {
            let [x, y, z] = fold_grid(n);
            assert!(x <= MAX_WORKGROUPS_PER_AXIS && y <= MAX_WORKGROUPS_PER_AXIS && z == 1);
            let launched = u64::from(x) * u64::from(y);
            assert!(launched >= n.max(1) && launched <= n.max(1) + u64::from(y), "{n} -> {x} x {y}");
        }
    }
}
