//! What JavaScript calls of the module that reads files of `torch.save`: plain functions over its memory, as bindings would be larger
//! than they. An instance reads one file, and its memory goes with it.

use std::ptr;

use crate::{tensor::Bytes, weights::unpack};

/// A file of no bytes, with room for so many; null where there is none.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn torch_file(bytes: usize) -> *mut Vec<u8> {
    let mut file = Vec::new();
    if file.try_reserve_exact(bytes).is_ok() { Box::into_raw(Box::new(file)) } else { ptr::null_mut() }
}

/// Makes a file longer: where its next so many bytes go; null where there is no room.
///
/// # Safety
/// `file` comes from [`torch_file`], and [`torch_read`] has not taken it.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn torch_grow(file: *mut Vec<u8>, bytes: usize) -> *mut u8 {
    // SAFETY: the caller's.
    let file = unsafe { &mut *file };
    let start = file.len();
    if file.try_reserve(bytes).is_err() {
        return ptr::null_mut();
    }
    file.resize(start + bytes, 0);
    file[start..].as_mut_ptr()
}

/// What is in a file: the address and length of what [`unpack`] wrote, then the address and number of the tensors, which are pairs of
/// the address and length of their bytes.
///
/// # Safety
/// `file` comes from [`torch_file`]; nobody uses it any more.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn torch_read(file: *mut Vec<u8>) -> *const [usize; 4] {
    // SAFETY: the caller's.
    let file = unsafe { Box::from_raw(file) };
    let (found, tensors) = unpack(&Bytes::new(*file));
    let tensors: &[_] = Vec::leak(tensors);
    let parts: &[[usize; 2]] = Vec::leak(tensors.iter().map(|t| [t.bytes().as_ptr() as usize, t.bytes().len()]).collect());
    let found: &[u8] = Vec::leak(found);
    Box::leak(Box::new([found.as_ptr() as usize, found.len(), parts.as_ptr() as usize, parts.len()]))
}
