//! The CPU device: programs of kernels over ranges of one arena, on all cores. The kernels are the crate `webmamba-kernels`.
//!
//! Without the feature `cpu` nothing is run: `absent` has the executor's name, and says so.

#[cfg(not(feature = "cpu"))]
mod absent;
#[cfg(feature = "cpu")]
mod block;
#[cfg(feature = "cpu")]
mod executor;
#[cfg(feature = "cpu")]
mod weights;

#[cfg(not(feature = "cpu"))]
pub use absent::{CpuExecutor, WeightStore};
#[cfg(feature = "cpu")]
pub use {executor::CpuExecutor, weights::WeightStore};

use std::time::Duration;

use crate::program::cpu::{Caps, Isa};

/// How long a step took.
#[derive(Debug, Clone)]
pub struct StepTiming {
    /// The operator.
    pub op: &'static str,
    /// The kernel.
    pub kernel: &'static str,
    /// The graph node.
    pub node: String,
    /// Wall time.
    pub time: Duration,
}

/// What the processor at hand can do, with all threads of the pool.
pub fn caps() -> Caps {
    Caps { isa: webmamba_kernels::detect(), threads: crate::platform::threads() }
}

/// The instruction sets that the processor at hand runs, the best one last.
pub fn instruction_sets() -> Vec<Isa> {
    webmamba_kernels::available()
}
