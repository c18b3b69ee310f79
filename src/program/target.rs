//! The kinds of devices that programs are made for, and what their programs differ in.

use std::fmt::Debug;

use crate::{
    program::{BufId, BufRef, Caps, Dispatch, Label, cpu, device_bytes},
    tensor::TensorDesc,
};

/// One entry of a program: a kernel with its operands.
pub trait Step: Debug {
    /// What it reads.
    fn reads(&self) -> &[BufRef];
    /// What it writes. A buffer never appears in both lists.
    fn writes(&self) -> &[BufId];
    /// Operator and graph node, for profiles and errors.
    fn label(&self) -> &Label;
}

/// A kind of device.
pub trait Target: Debug + Sized {
    /// What lowering needs to know of the device at hand.
    type Caps: Debug;
    /// An entry of its programs.
    type Step: Step;

    /// Bytes that an activation takes on the device.
    fn activation_bytes(desc: &TensorDesc) -> u64;

    /// Bytes of the largest buffer that a step can bind.
    fn max_binding(caps: &Self::Caps) -> u64;
}

/// GPUs through WebGPU: compute shaders on buffers whose channels are padded to a multiple of four.
#[derive(Debug)]
pub struct Gpu;

/// Processor cores: functions on ranges of one arena, with channels as they are.
#[derive(Debug)]
pub struct Cpu;

impl Target for Gpu {
    type Caps = Caps;
    type Step = Dispatch;

    fn activation_bytes(desc: &TensorDesc) -> u64 {
        device_bytes(desc)
    }

    fn max_binding(caps: &Caps) -> u64 {
        caps.max_storage_binding
    }
}

impl Target for Cpu {
    type Caps = cpu::Caps;
    type Step = cpu::CpuStep;

    fn activation_bytes(desc: &TensorDesc) -> u64 {
        (desc.shape.len() * desc.dtype.size()) as u64
    }

    fn max_binding(_: &cpu::Caps) -> u64 {
        u64::MAX
    }
}

impl Step for Dispatch {
    fn reads(&self) -> &[BufRef] {
        &self.reads
    }

    fn writes(&self) -> &[BufId] {
        &self.writes
    }

    fn label(&self) -> &Label {
        &self.label
    }
}

impl Step for cpu::CpuStep {
    fn reads(&self) -> &[BufRef] {
        &self.reads
    }

    fn writes(&self) -> &[BufId] {
        &self.writes
    }

    fn label(&self) -> &Label {
        &self.label
    }
}
