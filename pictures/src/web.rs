//! What JavaScript calls: plain functions over the module's memory, as bindings would be larger than they. An instance decodes one
//! file, and its memory goes with it.

use std::{mem, ptr, slice};

/// Room for a file of so many bytes; null where there is none.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn reserve(bytes: usize) -> *mut u8 {
    let mut room = Vec::<u8>::new();
    match room.try_reserve_exact(bytes) {
        Ok(()) => mem::ManuallyDrop::new(room).as_mut_ptr(),
        Err(_) => ptr::null_mut(),
    }
}

/// Decodes the file that lies at `file`: where the result lies, how many bytes it has, and the width and height of the picture, of
/// which the bytes are RGBA. Where both are 0, the bytes are why the file cannot be used, as the end of a sentence about it.
///
/// # Safety
/// `file` comes from [`reserve`] of at least so many `bytes`, all of which have been written.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn decode(file: *const u8, bytes: usize) -> *const [usize; 4] {
    // SAFETY: the caller's.
    let file = unsafe { slice::from_raw_parts(file, bytes) };
    let (result, width, height) = match crate::decode(file) {
        Ok(picture) => {
            let rgba = picture.pixels.as_chunks::<3>().0.iter().flat_map(|&[r, g, b]| [r, g, b, u8::MAX]).collect();
            (rgba, picture.width as usize, picture.height as usize)
        }
        Err(reason) => (reason.into_bytes(), 0, 0),
    };
    let result: &[u8] = Vec::leak(result);
    Box::leak(Box::new([result.as_ptr() as usize, result.len(), width, height]))
}
