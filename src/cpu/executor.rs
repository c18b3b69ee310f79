//! Runs a program: everything is made at load, a run allocates nothing but what it hands out.

use std::{sync::Arc, time::Duration};

use webmamba_kernels::{Io, Region};

use super::{StepTiming, WeightStore, block::Block, caps, instruction_sets, weights::Packed};
use crate::{
    error::{Error, Result},
    graph::{Graph, check_inputs},
    passes, plan,
    platform::{self, Stopwatch},
    program::{BufId, BufRef, Cpu, Program, ProgramValue, cpu::Caps},
    tensor::{Bytes, DType, Tensor},
};

/// A step with the addresses of its operands.
#[derive(Debug)]
struct Bound {
    reads: Vec<Region>,
    writes: Vec<Region>,
    parts: usize,
    scratch: usize,
}

// SAFETY: regions are addresses of blocks, which are `Sync`.
unsafe impl Send for Bound {}
// SAFETY: as above.
unsafe impl Sync for Bound {}

/// A program with its memory and packed weights.
#[derive(Debug)]
pub struct CpuExecutor {
    caps: Caps,
    program: Program<Cpu>,
    steps: Vec<Bound>,
    inputs: Vec<Region>,
    outputs: Vec<Region>,
    arena: Block,
    /// Keeps its weights where they are.
    weights: Vec<Arc<Packed>>,
    /// One piece a thread.
    scratch: Block,
    scratch_len: usize,
    zeros: Vec<f32>,
}

// SAFETY: the regions of inputs and outputs are addresses of the blocks it owns.
unsafe impl Send for CpuExecutor {}
// SAFETY: as above; runs take it mutably.
unsafe impl Sync for CpuExecutor {}

impl CpuExecutor {
    /// Optimises a graph and prepares it for the processor at hand.
    ///
    /// # Errors
    /// Those of [`CpuExecutor::with_caps`].
    pub fn new(graph: &Graph) -> Result<Self> {
        Self::with_caps(&passes::optimise(graph)?, caps())
    }

    /// Prepares a graph as it is, with an instruction set and number of threads of the caller's choice.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the processor does not have the instruction set or a weight has not arrived;
    /// [`Error::OutOfMemory`] when there is no memory for it.
    pub fn with_caps(graph: &Graph, caps: Caps) -> Result<Self> {
        Self::with_weights(graph, caps, &WeightStore::default())
    }

    /// As [`CpuExecutor::with_caps`], with the weights that the store holds; those that it lacks are packed into it.
    ///
    /// # Errors
    /// As [`CpuExecutor::with_caps`].
    pub fn with_weights(graph: &Graph, caps: Caps, store: &WeightStore) -> Result<Self> {
        if !instruction_sets().contains(&caps.isa) {
            return Err(Error::InvalidArgument(format!("this processor does not run {:?}", caps.isa)));
        }
        let mut program = plan::lower::<Cpu>(graph, &caps)?;
        let arena = plan::arena(&program);
        let (weights, packed) = store.pack(&mut program.weights)?;
        let memory = Block::new(arena.bytes, "preparing the activations")?;
        let place = |id: BufId| {
            let start = arena.offset_of[id.0].unwrap_or_default() / 4;
            memory.region(start as usize, program.buffers[id.0].bytes.div_ceil(4) as usize)
        };
        let read = |read: &BufRef| match read {
            BufRef::Buffer(id) => place(*id),
            BufRef::Weight(id) => packed[id.0],
            BufRef::Nothing => Region::NOTHING,
        };
        let bind = |step: &crate::program::cpu::CpuStep| Bound {
            reads: step.reads.iter().map(read).collect(),
            writes: step.writes.iter().map(|id| place(*id)).collect(),
            parts: step.kernel.kernel().parts(&caps),
            scratch: step.kernel.kernel().scratch(&caps),
        };
        let steps: Vec<Bound> = program.dispatches.iter().map(bind).collect();
        let scratch_len = steps.iter().map(|s| s.scratch).max().unwrap_or(0).next_multiple_of(16);
        let scratch = Block::new((scratch_len * caps.threads * 4) as u64, "preparing the threads")?;
        let values = |values: &[ProgramValue]| {
            let len = |v: &ProgramValue| (v.desc.shape.len() * v.desc.dtype.size()).div_ceil(4);
            values.iter().map(|v| Region { len: len(v), ..place(v.buffer) }).collect::<Vec<Region>>()
        };
        let (inputs, outputs) = (values(&program.inputs), values(&program.outputs));
        let widest = program.dispatches.iter().map(|step| match &step.kernel {
            crate::program::cpu::CpuKernel::Gemm(g) => g.kernel[1] * g.input_channels,
            _ => 0,
        });
        let zeros = vec![0.0; widest.max().unwrap_or(0)];
        Ok(Self { caps, steps, inputs, outputs, arena: memory, weights, scratch, scratch_len, zeros, program })
    }

