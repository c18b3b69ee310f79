//! The GPU device, through wgpu: adapters, shader assembly, pipelines, weights in device memory and the executor.
//!
//! Without the feature `gpu` there is none of that: `absent` has the same names, of which nothing can be made.

#[cfg(not(feature = "gpu"))]
mod absent;
#[cfg(feature = "gpu")]
mod adapter;
#[cfg(feature = "gpu")]
mod device;
#[cfg(feature = "gpu")]
mod executor;
#[cfg(feature = "gpu")]
mod frame;
#[cfg(feature = "gpu")]
mod launch;
mod pixels;
#[cfg(feature = "gpu")]
mod profiler;
mod report;
#[cfg(feature = "gpu")]
pub mod shader;
#[cfg(feature = "gpu")]
mod weights;

#[cfg(not(feature = "gpu"))]
pub use absent::{GpuDevice, GpuExecutor, WeightStore};
#[cfg(feature = "gpu")]
pub use {adapter::adapters, device::GpuDevice, executor::GpuExecutor, weights::WeightStore};

pub use pixels::{Frame, Pixels};
pub use report::{AdapterSummary, Allocations, DispatchTiming, RunTimes};
