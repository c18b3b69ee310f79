//! An opened device: queue, capabilities, pipelines made so far, and what went wrong with it.

#[cfg(not(target_arch = "wasm32"))]
use std::collections::HashSet;
use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use wgpu::{
    BindGroupLayout, BindGroupLayoutDescriptor, BindGroupLayoutEntry, BindingType, Buffer, BufferBindingType, BufferDescriptor,
    BufferUsages, ComputePipeline, ComputePipelineDescriptor, DeviceDescriptor, ErrorFilter, ErrorScopeGuard,
    ExperimentalFeatures, Features, MemoryHints, PipelineCompilationOptions, PipelineLayoutDescriptor, ShaderModuleDescriptor,
    ShaderSource, ShaderStages, Trace,
};

use crate::{
    error::{Error, Result},
    gpu::{AdapterSummary, adapter, shader},
    program::{Caps, Dispatch, Kernel, Precision, Tuning},
};

/// What the driver told after the fact.
#[derive(Debug, Default)]
struct Trouble {
    lost: Option<String>,
    /// The first rejected call that nobody watched.
    stray: Option<String>,
}

/// Catches what the driver rejects of the calls between [`GpuDevice::watch`] and [`Watch::close`], so that an error reaches whoever
/// made the call. Nothing may be awaited in between: on the web all work on a device shares one stack of scopes.
pub(super) struct Watch {
    // In the order in which they close, dropped or not: the last one opened comes first.
    memory: ErrorScopeGuard,
    internal: ErrorScopeGuard,
    validation: ErrorScopeGuard,
    allocated: u64,
}

impl Watch {
    /// Ends the watch at once; the future tells what it caught.
    pub(super) fn close(self) -> impl Future<Output = Result<()>> {
        let allocated = self.allocated;
        let (memory, internal, validation) = (self.memory.pop(), self.internal.pop(), self.validation.pop());
        async move {
            if memory.await.is_some() {
                return Err(out_of_memory(allocated));
            }
            match (internal.await, validation.await) {
                (None, None) => Ok(()),
                (Some(error), _) | (None, Some(error)) => Err(Error::Gpu { reason: error.to_string() }),
            }
        }
    }
}

/// A pipeline and the layout of its only bind group.
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    pub(super) pipeline: ComputePipeline,
    pub(super) layout: BindGroupLayout,
}

/// A GPU that is ready to run programs. Shared by everything that runs on it.
///
/// Everything that waits for a device is `async`, as browsers want it. Natively nobody else drives the device: a future that has to
/// wait for it blocks its thread in `poll` until the device is done, so an asynchronous program runs it where it may block, such as
/// in tokio's `spawn_blocking`.
#[derive(Debug)]
pub struct GpuDevice {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    summary: AdapterSummary,
    caps: Caps,
    tuning: Tuning,
    pipelines: Mutex<HashMap<Kernel, Pipeline>>,
    /// Bytes of all buffers created so far.
    allocated: AtomicU64,
    /// Buffers, bind groups and pipelines created so far.
    pub(super) created: [AtomicUsize; 3],
    trouble: Arc<Mutex<Trouble>>,
    /// Tells it from all others: devices of two instances of wgpu may compare as equal.
    pub(super) identity: Arc<()>,
}

/// What WebGPU guarantees and every kernel is written for.
const MIN_STORAGE_BUFFERS: u32 = 8;

impl GpuDevice {
    const WANTED: Features = Features::TIMESTAMP_QUERY.union(Features::SUBGROUP).union(Features::SHADER_F16);

    /// Opens the best adapter whose name, kind, backend or driver contains `wanted`; without a wish the best hardware adapter.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] when there is none; [`Error::AdapterLimit`] when it is below WebGPU's guarantees;
    /// [`Error::Gpu`] when the driver refuses to open it.
    pub async fn open(wanted: Option<&str>) -> Result<Self> {
        let instance = adapter::instance();
        let (adapter, summary) = adapter::choose(&instance, wanted).await?;
        let descriptor = DeviceDescriptor {
            label: Some("webmamba"),
            required_features: adapter.features() & Self::WANTED,
            required_limits: adapter.limits(),
            experimental_features: ExperimentalFeatures::disabled(),
            memory_hints: MemoryHints::MemoryUsage,
            trace: Trace::Off,
        };
        let opened = adapter.request_device(&descriptor).await;
        let (device, queue) = opened.map_err(|e| Error::Gpu { reason: format!("{} could not be opened: {e}", summary.name) })?;
        Self::of(device, queue, summary)
    }

