//! Runs a program: everything is made at load; a frame uploads, encodes one pass, submits once and maps one small buffer.

use std::{
    num::NonZeroU64,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use wgpu::{Buffer, BufferUsages, CommandEncoder, ComputePassDescriptor, ComputePassTimestampWrites, MapMode};

use crate::{
    error::{Error, Result},
    gpu::{
        Allocations, DispatchTiming, Frame, GpuDevice, RunTimes, WeightStore,
        frame::FrameStage,
        launch::{Binding, Launch, launches},
        profiler::Timestamps,
        weights::Placed,
    },
    graph::check_inputs,
    image::Preprocess,
    packed::PackedWeight,
    plan::{self, Plan},
    platform::Stopwatch,
    program::{BufRef, CHANNEL_ALIGN, Program, padded_channels},
    tensor::{Bytes, DType, Tensor},
};

/// Where an output lies in the readback buffer, and how many launches it takes to get there.
#[derive(Debug)]
struct Readback {
    slot: usize,
    offset: u64,
    bytes: u64,
    launches: usize,
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
    /// Small buffers of its own: the parameters, and what absent bindings are bound to.
    others: [Buffer; 2],
    /// An input with padded channels, reused from frame to frame.
    padded: Vec<f32>,
    /// What makes the images of a batch, by their places in it.
    frames: Vec<Option<FrameStage>>,
    /// Keeps the pages alive.
    _weights: Vec<Placed>,
}

impl GpuExecutor {
    /// Uploads the weights that `weights` does not hold yet and prepares everything for [`GpuExecutor::run`].
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::AdapterLimit`], [`Error::DeviceLost`]; [`Error::Gpu`] when a kernel is rejected;
    /// [`Error::InvalidArgument`] for a program or plan that is not for this device or program.
    pub async fn new(gpu: Arc<GpuDevice>, program: Program, weights: Arc<WeightStore>) -> Result<Self> {
        let plan = plan::plan(&program);
        Self::with_plan(gpu, program, weights, plan, |_, _| {}).await
    }

    /// As [`GpuExecutor::new`] with memory assigned by the caller; see [`Plan::guarded`]. `progress` hears how many kernels of
    /// how many are ready.
    ///
    /// # Errors
    /// As [`GpuExecutor::new`].
    pub async fn with_plan(
        gpu: Arc<GpuDevice>,
        mut program: Program,
        weights: Arc<WeightStore>,
        plan: Plan,
        progress: impl FnMut(usize, usize),
    ) -> Result<Self> {
        if !plan.holds(&program) {
            return Err(Error::InvalidArgument("the memory plan is that of another program".into()));
        }
        let lanes = program.dispatches.iter().find_map(|d| d.kernel.constant("SUBGROUP"));
        if let Some(lanes) = lanes.filter(|lanes| gpu.summary().subgroup != Some(*lanes)) {
            let reason = format!("the program is for subgroups of {lanes} lanes, which {} does not have", gpu.summary().name);
            return Err(Error::InvalidArgument(reason));
        }
        weights.upload(&gpu, &mut program.weights).await?;
        // From here on the device has them; host copies (folded weights, say) need not stay.
        program.weights.iter_mut().for_each(PackedWeight::forget);
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let mut slots = Vec::with_capacity(plan.slots.len());
        for bytes in &plan.slots {
            slots.push(gpu.buffer("activations", *bytes, usage).await?);
        }
        let nothing = gpu.buffer("nothing", 256, BufferUsages::STORAGE).await?;
        let slot_of = |id: usize| plan.slot_of[id].and_then(|s| slots.get(s)).unwrap_or(&nothing);
        let mut placed = Vec::with_capacity(program.weights.len());
        for weight in &program.weights {
            let place = weights.get(weight.key()).filter(|place| place.bytes == weight.bytes());
            placed.push(place.ok_or_else(|| Error::Gpu {
                reason: format!("weight `{}` was not uploaded, or that of another model was", weight.name()),
            })?);
        }
        let bound = |read: &BufRef| match read {
            BufRef::Buffer(id) => Ok(Binding::whole(slot_of(id.0))),
            BufRef::Nothing => Ok(Binding::whole(&nothing)),
            BufRef::Weight(id) => {
                let place: &Placed = &placed[id.0];
                Ok(Binding { buffer: place.buffer().clone(), offset: place.offset, size: NonZeroU64::new(place.bytes) })
            }
        };
        let (launches, params) = launches(&gpu, &program.dispatches, bound, progress).await?;

        let mut staging_bytes = 0;
        let mut readbacks = Vec::with_capacity(program.outputs.len());
        for output in &program.outputs {
            let bytes = crate::program::device_bytes(&output.desc);
            let slot = plan.slot_of[output.buffer.0].unwrap_or_default();
            let last = program.dispatches.iter().rposition(|d| d.writes.contains(&output.buffer));
            readbacks.push(Readback { slot, offset: staging_bytes, bytes, launches: last.map_or(0, |i| i + 1) });
            staging_bytes += bytes;
        }
        let staging = gpu.buffer("readback", staging_bytes.max(16), BufferUsages::MAP_READ | BufferUsages::COPY_DST).await?;
        gpu.check()?;
        let (others, padded) = ([params, nothing], Vec::new());
        Ok(Self { gpu, program, plan, slots, launches, readbacks, staging, others, padded, frames: Vec::new(), _weights: placed })
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
        self.gpu.check()?;
        check_inputs(self.program.inputs.iter().map(|i| &i.desc.shape), inputs)?;
        let all: Vec<usize> = (0..self.readbacks.len()).collect();
        let watch = self.gpu.watch();
        self.upload(inputs);
        self.submit(self.gpu.device.create_command_encoder(&Default::default()), None, &all);
        Ok(self.collect(watch.close(), &all).await?.0)
    }

    /// Runs the program, whose only input is one image, on a frame, and gives the outputs of these positions in the program's
    /// list. Launches that only other outputs need are left out.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the frame's pixels are not what it says or the program takes other inputs than one
    /// image of the preprocessing's size; [`Error::AdapterLimit`] for an image that is too large for the device; as
    /// [`GpuExecutor::run`].
    pub async fn run_frame(
        &mut self,
        frame: &Frame<'_>,
        preprocess: &Preprocess,
        wanted: &[usize],
    ) -> Result<(Vec<Tensor>, RunTimes)> {
        self.fit(frame, preprocess, 0).await?;
        let watch = self.gpu.watch();
        let encoder = self.encode(frame, 0);
        self.submit(encoder, Some(0), wanted);
        self.collect(watch.close(), wanted).await
    }

    /// Makes a frame the image at this place of the batch that the program takes, for [`GpuExecutor::run_placed`].
    ///
    /// # Errors
    /// As [`GpuExecutor::run_frame`].
    pub async fn place_frame(&mut self, frame: &Frame<'_>, preprocess: &Preprocess, place: usize) -> Result<()> {
        self.fit(frame, preprocess, place).await?;
        let watch = self.gpu.watch();
        let mut encoder = self.encode(frame, place);
        Self::record(&mut encoder, self.staged(Some(place)));
        self.gpu.queue.submit([encoder.finish()]);
        watch.close().await
    }

    /// Runs the program on the images that have been placed, as [`GpuExecutor::run_frame`] does. They are gone afterwards, as their memory
    /// serves other steps too; what comes of places that were not filled means nothing.
    ///
    /// # Errors
    /// As [`GpuExecutor::run`].
    pub async fn run_placed(&mut self, wanted: &[usize]) -> Result<(Vec<Tensor>, RunTimes)> {
        self.gpu.check()?;
        let watch = self.gpu.watch();
        self.submit(self.gpu.device.create_command_encoder(&Default::default()), None, wanted);
        self.collect(watch.close(), wanted).await
    }

    /// Has everything ready for a frame of this size at this place.
    async fn fit(&mut self, frame: &Frame<'_>, preprocess: &Preprocess, place: usize) -> Result<()> {
        self.gpu.check()?;
        let [height, width] = preprocess.size;
        let input = match self.program.inputs.as_slice() {
            [input] => match *input.desc.shape.dims() {
                [batch, h, w, 3] if [h, w] == preprocess.size && place < batch => self.plan.slot_of[input.buffer.0],
                _ => None,
            },
            _ => None,
        };
        let Some(buffer) = input.and_then(|slot| self.slots.get(slot)).cloned() else {
            let reason = format!("the program does not take an image of {height} x {width} pixels at place {place} of a batch");
            return Err(Error::InvalidArgument(reason));
        };
        frame.check(&self.gpu)?;
        let bytes = (height * width * padded_channels(3) * 4) as u64;
        let input = Binding { buffer, offset: place as u64 * bytes, size: NonZeroU64::new(bytes) };
        if self.frames.len() <= place {
            self.frames.resize_with(place + 1, || None);
        }
        self.frames[place] = Some(FrameStage::fit(self.frames[place].take(), &self.gpu, frame, preprocess, &input).await?);
        Ok(())
    }

    /// The start of a submission: a frame's pixels to where its launches read them.
    fn encode(&self, frame: &Frame<'_>, place: usize) -> CommandEncoder {
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        if let Some(Some(stage)) = self.frames.get(place) {
            stage.upload(&self.gpu, &mut encoder, frame);
        }
        encoder
    }

    /// The launches that make the image at a place.
    fn staged(&self, place: Option<usize>) -> impl Iterator<Item = &Launch> {
        place.and_then(|place| self.frames.get(place)?.as_ref()).into_iter().flat_map(|stage| &stage.launches)
    }

    fn record<'a>(encoder: &mut CommandEncoder, launches: impl Iterator<Item = &'a Launch>) {
        let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor { label: Some("frame"), timestamp_writes: None });
        launches.for_each(|launch| launch.record(&mut pass));
    }

    /// One pass and one submission; first the launches that make the image at a place, if one is named.
    fn submit(&self, mut encoder: CommandEncoder, place: Option<usize>, wanted: &[usize]) {
        let wanted = || wanted.iter().filter_map(|i| self.readbacks.get(*i));
        let needed = wanted().map(|readback| readback.launches).max().unwrap_or_default();
        Self::record(&mut encoder, self.staged(place).chain(&self.launches[..needed]));
        self.copy_outputs(&mut encoder, wanted());
        self.gpu.queue.submit([encoder.finish()]);
    }

    /// The results of what was just submitted, where the device `accepted` it.
    async fn collect(&self, accepted: impl Future<Output = Result<()>>, wanted: &[usize]) -> Result<(Vec<Tensor>, RunTimes)> {
        let clock = Stopwatch::start();
        let done = Arc::new(Mutex::new(None));
        let tell = done.clone();
        self.gpu.queue.on_submitted_work_done(move || {
            *tell.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock.elapsed());
        });
        let words = self.gpu.read(&self.staging).await;
        accepted.await?;
        let words = words?;
        let wanted = wanted.iter().filter_map(|i| Some((*i, self.readbacks.get(*i)?)));
        let outputs = wanted.map(|(i, readback)| self.output(i, readback, &words)).collect::<Result<_>>()?;
        let total = clock.elapsed();
        let device = done.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(total).min(total);
        Ok((outputs, RunTimes { device, readback: total - device }))
    }

    /// As [`GpuExecutor::run`], with the time of every dispatch by timestamp queries, each in a pass of its own.
    ///
    /// # Errors
    /// As [`GpuExecutor::run`]; [`Error::InvalidArgument`] when the adapter has no timestamps.
    pub async fn profile(&mut self, inputs: &[&Tensor]) -> Result<(Vec<Tensor>, Vec<DispatchTiming>)> {
        self.gpu.check()?;
        check_inputs(self.program.inputs.iter().map(|i| &i.desc.shape), inputs)?;
        let timestamps = Timestamps::new(&self.gpu, self.launches.len()).await?;
        let watch = self.gpu.watch();
        self.upload(inputs);
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        for (i, launch) in self.launches.iter().enumerate() {
            let (set, first) = timestamps.place(i);
            let timestamp_writes = ComputePassTimestampWrites {
                query_set: set,
                beginning_of_pass_write_index: Some(first),
                end_of_pass_write_index: Some(first + 1),
            };
            let descriptor = ComputePassDescriptor { label: None, timestamp_writes: Some(timestamp_writes) };
            launch.record(&mut encoder.begin_compute_pass(&descriptor));
        }
        timestamps.resolve(&mut encoder);
        self.copy_outputs(&mut encoder, self.readbacks.iter());
        self.gpu.queue.submit([encoder.finish()]);
        watch.close().await?;
        let words = self.gpu.read(&self.staging).await?;
        let outputs = self.readbacks.iter().enumerate().map(|(i, r)| self.output(i, r, &words)).collect::<Result<_>>()?;
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
            let words = self.contents(slot).await?;
            if words[buffer.bytes as usize / 4..].iter().any(|w| *w != u32::MAX) {
                overruns.push(buffer.name.clone());
            }
        }
        Ok(overruns)
    }

    /// Outputs whose padding channels hold something else than zeros. For tests.
    ///
    /// # Errors
    /// Those of reading back.
    pub async fn dirty_padding(&self) -> Result<Vec<String>> {
        let mut dirty = Vec::new();
        for (output, readback) in self.program.outputs.iter().zip(&self.readbacks) {
            let words = self.contents(&self.slots[readback.slot]).await?;
            let (channels, size) = (output.desc.shape.last(), output.desc.dtype.size());
            // Minus zero is a zero, too.
            let positive = |word: &u32| if size == 4 { word & 0x7fff_ffff } else { *word };
            let words: Vec<u32> = words[..readback.bytes as usize / 4].iter().map(positive).collect();
            let mut rows = bytemuck::cast_slice::<u32, u8>(&words).chunks_exact(padded_channels(channels) * size);
            if rows.any(|row| row[channels * size..].iter().any(|byte| *byte != 0)) {
                dirty.push(output.name.clone());
            }
        }
        Ok(dirty)
    }

    async fn contents(&self, slot: &Buffer) -> Result<Vec<u32>> {
        let staging = self.gpu.buffer("inspection", slot.size(), BufferUsages::MAP_READ | BufferUsages::COPY_DST).await?;
        let watch = self.gpu.watch();
        let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(slot, 0, &staging, 0, slot.size());
        self.gpu.queue.submit([encoder.finish()]);
        watch.close().await?;
        self.gpu.read(&staging).await
    }

    /// Writes the inputs, which have been checked, with their channels padded.
    fn upload(&mut self, inputs: &[&Tensor]) {
        for (wanted, input) in self.program.inputs.iter().zip(inputs) {
            let Some(slot) = self.plan.slot_of[wanted.buffer.0] else { continue };
            let channels = wanted.desc.shape.last();
            let values = input.to_f32();
            let padded = if channels % CHANNEL_ALIGN == 0 {
                &values[..]
            } else {
                self.padded.clear();
                self.padded.resize(wanted.desc.shape.rows() * padded_channels(channels), 0.0);
                for (to, from) in self.padded.chunks_exact_mut(padded_channels(channels)).zip(values.chunks_exact(channels)) {
                    to[..channels].copy_from_slice(from);
                }
                &self.padded[..]
            };
            self.gpu.queue.write_buffer(&self.slots[slot], 0, bytemuck::cast_slice(padded));
        }
    }

    fn copy_outputs<'a>(&self, encoder: &mut CommandEncoder, readbacks: impl Iterator<Item = &'a Readback>) {
        for readback in readbacks {
            encoder.copy_buffer_to_buffer(&self.slots[readback.slot], 0, &self.staging, readback.offset, readback.bytes);
        }
    }

    /// An output from the contents of the readback buffer.
    fn output(&self, index: usize, readback: &Readback, words: &[u32]) -> Result<Tensor> {
        let words = &words[readback.offset as usize / 4..][..readback.bytes as usize / 4];
        let desc = self.program.outputs[index].desc.clone();
        let channels = desc.shape.last();
        let padded = padded_channels(channels);
        if desc.dtype == DType::U8 {
            let rows = bytemuck::cast_slice::<u32, u8>(words).chunks_exact(padded);
            return Tensor::new(desc, Bytes::new(rows.flat_map(|row| &row[..channels]).copied().collect::<Vec<u8>>()));
        }
        let rows = bytemuck::cast_slice::<u32, f32>(words).chunks_exact(padded);
        Tensor::from_f32(desc.shape, rows.flat_map(|row| &row[..channels]).copied().collect())
    }
}

impl Drop for GpuExecutor {
    fn drop(&mut self) {
        // A browser would otherwise keep the memory until its garbage collector comes by.
        self.slots.iter().chain([&self.staging]).chain(&self.others).for_each(Buffer::destroy);
        self.frames.iter().flatten().for_each(FrameStage::destroy);
    }
}

/// A buffer that is mapped or will be: unmapped however its reader leaves, as it could not be used again otherwise.
struct Mapping<'a>(Option<&'a Buffer>);

impl Drop for Mapping<'_> {
    fn drop(&mut self) {
        self.0.iter().for_each(|buffer| buffer.unmap());
    }
}

impl GpuDevice {
    /// The contents of a mappable buffer as 32-bit words, after everything submitted so far.
    pub(super) async fn read(&self, buffer: &Buffer) -> Result<Vec<u32>> {
        let (sender, receiver) = futures_channel::oneshot::channel();
        let watch = self.watch();
        buffer.map_async(MapMode::Read, .., move |result| {
            // The receiver is gone only when this future was dropped, and then nobody wants the answer.
            let _ = sender.send(result);
        });
        let accepted = watch.close();
        let mut mapping = Mapping(Some(buffer));
        self.wait()?;
        match receiver.await {
            Ok(Ok(())) => {}
            refused => {
                mapping.0 = None;
                self.check()?;
                accepted.await?;
                return Err(match refused {
                    Ok(Err(error)) => Error::Gpu { reason: format!("the readback failed: {error}") },
                    _ => Error::DeviceLost { reason: "the readback was dropped".into() },
                });
            }
        }
        let view = buffer.get_mapped_range(..).map_err(|error| Error::Gpu { reason: error.to_string() })?;
        Ok(view.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect())
    }
}
