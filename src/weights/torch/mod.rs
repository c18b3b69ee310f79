//! Files of `torch.save`: two containers around a pickle that describes tensors.

mod legacy;
mod pickle;
mod tensors;
mod zip;

use super::contents::Contents;
use crate::tensor::Bytes;

/// True when a file begins as those of `torch.save` do.
pub(super) fn is_torch(file: &[u8]) -> bool {
    is_zip(file) || matches!(file, [0x80, 1..=5, ..])
}

fn is_zip(file: &[u8]) -> bool {
    file.starts_with(b"PK\x03\x04")
}

/// What is in a file for which [`is_torch`] is true.
///
/// # Errors
/// What is wrong with it.
pub(super) fn load(bytes: &Bytes) -> Result<Contents, String> {
    let (container, contents) = match is_zip(bytes.as_slice()) {
        true => ("torch.save", zip::load(bytes)),
        false => ("torch.save before version 1.6", legacy::load(bytes)),
    };
    let mut contents = contents?;
    contents.about.container = container;
    Ok(contents)
}

fn little_endian(is: bool) -> Result<(), String> {
    if is { Ok(()) } else { Err("it was written on a big-endian machine".into()) }
}
