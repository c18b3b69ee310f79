//! Files of `torch.save`: two containers around a pickle that describes tensors.

mod legacy;
mod pickle;
mod tensors;
mod zip;

use super::{contents::Contents, unpacked::CONTAINERS};
use crate::tensor::Bytes;

/// What is in a file that begins as those of `torch.save` do: as a zip archive, or as a pickle.
///
/// # Errors
/// What is wrong with it.
pub(super) fn load(bytes: &Bytes) -> Result<Contents, String> {
    let [zip, legacy] = CONTAINERS;
    let (container, contents) = match bytes.as_slice().starts_with(b"PK\x03\x04") {
        true => (zip, zip::load(bytes)),
        false => (legacy, legacy::load(bytes)),
    };
    let mut contents = contents?;
    contents.about.container = container;
    Ok(contents)
}

fn little_endian(is: bool) -> Result<(), String> {
    if is { Ok(()) } else { Err("it was written on a big-endian machine".into()) }
}
