//! One block of memory for all buffers of a program: offsets by lifetimes, for devices that may read and write one block in a step.

use super::slots::lifetimes;
use crate::program::{Program, Target};

/// What offsets are multiples of, in bytes: a cache line.
const ALIGN: u64 = 64;

/// Memory for a program's buffers inside one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arena {
    /// Bytes of the block.
    pub bytes: u64,
    /// Where each buffer of the program starts; `None` for buffers that no step, input or output touches.
    pub offset_of: Vec<Option<u64>>,
}

impl Arena {
    /// A place of its own for every buffer, with `guard` bytes behind it: to find out who writes past an end.
    pub fn guarded<T: Target>(program: &Program<T>, guard: u64) -> Self {
        let mut bytes = 0;
        let mut place = |len: u64| {
            let start = bytes;
            bytes += (len + guard).next_multiple_of(ALIGN);
            Some(start)
        };
        let offset_of = program.buffers.iter().map(|b| place(b.bytes)).collect();
        Self { bytes, offset_of }
    }
}

/// Places every buffer at the lowest offset where none is that lives at the same time, the largest ones first.
pub fn arena<T: Target>(program: &Program<T>) -> Arena {
    let lifetimes = lifetimes(program);
    let mut order: Vec<usize> = (0..program.buffers.len()).filter(|b| lifetimes[*b].is_some()).collect();
    order.sort_by_key(|b| (std::cmp::Reverse(program.buffers[*b].bytes), *b));
    let mut offset_of = vec![None; program.buffers.len()];
    // Start, end and lifetime of those that have their place.
    let mut placed: Vec<(u64, u64, (usize, usize))> = Vec::new();
    for buffer in order {
        let Some((first, last)) = lifetimes[buffer] else { continue };
        let len = program.buffers[buffer].bytes.next_multiple_of(ALIGN);
        let mut start = 0;
        // In the order of their starts, so that the first gap is the lowest.
        for (from, to, _) in placed.iter().filter(|(_, _, life)| life.0 <= last && first <= life.1) {
            if start + len <= *from {
                break;
            }
            start = start.max(*to);
        }
        let at = placed.partition_point(|(from, ..)| *from < start);
        placed.insert(at, (start, start + len, (first, last)));
        offset_of[buffer] = Some(start);
    }
    Arena { bytes: placed.iter().map(|p| p.1).max().unwrap_or(0), offset_of }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::Result,
        models::{BuildOptions, preset},
        passes,
        plan::lower,
        program::{
            Cpu,
            cpu::{Caps, Isa},
        },
        weights::Weights,
    };

    /// All pairs of buffers of a real model: what lives together does not overlap, and the block is much smaller than their sum.
    #[test]
    fn buffers_that_live_together_do_not_overlap() -> Result<()> {
        for name in ["mamba_vision_t", "mila_t"] {
            let options = BuildOptions { batch: 2, size: [224, 192], top_k: None, class_activation: false };
            let graph = preset(name)?.architecture.build(name, &Weights::zeros(name), &options)?;
            let program = lower::<Cpu>(&passes::optimise(&graph)?, &Caps { isa: Isa::Avx512, threads: 2 })?;
            let (arena, lifetimes) = (arena(&program), lifetimes(&program));
            let range = |b: usize| arena.offset_of[b].map(|start| (start, start + program.buffers[b].bytes));
            for a in 0..program.buffers.len() {
                for b in 0..a {
                    let (Some(x), Some(y)) = (lifetimes[a], lifetimes[b]) else { continue };
                    let (Some(p), Some(q)) = (range(a), range(b)) else { continue };
                    let together = x.0 <= y.1 && y.0 <= x.1;
                    assert!(!together || p.1 <= q.0 || q.1 <= p.0, "{name}: buffers {a} and {b}");
                    assert!(p.0.is_multiple_of(ALIGN) && p.1 <= arena.bytes);
                }
            }
            let total: u64 = program.buffers.iter().map(|b| b.bytes).sum();
            assert!(arena.bytes * 6 < total, "{name}: {} of {total} bytes", arena.bytes);
        }
        Ok(())
    }
}
