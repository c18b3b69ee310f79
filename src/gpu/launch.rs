//! Dispatches with their pipelines and bind groups: made once, recorded in every frame.

use std::{num::NonZeroU64, sync::atomic::Ordering};

use wgpu::{BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding, BufferUsages, ComputePass};

use crate::{
    error::Result,
    gpu::{GpuDevice, device::Pipeline},
    program::{BufRef, Dispatch},
};

/// A launch with its resources.
#[derive(Debug)]
pub(super) struct Launch {
    pipeline: Pipeline,
    group: BindGroup,
    grid: [u32; 3],
}

impl Launch {
    pub(super) fn record(&self, pass: &mut ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        let [x, y, z] = self.grid;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// A buffer or a part of one.
#[derive(Debug, Clone)]
pub(super) struct Binding {
    pub(super) buffer: Buffer,
    pub(super) offset: u64,
    pub(super) size: Option<NonZeroU64>,
}

impl Binding {
    pub(super) fn whole(buffer: &Buffer) -> Self {
        Self { buffer: buffer.clone(), offset: 0, size: None }
    }
}

/// The pipelines of some dispatches, those made before and the others; `progress` hears how many of how many there are.
pub(super) async fn pipelines(
    gpu: &GpuDevice,
    dispatches: &[Dispatch],
    mut progress: impl FnMut(usize, usize),
) -> Result<Vec<Pipeline>> {
    #[cfg(not(target_arch = "wasm32"))]
    gpu.compile_all(dispatches).await?;
    let mut pipelines = Vec::with_capacity(dispatches.len());
    for dispatch in dispatches {
        pipelines.push(gpu.pipeline(dispatch).await?);
        progress(pipelines.len(), dispatches.len());
    }
    Ok(pipelines)
}

/// The launches of some dispatches, and the buffer of their parameters. `bound` says what is behind each reference;
/// `progress` is that of [`pipelines`].
pub(super) async fn launches(
    gpu: &GpuDevice,
    dispatches: &[Dispatch],
    bound: impl Fn(&BufRef) -> Result<Binding>,
    progress: impl FnMut(usize, usize),
) -> Result<(Vec<Launch>, Buffer)> {
    let align = u64::from(gpu.device.limits().min_uniform_buffer_offset_alignment);
    let block_bytes = |dispatch: &Dispatch| (dispatch.params.bytes.len() as u64).next_multiple_of(16);
    let total: u64 = dispatches.iter().map(|d| block_bytes(d).next_multiple_of(align)).sum();
    let params = gpu.buffer("parameters", total.max(16), BufferUsages::UNIFORM | BufferUsages::COPY_DST).await?;
    let pipelines = pipelines(gpu, dispatches, progress).await?;
    let mut blocks = vec![0u8; total as usize];
    let mut offset = 0u64;
    let mut launches = Vec::with_capacity(dispatches.len());
    let watch = gpu.watch();
    for (dispatch, pipeline) in dispatches.iter().zip(pipelines) {
        let bytes = &dispatch.params.bytes;
        blocks[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        let writes = dispatch.writes.iter().map(|id| BufRef::Buffer(*id));
        let mut bindings = dispatch.reads.iter().copied().chain(writes).map(|b| bound(&b)).collect::<Result<Vec<_>>>()?;
        bindings.push(Binding { buffer: params.clone(), offset, size: NonZeroU64::new(block_bytes(dispatch)) });
        let entries: Vec<BindGroupEntry<'_>> = bindings
            .iter()
            .enumerate()
            .map(|(i, b)| BindGroupEntry {
                binding: i as u32,
                resource: BindingResource::Buffer(BufferBinding { buffer: &b.buffer, offset: b.offset, size: b.size }),
            })
            .collect();
        let descriptor = BindGroupDescriptor { label: None, layout: &pipeline.layout, entries: &entries };
        let group = gpu.device.create_bind_group(&descriptor);
        gpu.created[1].fetch_add(1, Ordering::Relaxed);
        launches.push(Launch { pipeline, group, grid: dispatch.grid });
        offset += block_bytes(dispatch).next_multiple_of(align);
    }
    gpu.queue.write_buffer(&params, 0, &blocks);
    watch.close().await?;
    Ok((launches, params))
}
