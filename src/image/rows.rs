//! Rows of a buffer, in parallel where there are threads. The one place of this module that knows the target.

/// Calls `f(i, row)` for every row of `row_len` elements of `data`, in any order, on all cores.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn for_each_row<T: Send>(data: &mut [T], row_len: usize, f: impl Fn(usize, &mut [T]) + Send + Sync) {
    use rayon::prelude::*;
    data.par_chunks_exact_mut(row_len.max(1)).enumerate().for_each(|(i, row)| f(i, row));
}

/// Calls `f(i, row)` for every row of `row_len` elements of `data`.
#[cfg(target_arch = "wasm32")]
pub(super) fn for_each_row<T: Send>(data: &mut [T], row_len: usize, f: impl Fn(usize, &mut [T]) + Send + Sync) {
    data.chunks_exact_mut(row_len.max(1)).enumerate().for_each(|(i, row)| f(i, row));
}
