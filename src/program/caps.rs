//! What lowering needs to know of an adapter.

/// Which family of kernel variants an adapter runs best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AdapterClass {
    /// A CPU that plays a GPU (lavapipe, SwiftShader): no fast workgroup memory, so direct register tiles.
    Software,
    /// A GPU: register-blocked tiles over workgroup memory, many threads.
    Hardware,
}

/// What activations are stored in between the kernels of a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Precision {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits where kernels and residual branches allow it, with arithmetic, inputs and results in 32.
    F16,
    /// 16 bits on adapters where they have been measured to pay; of none so far, so this is [`Precision::F32`] everywhere.
    Auto,
}

/// Capabilities and limits that decide how a graph is lowered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Software or hardware.
    pub class: AdapterClass,
    /// Largest storage binding in bytes (`maxStorageBufferBindingSize`).
    pub max_storage_binding: u64,
    /// Bytes of workgroup memory (`maxComputeWorkgroupStorageSize`).
    pub max_workgroup_storage: u32,
    /// Threads a workgroup (`maxComputeInvocationsPerWorkgroup`).
    pub max_invocations: u32,
    /// Lanes of a subgroup, where there are subgroups and all of them have this size.
    pub subgroup: Option<u32>,
    /// Whether activations between kernels are stored in f16, for which the device needs `shader-f16`.
    pub half: bool,
}

impl Caps {
    /// What WebGPU guarantees everywhere: 128 MiB bindings, 16 KiB of workgroup memory, 256 threads, no subgroups.
    pub const fn webgpu_default(class: AdapterClass) -> Self {
        Self {
            class,
            max_storage_binding: 128 << 20,
            max_workgroup_storage: 16 << 10,
            max_invocations: 256,
            subgroup: None,
            half: false,
        }
    }

    /// True for a CPU that plays a GPU.
    pub const fn is_software(&self) -> bool {
        matches!(self.class, AdapterClass::Software)
    }
}
