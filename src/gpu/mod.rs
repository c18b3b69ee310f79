//! The GPU device, through wgpu: adapters, shader assembly, pipelines, weights in device memory and the executor.

mod adapter;
mod device;
mod executor;
mod frame;
mod launch;
mod profiler;
pub mod shader;
mod weights;

pub use adapter::{AdapterSummary, adapters};
pub use device::GpuDevice;
pub use executor::{Allocations, GpuExecutor, RunTimes};
pub use frame::{Frame, Pixels};
pub use profiler::DispatchTiming;
pub use weights::WeightStore;
