//! Runs a program: everything is made at load; a frame uploads, encodes one pass, submits once and maps one small buffer.

use std::sync::{Arc, atomic::Ordering};

use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, Buffer, BufferBinding, BufferUsages, CommandEncoder, ComputePassDescriptor,
    ComputePassTimestampWrites, MapMode,
};

use crate::{
    cpu::check_inputs,
    error::{Error, Result},
    gpu::{
        GpuDevice, WeightStore,
        device::Pipeline,
        profiler::{DispatchTiming, Timestamps},
    },
    plan::{self, Plan},
    program::{BufRef, CHANNEL_ALIGN, PackedWeight, Program, padded_channels},
    tensor::Tensor,
};

/// A launch with its resources.
#[derive(Debug)]
struct Launch {
    pipeline: Pipeline,
    group: BindGroup,
    grid: [u32; 3],
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

/// Where an output lies in the readback buffer.
#[derive(Debug)]
struct Readback {
    slot: usize,
    offset: u64,
    bytes: u64,
}

/// A program with its memory, pipelines and bind groups on a device.
#[derive(Debug)]
pub struct GpuExecutor {
    gpu: Arc<GpuDevice>,
    program: Program,
    plan: Plan,
    slots: Vec<Buffer>,
    launches: Vec<Launch>,
    readbacks: Vec<Readback>,
    staging: Buffer,
    /// An input with padded channels, reused from frame to frame.
    padded: Vec<f32>,
    /// Keeps the pages alive.
    _weights: Arc<WeightStore>,
}

impl GpuExecutor {
    /// Uploads the weights that `weights` does not hold yet and prepares everything for [`GpuExecutor::run`].
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::AdapterLimit`], [`Error::DeviceLost`]; [`Error::Gpu`] when a kernel is rejected.
    pub async fn new(gpu: Arc<GpuDevice>, program: Program, weights: Arc<WeightStore>) -> Result<Self> {
        let plan = plan::plan(&program);
        Self::with_plan(gpu, program, weights, plan).await
    }

    /// As [`GpuExecutor::new`] with memory assigned by the caller; see [`Plan::guarded`].
    ///
    /// # Errors
    /// As [`GpuExecutor::new`].
    pub async fn with_plan(gpu: Arc<GpuDevice>, mut program: Program, weights: Arc<WeightStore>, plan: Plan) -> Result<Self> {
        weights.upload(&gpu, &program.weights).await?;
        // From here on the device has them; host copies (folded weights, say) need not stay.
        program.weights.iter_mut().for_each(PackedWeight::forget);
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let mut slots = Vec::with_capacity(plan.slots.len());
        for bytes in &plan.slots {
            slots.push(gpu.buffer("activations", *bytes, usage).await?);
        }
        let nothing = gpu.buffer("nothing", 256, BufferUsages::STORAGE).await?;
        let align = u64::from(gpu.device.limits().min_uniform_buffer_offset_alignment);
        let block_bytes = |bytes: &[u8]| (bytes.len() as u64).next_multiple_of(16);
        let param_bytes: u64 = program.dispatches.iter().map(|d| block_bytes(&d.params.bytes).next_multiple_of(align)).sum();
        let params = gpu.buffer("parameters", param_bytes.max(16), BufferUsages::UNIFORM | BufferUsages::COPY_DST).await?;

        let mut launches = Vec::with_capacity(program.dispatches.len());
        let mut blocks = vec![0u8; param_bytes as usize];
        let mut offset = 0u64;
        for dispatch in &program.dispatches {
            let bytes = &dispatch.params.bytes;
            blocks[offset as usize..][..bytes.len()].copy_from_slice(bytes);
            let pipeline = gpu.pipeline(dispatch).await?;
            let slot_of = |id: usize| plan.slot_of[id].and_then(|s| slots.get(s)).unwrap_or(&nothing);
            let whole = |buffer: &Buffer| (buffer.clone(), 0, None);
            let reads = dispatch.reads.iter().map(|read| match read {
                BufRef::Buffer(id) => Ok(whole(slot_of(id.0))),
                BufRef::Nothing => Ok(whole(&nothing)),
                BufRef::Weight(id) => {
                    let key = &program.weights[id.0].key;
                    let missing = || Error::Gpu { reason: format!("weight `{key}` was not uploaded") };
                    weights.get(key).map(|p| (p.buffer, p.offset, Some(p.bytes))).ok_or_else(missing)
                }
            });
            let writes = dispatch.writes.iter().map(|id| Ok(whole(slot_of(id.0))));
            let mut bindings = reads.chain(writes).collect::<Result<Vec<_>>>()?;
            bindings.push((params.clone(), offset, Some(block_bytes(bytes))));
            let entries: Vec<BindGroupEntry<'_>> = bindings
                .iter()
                .enumerate()
                .map(|(i, (buffer, offset, size))| BindGroupEntry {
                    binding: i as u32,
                    resource: wgpu::BindingResource::Buffer(BufferBinding {
                        buffer,
                        offset: *offset,
                        size: size.and_then(std::num::NonZeroU64::new),
                    }),
                })
                .collect();
            let descriptor = BindGroupDescriptor { label: None, layout: &pipeline.layout, entries: &entries };
            let group = gpu.device.create_bind_group(&descriptor);
            gpu.created[1].fetch_add(1, Ordering::Relaxed);
            launches.push(Launch { pipeline, group, grid: dispatch.grid });
            offset += block_bytes(bytes).next_multiple_of(align);
        }
        gpu.queue.write_buffer(&params, 0, &blocks);

        let mut staging_bytes = 0;
        let mut readbacks = Vec::with_capacity(program.outputs.len());
        for output in &program.outputs {
            let bytes = crate::program::device_bytes(&output.shape);
            let slot = plan.slot_of[output.buffer.0].unwrap_or_default();
            readbacks.push(Readback { slot, offset: staging_bytes, bytes });
            staging_bytes += bytes;
        }
        let staging = gpu.buffer("readback", staging_bytes.max(16), BufferUsages::MAP_READ | BufferUsages::COPY_DST).await?;
        gpu.check()?;
        let padded = Vec::new();
        Ok(Self { gpu, program, plan, slots, launches, readbacks, staging, padded, _weights: weights })
    }

    /// The program that runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Bytes of all activation slots.
    pub fn activation_bytes(&self) -> u64 {
        self.plan.bytes()
    }

    /// What was created on the device so far.
    pub fn allocations(&self) -> Allocations {
        let [buffers, bind_groups, pipelines] = [0, 1, 2].map(|i: usize| self.gpu.created[i].load(Ordering::Relaxed));
        Allocations { buffers, bind_groups, pipelines }
    }

    /// Runs the program on its inputs, in their order; results in the order of the program's outputs, channels-last.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the inputs have other shapes, [`Error::DeviceLost`], [`Error::Gpu`].
    pub async fn run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        self.upload(inputs)?;
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor { label: Some("frame"), timestamp_writes: None });
            for launch in &self.launches {
                record(&mut pass, launch);
            }
        }
        self.copy_outputs(&mut encoder);
        self.gpu.queue.submit([encoder.finish()]);
        self.read().await
    }

    /// As [`GpuExecutor::run`], with the time of every dispatch by timestamp queries, each in a pass of its own.
    ///
    /// # Errors
    /// As [`GpuExecutor::run`]; [`Error::InvalidArgument`] when the adapter has no timestamps.
    pub async fn profile(&mut self, inputs: &[&Tensor]) -> Result<(Vec<Tensor>, Vec<DispatchTiming>)> {
        let timestamps = Timestamps::new(&self.gpu, self.launches.len()).await?;
        self.upload(inputs)?;
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        for (i, launch) in self.launches.iter().enumerate() {
            let (set, first) = timestamps.place(i);
            let timestamp_writes = ComputePassTimestampWrites {
                query_set: set,
                beginning_of_pass_write_index: Some(first),
                end_of_pass_write_index: Some(first + 1),
            };
            let descriptor = ComputePassDescriptor { label: None, timestamp_writes: Some(timestamp_writes) };
            record(&mut encoder.begin_compute_pass(&descriptor), launch);
        }
        timestamps.resolve(&mut encoder);
        self.copy_outputs(&mut encoder);
        self.gpu.queue.submit([encoder.finish()]);
        let outputs = self.read().await?;
        Ok((outputs, timestamps.read(&self.gpu, &self.program).await?))
    }

    /// Fills every slot with NaN, so that whatever a kernel leaves unwritten or writes past an end shows. For tests.
    pub fn poison(&self) {
        for (slot, bytes) in self.slots.iter().zip(&self.plan.slots) {
            self.gpu.queue.write_buffer(slot, 0, &vec![0xff; *bytes as usize]);
        }
    }

    /// Buffers that were written past their end since [`GpuExecutor::poison`], of a plan by [`Plan::guarded`].
    ///
    /// # Errors
    /// Those of reading back.
    pub async fn overruns(&self) -> Result<Vec<String>> {
        let mut overruns = Vec::new();
        for (buffer, slot) in self.program.buffers.iter().zip(&self.slots) {
            let staging = self.gpu.buffer("guards", slot.size(), BufferUsages::MAP_READ | BufferUsages::COPY_DST).await?;
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            encoder.copy_buffer_to_buffer(slot, 0, &staging, 0, slot.size());
            self.gpu.queue.submit([encoder.finish()]);
            let words = self.gpu.read(&staging).await?;
            if words[buffer.bytes as usize / 4..].iter().any(|w| *w != u32::MAX) {
                overruns.push(buffer.name.clone());
            }
        }
        Ok(overruns)
    }

    /// Writes the inputs with their channels padded.
    fn upload(&mut self, inputs: &[&Tensor]) -> Result<()> {
        self.gpu.check()?;
        check_inputs(self.program.inputs.iter().map(|i| &i.shape), inputs)?;
        for (wanted, input) in self.program.inputs.iter().zip(inputs) {
            let Some(slot) = self.plan.slot_of[wanted.buffer.0] else { continue };
            let channels = wanted.shape.last();
            let values = input.to_f32();
            let padded = if channels % CHANNEL_ALIGN == 0 {
                &values[..]
            } else {
                self.padded.clear();
                self.padded.resize(wanted.shape.rows() * padded_channels(channels), 0.0);
                for (to, from) in self.padded.chunks_exact_mut(padded_channels(channels)).zip(values.chunks_exact(channels)) {
                    to[..channels].copy_from_slice(from);
                }
                &self.padded[..]
            };
            self.gpu.queue.write_buffer(&self.slots[slot], 0, bytemuck::cast_slice(padded));
        }
        Ok(())
    }

    fn copy_outputs(&self, encoder: &mut CommandEncoder) {
        for readback in &self.readbacks {
            encoder.copy_buffer_to_buffer(&self.slots[readback.slot], 0, &self.staging, readback.offset, readback.bytes);
        }
    }

    async fn read(&self) -> Result<Vec<Tensor>> {
        let words = self.gpu.read(&self.staging).await?;
        let outputs = self.program.outputs.iter().zip(&self.readbacks).map(|(output, readback)| {
            let values: &[f32] = bytemuck::cast_slice(&words[readback.offset as usize / 4..][..readback.bytes as usize / 4]);
            let channels = output.shape.last();
            let rows = values.chunks_exact(padded_channels(channels));
            Tensor::from_f32(output.shape.clone(), rows.flat_map(|row| &row[..channels]).copied().collect())
        });
        outputs.collect()
    }
}

fn record(pass: &mut wgpu::ComputePass<'_>, launch: &Launch) {
    pass.set_pipeline(&launch.pipeline.pipeline);
    pass.set_bind_group(0, &launch.group, &[]);
    let [x, y, z] = launch.grid;
    pass.dispatch_workgroups(x, y, z);
}

impl GpuDevice {
    /// The contents of a mappable buffer as 32-bit words, after everything submitted so far.
    pub(super) async fn read(&self, buffer: &Buffer) -> Result<Vec<u32>> {
        let (sender, receiver) = futures_channel::oneshot::channel();
        buffer.map_async(MapMode::Read, .., move |result| {
            // The receiver is gone only when this future was dropped, and then nobody wants the answer.
            let _ = sender.send(result);
        });
        self.wait()?;
        let mapped = receiver.await.map_err(|_| Error::DeviceLost { reason: "the readback was dropped".into() })?;
        self.check()?;
        mapped.map_err(|error| Error::Gpu { reason: format!("the readback failed: {error}") })?;
        let words = {
            let view = buffer.get_mapped_range(..).map_err(|error| Error::Gpu { reason: error.to_string() })?;
            view.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect()
        };
        buffer.unmap();
        Ok(words)
    }
}
