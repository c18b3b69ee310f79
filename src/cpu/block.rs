//! Memory that kernels work in.

use webmamba_kernels::Region;

use crate::{
    error::{Error, Result},
    platform::Memory,
};

/// Memory whose parts are handed to kernels by address.
#[derive(Debug)]
pub(super) struct Block {
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
    pub(super) fn new(bytes: u64, what: &str) -> Result<Self> {
        let none = || Error::OutOfMemory { what: what.to_owned(), bytes };
        let bytes = usize::try_from(bytes.next_multiple_of(64).max(64)).map_err(|_| none())?;
        let mut memory = Memory::zeroed(bytes).ok_or_else(none)?;
        let start = memory.start().cast();
        Ok(Self { memory, start, bytes })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes as u64
    }

    /// A range, in values; it lies within the block.
    pub(super) fn region(&self, start: usize, len: usize) -> Region {
        assert!((start + len) * 4 <= self.bytes, "{len} values at {start} do not fit {} bytes", self.bytes);
        // SAFETY: the place lies within the block.
        Region { start: unsafe { self.start.add(start) }, len }
    }

    /// Sets every value.
    pub(super) fn fill(&mut self, value: f32) {
        // SAFETY: it is all of the block, and nothing runs while it is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.memory.start().cast::<f32>(), self.bytes / 4) }.fill(value);
    }
}
