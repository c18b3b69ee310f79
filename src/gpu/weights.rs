//! Weights in device memory: packed one at a time into pages, each weight once however many sessions use it.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use wgpu::{Buffer, BufferUsages};

use crate::{
    error::{Error, Result},
    gpu::GpuDevice,
    program::PackedWeight,
};

/// WebGPU's alignment of binding offsets.
const ALIGN: u64 = 256;
/// Bytes of a page: few buffers, yet no need for one huge allocation.
const PAGE: u64 = 256 << 20;
/// Bytes handed to the queue before it is flushed, which bounds the staging memory.
const FLUSH: u64 = 16 << 20;

/// A weight's place.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) buffer: Buffer,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// The weights of a model on a device. Sessions of other batch or input sizes share it.
#[derive(Debug, Default)]
pub struct WeightStore {
    placed: Mutex<HashMap<String, Placed>>,
}

impl WeightStore {
    /// Uploads the weights that are not there yet.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] when the device cannot hold them, [`Error::DeviceLost`] when it went away.
    pub(super) async fn upload(&self, gpu: &GpuDevice, weights: &[PackedWeight]) -> Result<()> {
        let missing: Vec<&PackedWeight> = weights.iter().filter(|w| self.get(&w.key).is_none()).collect();
        let mut left: u64 = missing.iter().map(|w| w.bytes().next_multiple_of(ALIGN)).sum();
        let mut page: Option<(Buffer, u64, u64)> = None;
        let mut pending = 0;
        let mut packed: Vec<f32> = Vec::new();
        for weight in missing {
            let bytes = weight.bytes();
            let (buffer, offset) = match page.take() {
                Some((buffer, offset, size)) if offset + bytes <= size => {
                    page = Some((buffer.clone(), (offset + bytes).next_multiple_of(ALIGN), size));
                    (buffer, offset)
                }
                _ => {
                    let size = left.min(PAGE).max(bytes);
                    let buffer = gpu.buffer("weights", size, BufferUsages::STORAGE | BufferUsages::COPY_DST).await?;
                    page = Some((buffer.clone(), bytes.next_multiple_of(ALIGN), size));
                    (buffer, 0)
                }
            };
            left -= bytes.next_multiple_of(ALIGN);
            packed.clear();
            packed.resize(weight.len(), 0.0);
            weight.pack(&mut packed);
            weight.release();
            gpu.queue.write_buffer(&buffer, offset, bytemuck::cast_slice(&packed));
            pending += bytes;
            if pending >= FLUSH {
                pending = 0;
                gpu.queue.submit([]);
                gpu.wait()?;
            }
            let placed = Placed { buffer, offset, bytes };
            self.placed.lock().unwrap_or_else(PoisonError::into_inner).insert(weight.key.clone(), placed);
        }
        gpu.queue.submit([]);
        gpu.wait()
    }

    /// Where a weight is.
    pub(super) fn get(&self, key: &str) -> Option<Placed> {
        self.placed.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}

impl GpuDevice {
    /// Blocks until the queue is empty, where the platform can block.
    pub(super) fn wait(&self) -> Result<()> {
        let polled = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.check()?;
        polled.map(|_| ()).map_err(|error| Error::DeviceLost { reason: error.to_string() })
    }
}
