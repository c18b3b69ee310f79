//! Lifetimes to slots: buffers that never live at the same time share memory.
//!
//! Slots are buffers of their own rather than ranges of one arena, because WebGPU forbids one buffer to be read and written in
//! the same dispatch even at disjoint ranges.

use crate::program::{BufRef, Program, Step, Target};

/// Memory for a program's buffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of each slot.
    pub(crate) slots: Vec<u64>,
    /// The slot of each buffer of the program; `None` for buffers that no dispatch, input or output touches.
    pub(crate) slot_of: Vec<Option<usize>>,
}

impl Plan {
    /// A slot of its own for every buffer, `guard` bytes larger than the buffer: to find out who writes past an end.
    pub fn guarded(program: &Program, guard: u64) -> Self {
        let slots = program.buffers.iter().map(|b| (b.bytes + guard).next_multiple_of(16)).collect();
        Self { slots, slot_of: (0..program.buffers.len()).map(Some).collect() }
    }

    /// Whether every buffer of the program has room where the plan puts it: kernels do not check bounds.
    pub(crate) fn holds(&self, program: &Program) -> bool {
        let lifetimes = lifetimes(program);
        let room = |buffer: usize| self.slot_of[buffer].and_then(|slot| self.slots.get(slot));
        let fits = |buffer: usize| {
            lifetimes[buffer].is_none() || room(buffer).is_some_and(|bytes| *bytes >= program.buffers[buffer].bytes)
        };
        self.slot_of.len() == program.buffers.len() && (0..program.buffers.len()).all(fits)
    }

    /// Bytes of all slots.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().sum()
    }
}

/// Assigns a slot to every buffer such that no two buffers share one while both are needed.
pub fn plan(program: &Program) -> Plan {
    let lifetimes = lifetimes(program);
    let mut order: Vec<usize> = (0..program.buffers.len()).filter(|b| lifetimes[*b].is_some()).collect();
    order.sort_by_key(|b| lifetimes[*b]);
    let mut slots: Vec<u64> = Vec::new();
    // The last dispatch at which each slot is taken.
    let mut busy_until: Vec<usize> = Vec::new();
    let mut slot_of = vec![None; program.buffers.len()];
    for buffer in order {
        let Some((first, last)) = lifetimes[buffer] else { continue };
        let bytes = program.buffers[buffer].bytes;
        let free = || (0..slots.len()).filter(|s| busy_until[*s] < first);
        // The smallest free slot that is large enough, else the largest one, which grows.
        let fitting = free().filter(|s| slots[*s] >= bytes).min_by_key(|s| slots[*s]);
        let slot = fitting.or_else(|| free().max_by_key(|s| slots[*s]));
        let slot = slot.unwrap_or_else(|| {
            slots.push(0);
            busy_until.push(0);
            slots.len() - 1
        });
        slots[slot] = slots[slot].max(bytes);
        busy_until[slot] = last;
        slot_of[buffer] = Some(slot);
    }
    Plan { slots, slot_of }
}

/// First and last dispatch (counted from 1) that touch each buffer. The input is written before the first dispatch, outputs are
/// read after the last.
pub(super) fn lifetimes<T: Target>(program: &Program<T>) -> Vec<Option<(usize, usize)>> {
    let mut lifetimes: Vec<Option<(usize, usize)>> = vec![None; program.buffers.len()];
    let mut touch = |buffer: usize, at: usize| {
        let (first, last) = lifetimes[buffer].unwrap_or((at, at));
        lifetimes[buffer] = Some((first.min(at), last.max(at)));
    };
    for input in &program.inputs {
        touch(input.buffer.0, 0);
    }
    for (i, dispatch) in program.dispatches.iter().enumerate() {
        let reads = dispatch.reads().iter().filter_map(|r| match r {
            BufRef::Buffer(id) => Some(id.0),
            BufRef::Weight(_) | BufRef::Nothing => None,
        });
        for buffer in reads.chain(dispatch.writes().iter().map(|w| w.0)) {
            touch(buffer, i + 1);
        }
    }
    for output in &program.outputs {
        touch(output.buffer.0, program.dispatches.len() + 1);
    }
    lifetimes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::Result,
        models::{Architecture, BuildOptions, preset},
        ops::TopK,
        passes,
        plan::lower,
        program::{AdapterClass, Caps},
        weights::Weights,
    };

    /// Every dispatch of a real model: what it touches stays its own from the first write to the last read.
    #[test]
    fn no_slot_is_shared_by_buffers_that_live_together() -> Result<()> {
        for (name, class) in [("mamba_vision_t", AdapterClass::Hardware), ("mila_t", AdapterClass::Software)] {
            let arch: Architecture = preset(name)?.architecture;
            let options = BuildOptions { batch: 2, size: [224, 192], top_k: Some(TopK::plain(5)), class_activation: true };
            let graph = passes::optimise(&arch.build(name, &Weights::zeros(name), &options)?.select(&["top_k", "stage2"])?)?;
            let program = lower(&graph, &Caps::webgpu_default(class))?;
            let plan = plan(&program);
            let lifetimes = lifetimes(&program);
            for a in 0..program.buffers.len() {
                for b in 0..a {
                    if let (Some(x), Some(y)) = (lifetimes[a], lifetimes[b])
                        && x.0 <= y.1
                        && y.0 <= x.1
                    {
                        assert_ne!(plan.slot_of[a], plan.slot_of[b], "{name}: buffers {a} and {b}");
                    }
                }
                if let Some(slot) = plan.slot_of[a] {
                    assert!(plan.slots[slot] >= program.buffers[a].bytes);
                }
            }
            let total: u64 = program.buffers.iter().map(|b| b.bytes).sum();
            assert!(plan.bytes() * 4 < total, "{name}: {} of {total} bytes", plan.bytes());
        }
        Ok(())
    }
}
