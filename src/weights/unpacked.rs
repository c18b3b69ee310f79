//! What a file of `torch.save` holds, as bytes: from the WebAssembly module that reads such files to the one that runs models. So a
//! page whose checkpoint is safetensors goes without their reader.
//!
//! Numbers are eight bytes, texts have their length before them. First comes why the file cannot be used, which is empty where it
//! can; then the container, what [`About`] has, and of each tensor its key, element type and shape. The bytes of the tensors
//! follow one after another, in the same order.

use super::{contents::About, element::Entry};
#[cfg(feature = "torch")]
use super::{contents::Contents, torch};
use crate::tensor::{Bytes, DType, Shape, Tensor, TensorDesc};

/// The two containers, in words.
pub(super) const CONTAINERS: [&str; 2] = ["torch.save", "torch.save before version 1.6"];

/// Element types by their numbers; the number after them means one that is known by name only.
const DTYPES: [DType; 4] = [DType::F32, DType::F16, DType::BF16, DType::I64];

/// What a file of `torch.save` holds, as [`Incoming::unpacked`](super::Incoming::unpacked) takes it, and the tensors whose
/// bytes follow. What is wrong with the file is in there too.
#[cfg(feature = "torch")]
pub fn unpack(file: &Bytes) -> (Vec<u8>, Vec<Tensor>) {
    let mut out = Vec::new();
    match torch::load(file) {
        Ok(contents) => {
            let parts = write(&contents, &mut out);
            (out, parts)
        }
        Err(reason) => {
            write_text(&reason, &mut out);
            (out, Vec::new())
        }
    }
}

#[cfg(feature = "torch")]
fn write(Contents { entries, about }: &Contents, out: &mut Vec<u8>) -> Vec<Tensor> {
    write_text("", out);
    let container = CONTAINERS.iter().position(|name| *name == about.container);
    write_number(container.unwrap_or_default(), out);
    for list in [&about.states, &about.beside, &about.top] {
        write_number(list.len(), out);
        list.iter().for_each(|text| write_text(text, out));
    }
    write_number(entries.len(), out);
    let mut parts = Vec::new();
    for (key, entry) in entries {
        write_text(key, out);
        let dtype = match entry {
            Entry::Tensor(tensor) => DTYPES.iter().position(|dtype| *dtype == tensor.dtype()),
            Entry::Unreadable { .. } => None,
        };
        write_number(dtype.unwrap_or(DTYPES.len()), out);
        match entry {
            Entry::Tensor(tensor) => parts.push(tensor.clone()),
            Entry::Unreadable { element, .. } => write_text(element, out),
        }
        let shape = entry.shape().dims();
        write_number(shape.len(), out);
        shape.iter().for_each(|extent| write_number(*extent, out));
    }
    parts
}

#[cfg(feature = "torch")]
fn write_number(number: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(number as u64).to_le_bytes());
}

#[cfg(feature = "torch")]
fn write_text(text: &str, out: &mut Vec<u8>) {
    write_number(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

/// What [`unpack`] wrote: what is known of the file, and its tensors, whose bytes `part` gives by how many there are.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn read(bytes: &[u8], part: impl FnMut(usize) -> Bytes) -> Result<(About, Vec<(String, Entry)>), String> {
    let mut reader = Reader(bytes);
    match reader.text() {
        Some(reason) if !reason.is_empty() => Err(reason),
        _ => reader.contents(part).ok_or_else(|| "it was not unpacked as a whole; load it again".into()),
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<usize> {
        let (number, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        usize::try_from(u64::from_le_bytes(*number)).ok()
    }

    fn text(&mut self) -> Option<String> {
        let length = self.number()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(str::from_utf8(text).ok()?.to_owned())
    }

    fn texts(&mut self) -> Option<Vec<String>> {
        (0..self.number()?).map(|_| self.text()).collect()
    }

    fn contents(&mut self, mut part: impl FnMut(usize) -> Bytes) -> Option<(About, Vec<(String, Entry)>)> {
        let container = CONTAINERS.get(self.number()?)?;
        let (states, beside, top) = (self.texts()?, self.texts()?, self.texts()?);
        let mut entries = Vec::new();
        for _ in 0..self.number()? {
            let key = self.text()?;
            let dtype = DTYPES.get(self.number()?);
            let element = if dtype.is_none() { self.text()? } else { String::new() };
            let shape: Option<Vec<usize>> = (0..self.number()?).map(|_| self.number()).collect();
            let shape = Shape::from(shape?);
            let entry = match dtype {
                Some(&dtype) => {
                    let bytes = part(dtype.bytes(shape.checked_len()?)?);
                    Entry::Tensor(Tensor::new(TensorDesc { dtype, shape }, bytes).ok()?)
                }
                None => Entry::Unreadable { element, shape },
            };
            entries.push((key, entry));
        }
        Some((About { container, states, beside, top, ..About::default() }, entries))
    }
}
