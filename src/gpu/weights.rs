//! Weights in device memory: packed one at a time into pages, each weight once however many sessions use it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use wgpu::{Buffer, BufferUsages};

use crate::{
    error::{Error, Result},
    gpu::{GpuDevice, launch},
    packed::PackedWeight,
    program::Program,
};

/// WebGPU's alignment of binding offsets.
const ALIGN: u64 = 256;
/// Bytes of a page: few buffers, yet no need for one huge allocation.
const PAGE: u64 = 256 << 20;
/// Bytes handed to the queue before it is flushed, which bounds the staging memory.
const FLUSH: u64 = 16 << 20;

/// A weight's place. The page stays as long as somebody has it.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    page: Arc<Page>,
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Placed {
    pub(super) fn buffer(&self) -> &Buffer {
        &self.page.0
    }
}

/// Memory of weights.
#[derive(Debug)]
struct Page(Buffer);

impl Drop for Page {
    fn drop(&mut self) {
        // A browser would otherwise keep the memory until its garbage collector comes by.
        self.0.destroy();
    }
}

/// The weights of a model on a device. Sessions of other batch or input sizes share it.
#[derive(Debug, Default)]
pub struct WeightStore {
    pages: Mutex<Pages>,
}

#[derive(Debug, Default)]
struct Pages {
    /// The device that has them.
    device: Option<Arc<()>>,
    all: Vec<Filled>,
}

/// A page and what lies in it.
#[derive(Debug)]
struct Filled {
    page: Arc<Page>,
    /// By [`PackedWeight::key`]; those that are on their way are not here yet.
    placed: HashMap<String, Placed>,
    /// Where the next weight goes.
    next: u64,
}

impl WeightStore {
    /// Uploads those weights that have arrived and are not there yet, and forgets their host copies.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] when the device cannot hold them, [`Error::DeviceLost`] when it went away.
    pub(crate) async fn upload(&self, gpu: &GpuDevice, weights: &mut [PackedWeight]) -> Result<()> {
        self.belongs_to(gpu)?;
        // Pages of sessions that are no more, such as tables for another size of input, go unless these weights are there.
        let used = |filled: &Filled| weights.iter().any(|weight| filled.placed.contains_key(weight.key()));
        self.lock().all.retain(|filled| Arc::strong_count(&filled.page) > 1 + filled.placed.len() || used(filled));
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
            let (page, offset) = self.place(gpu, bytes, left).await?;
            left -= bytes.next_multiple_of(ALIGN);
            packed.clear();
            packed.resize(weight.len(), 0.0);
            weight.pack(&mut packed)?;
            weight.release();
            let watch = gpu.watch();
            gpu.queue.write_buffer(&page.0, offset, bytemuck::cast_slice(&packed));
            answers.push(watch.close());
            sent.push((i, Placed { page, offset, bytes }));
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

    /// Brings to a device what programs for other sizes of input share with this one: weights, and kernels, of which `progress` hears how
    /// many of how many are ready.
    ///
    /// # Errors
    /// As [`WeightStore::upload`]; [`Error::Gpu`] when a kernel is rejected.
    pub(crate) async fn warm(&self, gpu: &GpuDevice, program: &mut Program, progress: impl FnMut(usize, usize)) -> Result<()> {
        self.upload(gpu, &mut program.weights).await?;
        launch::pipelines(gpu, &program.dispatches, progress).await.map(|_| ())
    }

    /// What was sent is on the device: the host lets go of its copies.
    fn arrived(&self, weights: &mut [PackedWeight], sent: &mut Vec<(usize, Placed)>) {
        for (i, placed) in sent.drain(..) {
            if let Some(filled) = self.lock().all.iter_mut().find(|filled| Arc::ptr_eq(&filled.page, &placed.page)) {
                filled.placed.insert(weights[i].key().to_owned(), placed);
            }
            weights[i].forget();
        }
    }

    /// The first device that uploads something owns the store.
    fn belongs_to(&self, gpu: &GpuDevice) -> Result<()> {
        let mut pages = self.lock();
        match &pages.device {
            Some(device) if !Arc::ptr_eq(device, &gpu.identity) => {
                Err(Error::InvalidArgument("these weights are on another device; give every device a store of its own".into()))
            }
            Some(_) => Ok(()),
            None => {
                pages.device = Some(gpu.identity.clone());
                Ok(())
            }
        }
    }

    /// Room for `bytes`, with `left` bytes to come in all.
    async fn place(&self, gpu: &GpuDevice, bytes: u64, left: u64) -> Result<(Arc<Page>, u64)> {
        if let Some(filled) = self.lock().all.iter_mut().find(|filled| filled.next + bytes <= filled.page.0.size()) {
            let offset = filled.next;
            filled.next = (offset + bytes).next_multiple_of(ALIGN);
            return Ok((filled.page.clone(), offset));
        }
        let size = left.min(PAGE).max(bytes);
        let page = Arc::new(Page(gpu.buffer("weights", size, BufferUsages::STORAGE | BufferUsages::COPY_DST).await?));
        let next = bytes.next_multiple_of(ALIGN);
        self.lock().all.push(Filled { page: page.clone(), placed: HashMap::new(), next });
        Ok((page, 0))
    }

    /// True when the weight with this key is on the device.
    pub fn holds(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Where a weight is.
    pub(super) fn get(&self, key: &str) -> Option<Placed> {
        self.lock().all.iter().find_map(|filled| filled.placed.get(key).cloned())
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
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
