//! Runs a program: everything is made at load, a run allocates nothing but what it hands out.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use webmamba_kernels::{Io, Region};

use super::{StepTiming, caps, instruction_sets};
use crate::{
    error::{Error, Result},
    graph::{Graph, check_inputs},
    packed::PackedWeight,
    passes,
    plan::{self, Arena},
    platform::{self, Memory, Stopwatch},
    program::{BufId, BufRef, Cpu, Program, ProgramValue, cpu::Caps},
    tensor::{Bytes, DType, Tensor},
};

/// Memory whose parts are handed to kernels by address.
#[derive(Debug)]
struct Block {
    memory: Memory,
    /// The first value; every access goes through it.
    start: *mut f32,
    bytes: usize,
}

// SAFETY: it is plain memory; who touches which part when is the executor's business.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Block {
    /// At least `bytes` of zeros, from a cache line on.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] when there is no memory for them.
    fn new(bytes: u64, what: &str) -> Result<Self> {
        let none = || Error::OutOfMemory { what: what.to_owned(), bytes };
        let bytes = usize::try_from(bytes.next_multiple_of(64).max(64)).map_err(|_| none())?;
        let mut memory = Memory::zeroed(bytes).ok_or_else(none)?;
        let start = memory.start().cast();
        Ok(Self { memory, start, bytes })
    }

    fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// A range, in values; it lies within the block.
    fn region(&self, start: usize, len: usize) -> Region {
        assert!((start + len) * 4 <= self.bytes, "{len} values at {start} do not fit {} bytes", self.bytes);
        // SAFETY: the place lies within the block.
        Region { start: unsafe { self.start.add(start) }, len }
    }

    /// Sets every value.
    fn fill(&mut self, value: f32) {
        // SAFETY: it is all of the block, and nothing runs while it is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.memory.start().cast::<f32>(), self.bytes / 4) }.fill(value);
    }
}

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
    weights: Weights,
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
        let program = plan::lower::<Cpu>(graph, &caps)?;
        let arena = plan::arena(&program);
        Self::with_program(program, &arena, caps)
    }

    /// Packs the weights of a program and binds its steps to memory.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] when there is no memory for it; [`Error::InvalidArgument`] when a weight has not arrived or the
    /// processor does not have the instruction set.
    pub(crate) fn with_program(mut program: Program<Cpu>, arena: &Arena, caps: Caps) -> Result<Self> {
        if !instruction_sets().contains(&caps.isa) {
            return Err(Error::InvalidArgument(format!("this processor does not run {:?}", caps.isa)));
        }
        let (weights, packed) = Weights::new(&mut program)?;
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
        self.weights.bytes()
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

/// The weights of a program in memory.
#[derive(Debug)]
struct Weights {
    /// Those that had to be packed.
    block: Block,
    /// Those that are read where the checkpoint has them.
    kept: Vec<Tensor>,
}

impl Weights {
    /// Packs with all threads what has to be packed, and lets the host's copies of that go. With it comes where each weight is.
    fn new(program: &mut Program<Cpu>) -> Result<(Self, Vec<Region>)> {
        let (mut kept, mut starts, mut end) = (Vec::new(), Vec::new(), 0);
        for weight in &program.weights {
            if !weight.ready() {
                // Says which one, and why.
                weight.pack(&mut [])?;
            }
            starts.push(end);
            match weight.as_it_is() {
                Some(tensor) => kept.push(tensor.clone()),
                None => end += weight.len().next_multiple_of(16),
            }
        }
        let block = Block::new(end as u64 * 4, "preparing the weights")?;
        let mut as_they_are = kept.iter();
        let region = |(weight, start): (&PackedWeight, &usize)| match weight.as_it_is().and_then(|_| as_they_are.next()) {
            // Only ever read: what a step reads is never what it writes.
            Some(tensor) => Region { start: tensor.bytes().as_ptr().cast_mut().cast(), len: weight.len() },
            None => block.region(*start, weight.len()),
        };
        let regions: Vec<Region> = program.weights.iter().zip(&starts).map(region).collect();
        let (weights, places, failed) = (&program.weights, Places(&regions), Mutex::new(None));
        platform::run_parts(weights.len(), platform::threads(), &|i, _| {
            if weights[i].as_it_is().is_some() {
                return;
            }
            let Region { start, len } = places.get(i);
            // SAFETY: every packed weight has a region of its own, which nobody else looks at yet.
            let packed = weights[i].pack(unsafe { std::slice::from_raw_parts_mut(start, len) });
            weights[i].release();
            if let Err(error) = packed {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        });
        if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        program.weights.iter_mut().for_each(PackedWeight::forget);
        Ok((Self { block, kept }, regions))
    }

    fn bytes(&self) -> u64 {
        self.block.bytes() + self.kept.iter().map(|t| t.bytes().len() as u64).sum::<u64>()
    }
}

/// Regions that threads look up.
struct Places<'a>(&'a [Region]);

// SAFETY: addresses; each thread uses those of its own parts.
unsafe impl Sync for Places<'_> {}

impl Places<'_> {
    fn get(&self, i: usize) -> Region {
        self.0[i]
    }
}