    /// The program that runs.
    pub fn program(&self) -> &Program<Cpu> {
        &self.program
    }

    /// Bytes of the weights.
    pub fn weight_bytes(&self) -> u64 {
        self.weights.iter().map(|packed| packed.bytes()).sum()
    }

    /// Bytes of the arena and of what the threads work in.
    pub fn activation_bytes(&self) -> u64 {
        self.arena.bytes() + self.scratch.bytes()
    }

    /// Fills the arena with NaN, so that whatever is read before it is written shows in the results.
    pub fn poison(&mut self) {
        self.arena.fill(f32::NAN);
        self.scratch.fill(f32::NAN);
    }

    /// Runs the program on its inputs, in their order; the results in the order of its outputs.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the inputs do not have the program's shapes.
    pub fn run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        self.run_with(inputs, |_, _| {})
    }

    /// As [`CpuExecutor::run`], with the time that every step took.
    ///
    /// # Errors
    /// As [`CpuExecutor::run`].
    pub fn profile(&mut self, inputs: &[&Tensor]) -> Result<(Vec<Tensor>, Vec<StepTiming>)> {
        let mut times = vec![Duration::ZERO; self.steps.len()];
        let outputs = self.run_with(inputs, |i, time| times[i] = time)?;
        let timing = |(step, time): (&crate::program::cpu::CpuStep, Duration)| StepTiming {
            op: step.label.op,
            kernel: step.kernel.name(),
            node: step.label.node.clone(),
            time,
        };
        Ok((outputs, self.program.dispatches.iter().zip(times).map(timing).collect()))
    }

    fn run_with(&mut self, inputs: &[&Tensor], mut report: impl FnMut(usize, Duration)) -> Result<Vec<Tensor>> {
        check_inputs(self.program.inputs.iter().map(|v| &v.desc.shape), inputs)?;
        for (region, input) in self.inputs.iter().zip(inputs) {
            let values = input.to_f32();
            // SAFETY: the region is the input's own in the arena, and nothing runs yet.
            unsafe { std::slice::from_raw_parts_mut(region.start, region.len) }.copy_from_slice(&values);
        }
        for (i, (step, bound)) in self.program.dispatches.iter().zip(&self.steps).enumerate() {
            let watch = Stopwatch::start();
            let kernel = step.kernel.kernel();
            platform::run_parts(bound.parts, self.caps.threads, &|part, thread| {
                // SAFETY: the blocks outlive the run; lifetimes keep what a step reads apart from what it writes, and steps run one
                // after another. A thread has its own piece of scratch memory, and runs one part at a time.
                unsafe {
                    let io = Io::new(&bound.reads, &bound.writes, &self.zeros);
                    let Region { start, .. } = self.scratch.region(thread * self.scratch_len, bound.scratch);
                    let scratch = std::slice::from_raw_parts_mut(start, bound.scratch);
                    kernel.run(&self.caps, &io, part, scratch);
                }
            });
            report(i, watch.elapsed());
        }
        let result = |(region, value): (&Region, &ProgramValue)| {
            // SAFETY: the region is the result's own in the arena, and nothing runs any more.
            let values = unsafe { std::slice::from_raw_parts(region.start, region.len) };
            let desc = value.desc.clone();
            match desc.dtype {
                DType::U8 => {
                    let bytes = bytemuck::cast_slice::<f32, u8>(values)[..desc.shape.len()].to_vec();
                    Tensor::new(desc, Bytes::new(bytes))
                }
                _ => Tensor::from_f32(desc.shape, values.to_vec()),
            }
        };
        self.outputs.iter().zip(&self.program.outputs).map(result).collect()
    }
}
