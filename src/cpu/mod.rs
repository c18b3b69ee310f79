//! The CPU device: programs of kernels over ranges of one arena, on all cores. The kernels are the crate `webmamba-kernels`.

mod executor;

pub use executor::{CpuExecutor, StepTiming};

use crate::program::cpu::{Caps, Isa};

/// What the processor at hand can do, with all threads of the pool.
pub fn caps() -> Caps {
    Caps { isa: webmamba_kernels::detect(), threads: crate::platform::threads() }
}

/// The instruction sets that the processor at hand runs, the best one last.
pub fn instruction_sets() -> Vec<Isa> {
    webmamba_kernels::available()
}
