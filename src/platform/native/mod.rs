//! Computers: files are mapped, loops over items use all cores.

mod pool;

use std::{fs::File, ops::Range, path::Path, sync::Mutex};

pub(crate) use pool::{run_parts, threads};

use crate::{
    error::{Error, Result},
    tensor::{ByteOwner, Bytes},
};

/// The directive that a shader with subgroup operations starts with: naga takes the operations and rejects the directive.
pub(crate) const ENABLE_SUBGROUPS: &str = "";

/// The bytes of a file, mapped into memory and read as they are needed.
///
/// # Errors
/// [`Error::Io`] when the file cannot be opened or mapped.
pub(crate) fn map_file(path: &Path) -> Result<Bytes> {
    let failed = |source| Error::io(path, source);
    let file = File::open(path).map_err(failed)?;
    // Some systems refuse to map nothing.
    if file.metadata().map_err(failed)?.len() == 0 {
        return Ok(Bytes::new(Vec::new()));
    }
    // SAFETY: the mapping is read-only, and only ever seen as plain bytes, for which every bit pattern is valid.
    // What remains is another process that changes or truncates the file while it is in use; as for every program that
    // maps its input, that is for the user to avoid, and documented where files are opened.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(failed)?;
    Ok(Bytes::of(Mapped(map)))
}

/// A mapped file, whose pages the system can read again.
struct Mapped(memmap2::Mmap);

impl ByteOwner for Mapped {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn release(&self, range: Range<usize>) {
        // A hint: if the system does not take it, nothing is lost but memory.
        #[cfg(unix)]
        // SAFETY: the mapping is of a file and never written, so pages that are let go come back with the same contents.
        let _ = unsafe { self.0.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, range.start, range.len()) };
        #[cfg(not(unix))]
        let _ = range;
    }
}

/// A block of memory of its own, at a page's start.
#[derive(Debug)]
pub(crate) struct Memory(memmap2::MmapMut);

impl Memory {
    /// `bytes` of zeros; `None` when the system has none.
    pub(crate) fn zeroed(bytes: usize) -> Option<Self> {
        let map = memmap2::MmapMut::map_anon(bytes).ok()?;
        // Megabytes at a time cost less than pages one by one. A hint: without it nothing is lost but time.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Some(Self(map))
    }

    /// Its first byte.
    pub(crate) fn start(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }
}

/// `f` of every item, in their order, computed on all cores.
pub(crate) fn par_map<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
    let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    run_parts(items.len(), threads(), &|i, _| {
        if let Ok(mut result) = results[i].lock() {
            *result = Some(f(&items[i]));
        }
    });
    results.into_iter().filter_map(|result| result.into_inner().ok().flatten()).collect()
}

/// `f(i, chunk)` for the consecutive chunks of `values`, on all cores.
pub(crate) fn par_chunks_mut<T: Send>(values: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync + Send) {
    /// Chunks are handed out in runs, so that small ones are worth a thread.
    const RUNS_A_THREAD: usize = 4;
    let chunk = chunk.max(1);
    let chunks = values.len().div_ceil(chunk);
    let run = chunks.div_ceil(RUNS_A_THREAD * threads()).max(1);
    let runs: Vec<Mutex<&mut [T]>> = values.chunks_mut(run * chunk).map(Mutex::new).collect();
    run_parts(runs.len(), threads(), &|i, _| {
        if let Ok(mut values) = runs[i].lock() {
            values.chunks_mut(chunk).enumerate().for_each(|(j, chunk)| f(i * run + j, chunk));
        }
    });
}

/// A clock to measure with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// Time since the start.
    pub(crate) fn elapsed(&self) -> std::time::Duration {
        self.0.elapsed()
    }
}
