//! The pieces of work that more than one kernel of the GPU can do.

use crate::program::{Candidate, Caps, Choice, Kernel};

/// A kernel for products.
#[derive(Debug, Clone, Copy)]
pub enum Product {
    /// Register tiles straight from memory: what a software adapter without subgroups is best at.
    Direct,
    /// Rows handed round within a subgroup, as loads are what a software adapter is slow at.
    Subgroup,
    /// Register blocks over workgroup memory.
    Tiled,
    /// Few rows a workgroup, the reduced axis split over its threads.
    Split,
}

impl Product {
    /// The kernel, and the rows and columns that one of its workgroups computes; the numbers stand in the shaders too.
    pub(super) fn kernel(self, caps: &Caps) -> (Kernel, [usize; 2]) {
        match self {
            Self::Direct => (Kernel::new("gemm_direct"), [64, 64]),
            Self::Subgroup => {
                let lanes = caps.subgroup.unwrap_or(4);
                (Kernel::new("gemm_subgroup").with("SUBGROUP", lanes), [2 * lanes as usize, 4 * lanes as usize])
            }
            Self::Tiled => (Kernel::new("gemm_tiled"), [64, 64]),
            Self::Split => (Kernel::new("gemm_split"), [4, 64]),
        }
    }
}

/// Products, of linear layers and convolutions alike. Sizes: rows, reduced axis, columns.
pub const PRODUCTS: Choice<Product> = Choice {
    work: "product",
    candidates: &[
        Candidate { name: "direct", value: Product::Direct, fits: |_, _| true },
        Candidate { name: "subgroup", value: Product::Subgroup, fits: |caps, _| matches!(caps.subgroup, Some(4 | 8)) },
        Candidate { name: "tiled", value: Product::Tiled, fits: |caps, _| has(caps, 256, 8 << 10) },
        Candidate { name: "split", value: Product::Split, fits: |caps, _| has(caps, 256, 16 << 10) },
    ],
    order: |caps, [rows, depth, columns]| {
        // Fewer workgroups than a middling GPU has cores leave most of it idle; short sums have nothing to split.
        let few = rows.div_ceil(64) * columns.div_ceil(64) < 32 && depth >= 64;
        match (caps.is_software(), few) {
            (true, _) => &["subgroup", "direct"],
            (false, true) => &["split", "tiled", "direct"],
            (false, false) => &["tiled", "direct"],
        }
    },
};

/// Threads that share a row of a layer norm: one on software adapters, where a barrier costs more than it saves. Sizes: rows,
/// channels, 1.
pub const NORMS: Choice<u32> = Choice {
    work: "norm",
    candidates: &[
        Candidate { name: "1 thread", value: 1, fits: |_, _| true },
        Candidate { name: "32 threads", value: 32, fits: |_, _| true },
    ],
    order: |caps, _| if caps.is_software() { &["1 thread"] } else { &["32 threads"] },
};

/// Channels that a workgroup scans side by side.
pub(super) const SCAN_CHANNELS: usize = 8;

/// Runs of tokens that a workgroup scans in parallel; one alone is walked from end to end, however long it is. Sizes: tokens, channels,
/// values that a channel carries.
pub const SCANS: Choice<usize> = Choice {
    work: "scan",
    candidates: &[
        Candidate { name: "1 run", value: 1, fits: |caps, sizes| scans(caps, sizes, 1) },
        Candidate { name: "2 runs", value: 2, fits: |caps, sizes| scans(caps, sizes, 2) },
        Candidate { name: "4 runs", value: 4, fits: |caps, sizes| scans(caps, sizes, 4) },
        Candidate { name: "8 runs", value: 8, fits: |caps, sizes| scans(caps, sizes, 8) },
        Candidate { name: "16 runs", value: 16, fits: |caps, sizes| scans(caps, sizes, 16) },
        Candidate { name: "32 runs", value: 32, fits: |caps, sizes| scans(caps, sizes, 32) },
    ],
    order: |caps, _| match caps.is_software() {
        true => &["8 runs", "4 runs", "2 runs", "1 run"],
        false => &["32 runs", "16 runs", "8 runs", "4 runs", "2 runs", "1 run"],
    },
};

/// Whether a device has workgroups of so many threads and bytes of workgroup memory.
fn has(caps: &Caps, threads: usize, bytes: usize) -> bool {
    threads <= caps.max_invocations as usize && bytes <= caps.max_workgroup_storage as usize
}

/// A thread keeps its values and the sum of its deltas in workgroup memory.
fn scans(caps: &Caps, [_, _, values]: [usize; 3], runs: usize) -> bool {
    let threads = SCAN_CHANNELS * runs;
    has(caps, threads, threads.saturating_mul(values.saturating_add(1)).saturating_mul(4))
}

/// The works that have candidates, and the names of these.
pub fn choices() -> Vec<(&'static str, Vec<&'static str>)> {
    fn names<T>(choice: &Choice<T>) -> (&'static str, Vec<&'static str>) {
        (choice.work, choice.candidates.iter().map(|c| c.name).collect())
    }
    vec![names(&PRODUCTS), names(&NORMS), names(&SCANS)]
}
