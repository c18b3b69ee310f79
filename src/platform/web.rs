//! Browsers: no files, and one thread.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    path::Path,
};

use crate::{
    error::{Error, Result},
    tensor::Bytes,
};

/// The directive that a shader with subgroup operations starts with: browsers insist on it.
pub(crate) const ENABLE_SUBGROUPS: &str = "enable subgroups;\n";

/// There are no files to map.
///
/// # Errors
/// Always [`Error::InvalidArgument`], which says what to do instead.
pub(crate) fn map_file(path: &Path) -> Result<Bytes> {
    Err(Error::InvalidArgument(format!("a browser has no files by path ({}): fetch the file and give its bytes", path.display())))
}

/// A block of memory of its own, at a cache line's start.
#[derive(Debug)]
pub(crate) struct Memory {
    start: *mut u8,
    layout: Layout,
}

impl Memory {
    /// `bytes` of zeros; `None` when there are none.
    pub(crate) fn zeroed(bytes: usize) -> Option<Self> {
        let layout = Layout::from_size_align(bytes.max(1), 64).ok()?;
        // SAFETY: the size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        (!start.is_null()).then_some(Self { start, layout })
    }

    /// Its first byte.
    pub(crate) fn start(&mut self) -> *mut u8 {
        self.start
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(self.start, self.layout) }
    }
}

/// `f` of every item, in their order.
pub(crate) fn par_map<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
    items.iter().map(f).collect()
}

/// How many threads share a loop: there is one.
pub(crate) fn threads() -> usize {
    1
}

/// Calls `job(part, 0)` for every part below `parts`.
pub(crate) fn run_parts(parts: usize, _threads: usize, job: &(dyn Fn(usize, usize) + Sync)) {
    (0..parts).for_each(|part| job(part, 0));
}

/// `f(i, chunk)` for the consecutive chunks of `values`.
pub(crate) fn par_chunks_mut<T: Send>(values: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync + Send) {
    values.chunks_mut(chunk.max(1)).enumerate().for_each(|(i, chunk)| f(i, chunk));
}

/// A clock to measure with: `performance.now()`, as `std::time::Instant` panics here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(f64);

#[wasm_bindgen::prelude::wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;
}

impl Stopwatch {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self(now())
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> std::time::Duration {
        std::time::Duration::from_secs_f64(((now() - self.0) / 1000.0).max(0.0))
    }
}
