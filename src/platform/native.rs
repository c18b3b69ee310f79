//! Computers: files are mapped, loops over items use all cores.

use std::{fs::File, ops::Range, path::Path};

use rayon::prelude::*;

use crate::{
    error::{Error, Result},
    tensor::{ByteOwner, Bytes},
};

/// The directive that a shader with subgroup operations starts with: naga takes the operations and rejects the directive.
pub(crate) const ENABLE_SUBGROUPS: &str = "";

/// Whether products of few rows turn the rows instead of the weight.
pub(crate) const TURNS_ROWS: bool = true;

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

/// `f` of every item, in their order, computed on all cores.
pub(crate) fn par_map<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> R + Sync + Send) -> Vec<R> {
    items.par_iter().map(f).collect()
}

/// `f(i)` for `0..count`, in order, computed on all cores.
pub(crate) fn par_range<R: Send>(count: usize, f: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    (0..count).into_par_iter().map(f).collect()
}

/// `f(i, chunk)` for the consecutive chunks of `values`, on all cores.
pub(crate) fn par_chunks_mut<T: Send>(values: &mut [T], chunk: usize, f: impl Fn(usize, &mut [T]) + Sync + Send) {
    values.par_chunks_mut(chunk.max(1)).enumerate().for_each(|(i, chunk)| f(i, chunk));
}

/// How a large matrix product spreads over the cores.
pub(crate) fn gemm_parallelism() -> gemm::Parallelism {
    gemm::Parallelism::Rayon(0)
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
