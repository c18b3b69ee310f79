//! Weights in device memory: packed one at a time into pages, each weight once however many sessions use it.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use wgpu::{Buffer, BufferUsages};

use crate::{
    error::{Error, Result},
    gpu::GpuDevice,
    packed::PackedWeight,
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
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    /// The device that has them.
    device: Option<wgpu::Device>,
    /// By [`PackedWeight::key`].
    placed: HashMap<String, Placed>,
    buffers: Vec<Buffer>,
    /// Where the next weight goes in the last buffer.
    next: u64,
}

impl WeightStore {
    /// Uploads those weights that have arrived and are not there yet, and forgets their host copies.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] when the device cannot hold them, [`Error::DeviceLost`] when it went away.
    pub(crate) async fn upload(&self, gpu: &GpuDevice, weights: &mut [PackedWeight]) -> Result<()> {
        self.belongs_to(gpu)?;
        let missing = weights.iter().filter(|w| !self.holds(w.key()));
        let mut left: u64 = missing.map(|w| w.bytes().next_multiple_of(ALIGN)).sum();
        let mut packed: Vec<f32> = Vec::new();
        // What is on its way to the device; until it is there, the host keeps it.
        let mut sent = Vec::new();
        // Whether the device took what was handed to it; on the web an answer takes its time, so many are awaited together.
        let mut answers = Vec::new();
        let mut pending = 0;
        for i in 0..weights.len() {
            let weight = &weights[i];
            if !weight.ready() || self.holds(weight.key()) {
                continue;
            }
            let bytes = weight.bytes();
            let (buffer, offset) = self.place(gpu, bytes, left).await?;
            left -= bytes.next_multiple_of(ALIGN);
            packed.clear();
            packed.resize(weight.len(), 0.0);
            weight.pack(&mut packed)?;
            weight.release();
            let watch = gpu.watch();
            gpu.queue.write_buffer(&buffer, offset, bytemuck::cast_slice(&packed));
            answers.push(watch.close());
            sent.push((i, Placed { buffer, offset, bytes }));
            pending += bytes;
            if pending >= FLUSH {
                pending = 0;
                gpu.idle().await?;
                for answer in answers.drain(..) {
                    answer.await?;
                }
                self.arrived(weights, &mut sent);
            }
        }
        if pending > 0 {
            gpu.idle().await?;
        }
        for answer in answers {
            answer.await?;
        }
        self.arrived(weights, &mut sent);
        gpu.check()
    }

    /// What was sent is on the device: the host lets go of its copies.
    fn arrived(&self, weights: &mut [PackedWeight], sent: &mut Vec<(usize, Placed)>) {
        for (i, placed) in sent.drain(..) {
            self.lock().placed.insert(weights[i].key().to_owned(), placed);
            weights[i].forget();
        }
    }

    /// The first device that uploads something owns the store.
    fn belongs_to(&self, gpu: &GpuDevice) -> Result<()> {
        let mut pages = self.lock();
        match &pages.device {
            Some(device) if *device != gpu.device => {
                Err(Error::InvalidArgument("these weights are on another device; give every device a store of its own".into()))
            }
            Some(_) => Ok(()),
            None => {
                pages.device = Some(gpu.device.clone());
                Ok(())
            }
        }
    }

    /// Room for `bytes`, with `left` bytes to come in all.
    async fn place(&self, gpu: &GpuDevice, bytes: u64, left: u64) -> Result<(Buffer, u64)> {
        {
            let mut pages = self.lock();
            let next = pages.next;
            let fitting = pages.buffers.last().filter(|page| next + bytes <= page.size()).cloned();
            if let Some(page) = fitting {
                pages.next = (next + bytes).next_multiple_of(ALIGN);
                return Ok((page, next));
            }
        }
        let size = left.min(PAGE).max(bytes);
        let page = gpu.buffer("weights", size, BufferUsages::STORAGE | BufferUsages::COPY_DST).await?;
        let mut pages = self.lock();
        pages.buffers.push(page.clone());
        pages.next = bytes.next_multiple_of(ALIGN);
        Ok((page, 0))
    }

    /// True when the weight with this key is on the device.
    pub fn holds(&self, key: &str) -> bool {
        self.lock().placed.contains_key(key)
    }

    /// Where a weight is.
    pub(super) fn get(&self, key: &str) -> Option<Placed> {
        self.lock().placed.get(key).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WeightStore {
    fn drop(&mut self) {
        // A browser would otherwise keep the memory until its garbage collector comes by.
        self.lock().buffers.iter().for_each(Buffer::destroy);
    }
}

impl GpuDevice {
    /// Waits until all that was submitted is done.
    pub(super) async fn idle(&self) -> Result<()> {
        self.queue.submit([]);
        let (sender, receiver) = futures_channel::oneshot::channel();
        self.queue.on_submitted_work_done(move || {
            // Nobody waits any more when this future was dropped.
            let _ = sender.send(());
        });
        self.wait()?;
        let done = receiver.await;
        self.check()?;
        done.map_err(|_| Error::DeviceLost { reason: "its queue was dropped".into() })
    }

    /// Blocks until the queue is empty, where the platform can block.
    pub(super) fn wait(&self) -> Result<()> {
        let polled = self.device.poll(wgpu::PollType::wait_indefinitely());
        self.check()?;
        polled.map(|_| ()).map_err(|error| Error::DeviceLost { reason: error.to_string() })
    }
}
