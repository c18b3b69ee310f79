//! What adapters and runs tell of themselves: data, whether or not a build can use GPUs.

use std::time::Duration;

use crate::program::Label;

/// What a user wants to know of an adapter.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AdapterSummary {
    /// Name as the driver gives it.
    pub name: String,
    /// `vulkan`, `metal`, `dx12` or `webgpu`.
    pub backend: String,
    /// `discrete`, `integrated`, `virtual`, `software` or `other`.
    pub kind: String,
    /// Driver name and version.
    pub driver: String,
    /// Features that matter here: `f16`, `subgroups`, `timestamps`.
    pub features: Vec<String>,
    /// Largest storage binding in bytes.
    pub max_storage_binding: u64,
    /// Largest buffer in bytes.
    pub max_buffer: u64,
    /// Bytes of workgroup memory.
    pub max_workgroup_storage: u32,
    /// Threads a workgroup.
    pub max_invocations: u32,
    /// Lanes of a subgroup, where all subgroups have this size.
    pub subgroup: Option<u32>,
}

impl AdapterSummary {
    /// True for a CPU that plays a GPU.
    pub fn is_software(&self) -> bool {
        self.kind == "software"
    }

    /// One line for lists: name, kind, backend and driver.
    pub fn line(&self) -> String {
        format!("{} ({}, {}; {})", self.name, self.kind, self.backend, self.driver)
    }
}

/// What was created on the device so far; equal before and after a steady frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allocations {
    /// Buffers.
    pub buffers: usize,
    /// Bind groups.
    pub bind_groups: usize,
    /// Pipelines.
    pub pipelines: usize,
}

/// When a run's steps were over.
#[derive(Debug, Clone, Copy, Default)]
pub struct RunTimes {
    /// From the submission until the device was done.
    pub device: Duration,
    /// From there until the results were on the host.
    pub readback: Duration,
}

/// How long a dispatch took on the device.
#[derive(Debug, Clone)]
pub struct DispatchTiming {
    /// Operator and graph node.
    pub label: Label,
    /// The shader.
    pub kernel: &'static str,
    /// Device time.
    pub time: Duration,
}
