//! Time per dispatch from timestamp queries.

use std::time::Duration;

use wgpu::{Buffer, BufferUsages, CommandEncoder, QuerySet, QuerySetDescriptor, QueryType};

use crate::{
    error::{Error, Result},
    gpu::{DispatchTiming, GpuDevice},
    program::Program,
};

/// Dispatches a query set: WebGPU allows 4096 queries in a set, and a dispatch takes two.
const PER_SET: usize = 2048;

/// Query sets for a number of dispatches and the buffers to read them back.
pub(super) struct Timestamps {
    sets: Vec<QuerySet>,
    resolved: Buffer,
    staging: Buffer,
    dispatches: usize,
}

impl Timestamps {
    pub(super) async fn new(gpu: &GpuDevice, dispatches: usize) -> Result<Self> {
        if !gpu.has_timestamps() {
            return Err(Error::InvalidArgument(format!(
                "{} cannot time dispatches: it has no timestamp queries",
                gpu.summary().name
            )));
        }
        let sets = (0..dispatches.div_ceil(PER_SET).max(1)).map(|_| {
            let descriptor = QuerySetDescriptor { label: None, ty: QueryType::Timestamp, count: 2 * PER_SET as u32 };
            gpu.device.create_query_set(&descriptor)
        });
        let sets: Vec<QuerySet> = sets.collect();
        let bytes = (sets.len() * PER_SET * 16) as u64;
        let resolved = gpu.buffer("timestamps", bytes, BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC).await?;
        let staging = gpu.buffer("timestamp readback", bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST).await?;
        Ok(Self { sets, resolved, staging, dispatches })
    }

    /// The query set and the first of the two queries of dispatch `i`.
    pub(super) fn place(&self, i: usize) -> (&QuerySet, u32) {
        (&self.sets[i / PER_SET], (i % PER_SET * 2) as u32)
    }

    pub(super) fn resolve(&self, encoder: &mut CommandEncoder) {
        for (i, set) in self.sets.iter().enumerate() {
            let used = (self.dispatches - i * PER_SET).min(PER_SET);
            encoder.resolve_query_set(set, 0..2 * used as u32, &self.resolved, (i * PER_SET * 16) as u64);
        }
        encoder.copy_buffer_to_buffer(&self.resolved, 0, &self.staging, 0, self.staging.size());
    }

    pub(super) async fn read(&self, gpu: &GpuDevice, program: &Program) -> Result<Vec<DispatchTiming>> {
        let words = gpu.read(&self.staging).await?;
        let ticks = words.as_chunks().0.iter().map(|[low, high]| u64::from(*high) << 32 | u64::from(*low));
        let ticks: Vec<u64> = ticks.collect();
        let period = f64::from(gpu.queue.get_timestamp_period());
        let timings = program.dispatches.iter().zip(ticks.chunks_exact(2)).map(|(dispatch, pair)| DispatchTiming {
            label: dispatch.label.clone(),
            kernel: dispatch.kernel.shader,
            // Some drivers let the clock step back between passes.
            time: Duration::from_nanos((pair[1].saturating_sub(pair[0]) as f64 * period) as u64),
        });
        Ok(timings.collect())
    }
}