    /// Takes a device that somebody else has opened, and what is known of its adapter. Kernels keep to the limits and features
    /// that the device was opened with, which may be fewer than the adapter's.
    ///
    /// # Errors
    /// [`Error::AdapterLimit`] when it was opened with less than WebGPU guarantees.
    pub fn of(device: wgpu::Device, queue: wgpu::Queue, summary: AdapterSummary) -> Result<Self> {
        let limits = device.limits();
        for (limit, needed, available) in [
            ("maxStorageBuffersPerShaderStage", MIN_STORAGE_BUFFERS, limits.max_storage_buffers_per_shader_stage),
            ("maxComputeInvocationsPerWorkgroup", 256, limits.max_compute_invocations_per_workgroup),
            ("maxComputeWorkgroupStorageSize", 16 << 10, limits.max_compute_workgroup_storage_size),
        ] {
            if available < needed {
                let (needed, available) = (needed.into(), available.into());
                return Err(Error::AdapterLimit { adapter: summary.name, limit: limit.into(), needed, available });
            }
        }
        let trouble = Arc::new(Mutex::new(Trouble::default()));
        let lost = trouble.clone();
        device.set_device_lost_callback(move |reason, message| {
            lost.lock().unwrap_or_else(PoisonError::into_inner).lost = Some(format!("{reason:?} {message}"));
        });
        let stray = trouble.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            stray.lock().unwrap_or_else(PoisonError::into_inner).stray.get_or_insert(error.to_string());
        }));
        let caps = summary.caps(&device);
        Ok(Self {
            device,
            queue,
            summary,
            caps,
            tuning: Tuning::default(),
            pipelines: Mutex::default(),
            allocated: AtomicU64::new(0),
            created: Default::default(),
            trouble,
            identity: Arc::default(),
        })
    }

    /// The adapter.
    pub fn summary(&self) -> &AdapterSummary {
        &self.summary
    }

    /// The device itself, for what must be made on the very same one.
    pub fn device(&self) -> &wgpu::Device {
        &self.device
    }

    /// Its queue, for what must be submitted to the very same one.
    pub fn queue(&self) -> &wgpu::Queue {
        &self.queue
    }

    /// What lowering needs to know of it.
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The device as if it had other capabilities, to test every kernel variant on every adapter.
    pub fn set_caps(&mut self, caps: Caps) {
        self.caps = caps;
    }

    /// Which kernels sessions on it take instead of the default ones.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// Takes other kernels than the default ones in sessions that are made from now on.
    pub fn set_tuning(&mut self, tuning: Tuning) {
        self.tuning = tuning;
    }

    /// Stores activations of sessions that are made from now on in this precision.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for [`Precision::F16`] when the device was opened without `shader-f16`.
    pub fn set_precision(&mut self, precision: Precision) -> Result<()> {
        let half = precision == Precision::F16;
        if half && !self.device.features().contains(Features::SHADER_F16) {
            let name = &self.summary.name;
            return Err(Error::InvalidArgument(format!(
                "{name} has no `shader-f16`, which the precision f16 needs; take f32 or auto"
            )));
        }
        self.caps.half = half;
        Ok(())
    }

    /// True when dispatches can be timed.
    pub fn has_timestamps(&self) -> bool {
        self.device.features().contains(Features::TIMESTAMP_QUERY)
    }

    /// Destroys the device, as a driver reset would: everything on it fails from now on. For tests of recovery.
    pub fn destroy(&self) {
        self.device.destroy();
    }

    /// The first error since the last call that no session has caused: by calls on [`GpuDevice::device`] or [`GpuDevice::queue`].
    pub fn stray_error(&self) -> Option<Error> {
        self.lock_trouble().stray.take().map(|reason| Error::Gpu { reason })
    }

    /// Whether the device is still there.
    pub(super) fn check(&self) -> Result<()> {
        match &self.lock_trouble().lost {
            Some(reason) => Err(lost(reason, self.allocated.load(Ordering::Relaxed))),
            None => Ok(()),
        }
    }

    /// Begins to catch what the driver rejects.
    pub(super) fn watch(&self) -> Watch {
        let open = |filter| self.device.push_error_scope(filter);
        let (validation, internal) = (open(ErrorFilter::Validation), open(ErrorFilter::Internal));
        let memory = open(ErrorFilter::OutOfMemory);
        Watch { memory, internal, validation, allocated: self.allocated.load(Ordering::Relaxed) }
    }

    /// A buffer, or an error when the device has no memory for it.
    pub(super) async fn buffer(&self, label: &str, bytes: u64, usage: BufferUsages) -> Result<Buffer> {
        self.check()?;
        let limit = self.device.limits().max_buffer_size;
        if bytes > limit {
            let (adapter, limit_name) = (self.summary.name.clone(), "maxBufferSize".to_owned());
            return Err(Error::AdapterLimit { adapter, limit: limit_name, needed: bytes, available: limit });
        }
        let watch = self.watch();
        let descriptor = BufferDescriptor { label: Some(label), size: bytes, usage, mapped_at_creation: false };
        let buffer = self.device.create_buffer(&descriptor);
        self.created[0].fetch_add(1, Ordering::Relaxed);
        self.allocated.fetch_add(bytes, Ordering::Relaxed);
        match watch.close().await {
            Ok(()) => Ok(buffer),
            Err(Error::OutOfMemory { .. }) => Err(Error::OutOfMemory { what: format!("making room for {label}"), bytes }),
            Err(other) => Err(other),
        }
    }

    /// The pipeline of a dispatch's kernel, made at its first use.
    pub(super) async fn pipeline(&self, dispatch: &Dispatch) -> Result<Pipeline> {
        let kernel = &dispatch.kernel;
        if let Some(pipeline) = self.lock_pipelines().get(kernel) {
            return Ok(pipeline.clone());
        }
        let (pipeline, accepted) = self.compile(dispatch)?;
        self.keep(kernel, pipeline, accepted.await)
    }

    /// Makes the pipelines of all of these that there are not yet, each once and on all cores, as compilers of drivers take longer than all
    /// else of a cold start. Browsers have threads of their own for that.
    #[cfg(not(target_arch = "wasm32"))]
    pub(super) async fn compile_all(&self, dispatches: &[Dispatch]) -> Result<()> {
        let mut seen: HashSet<Kernel> = self.lock_pipelines().keys().cloned().collect();
        let missing: Vec<&Dispatch> = dispatches.iter().filter(|dispatch| seen.insert(dispatch.kernel.clone())).collect();
        // Error scopes belong to threads, so each closes its own.
        let compiled = crate::platform::par_map(&missing, |dispatch| self.compile(dispatch));
        for (dispatch, compiled) in missing.iter().zip(compiled) {
            let (pipeline, accepted) = compiled?;
            self.keep(&dispatch.kernel, pipeline, accepted.await)?;
        }
        Ok(())
    }

    /// A pipeline for all later dispatches of its kernel, where the driver accepted it.
    fn keep(&self, kernel: &Kernel, pipeline: Pipeline, accepted: Result<()>) -> Result<Pipeline> {
        accepted.map_err(|error| match error {
            Error::Gpu { reason } => Error::Gpu { reason: format!("kernel {kernel:?}: {reason}") },
            other => other,
        })?;
        self.lock_pipelines().insert(kernel.clone(), pipeline.clone());
        Ok(pipeline)
    }

    /// Compiles the kernel of a dispatch; the future tells whether the driver accepted it.
    fn compile(&self, dispatch: &Dispatch) -> Result<(Pipeline, impl Future<Output = Result<()>> + use<>)> {
        let kernel = &dispatch.kernel;
        let source = shader::assemble(kernel)?;
        let watch = self.watch();
        let descriptor =
            ShaderModuleDescriptor { label: Some(kernel.shader), source: ShaderSource::Wgsl(Cow::Borrowed(&source)) };
        // SAFETY: without the compiler's checks an index out of bounds would be undefined behaviour. The shaders are this
        // crate's own, every index in them is bounded by the parameters that the host derives from the same shapes as the
        // buffers, and the operator tests hold guard values around every buffer at awkward sizes.
        let module = unsafe { self.device.create_shader_module_trusted(descriptor, wgpu::ShaderRuntimeChecks::unchecked()) };
        let layout = self.layout(dispatch.reads.len(), dispatch.writes.len());
        let pipeline_layout = self.device.create_pipeline_layout(&PipelineLayoutDescriptor {
            label: Some(kernel.shader),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = self.device.create_compute_pipeline(&ComputePipelineDescriptor {
            label: Some(kernel.shader),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some("main"),
            // Every kernel writes its workgroup memory before it reads it.
            compilation_options: PipelineCompilationOptions { constants: &[], zero_initialize_workgroup_memory: false },
            cache: None,
        });
        self.created[2].fetch_add(1, Ordering::Relaxed);
        Ok((Pipeline { pipeline, layout }, watch.close()))
    }

    fn lock_trouble(&self) -> std::sync::MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_pipelines(&self) -> std::sync::MutexGuard<'_, HashMap<Kernel, Pipeline>> {
        self.pipelines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Group 0: the reads, the writes, the parameters.
    fn layout(&self, reads: usize, writes: usize) -> BindGroupLayout {
        let entry = |binding: usize, ty: BufferBindingType| BindGroupLayoutEntry {
            binding: binding as u32,
            visibility: ShaderStages::COMPUTE,
            ty: BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
            count: None,
        };
        let storage = |i: usize| entry(i, BufferBindingType::Storage { read_only: i < reads });
        let mut entries: Vec<BindGroupLayoutEntry> = (0..reads + writes).map(storage).collect();
        entries.push(entry(reads + writes, BufferBindingType::Uniform));
        self.device.create_bind_group_layout(&BindGroupLayoutDescriptor { label: None, entries: &entries })
    }
}

/// wgpu gives a device up when memory runs out in the middle of its work, outside the reach of any error scope.
fn lost(reason: &str, allocated: u64) -> Error {
    if reason.to_ascii_lowercase().contains("out of memory") {
        return out_of_memory(allocated);
    }
    Error::DeviceLost { reason: reason.to_owned() }
}

fn out_of_memory(allocated: u64) -> Error {
    Error::OutOfMemory { what: "working with all of the model's buffers".into(), bytes: allocated }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_lost_for_want_of_memory_says_so() {
        assert!(matches!(lost("Unknown Out of memory", 7), Error::OutOfMemory { bytes: 7, .. }));
        assert!(matches!(lost("Destroyed", 7), Error::DeviceLost { .. }));
    }
}
