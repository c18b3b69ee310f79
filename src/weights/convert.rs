//! Writing safetensors, tensor by tensor: memory use does not depend on the size of the checkpoint.

use std::{
    borrow::Cow,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
};

use half::{bf16, f16};
use serde_json::{Map, Value, json};

use super::{Weights, element::Entry};
use crate::{
    error::{Error, Result},
    tensor::{DType, Tensor},
};

/// Bytes that are converted and written at once, and after which progress is told.
const CHUNK: usize = 1 << 20;

/// Writes what is below `weights` to the safetensors file `out`, floating-point tensors as `dtype` where it is given (rounded
/// to the nearest, ties to even). `progress` gets the bytes of data written so far and in all.
///
/// The file appears under its name when it is complete; a failure leaves what was there before.
///
/// # Errors
/// [`Error::InvalidArgument`] when there is nothing to write, a value does not fit `dtype`, an element type cannot be
/// written, or `out` is one of the files that `weights` are read from; [`Error::Io`] when writing fails.
pub fn write_safetensors(weights: &Weights, out: &Path, dtype: Option<DType>, progress: impl FnMut(u64, u64)) -> Result<()> {
    if dtype == Some(DType::I64) {
        return Err(Error::InvalidArgument("weights can be written as f32, f16 or bf16, not as i64".into()));
    }
    let own = |file: &PathBuf| matches!((file.canonicalize(), out.canonicalize()), (Ok(a), Ok(b)) if a == b);
    if weights.shared.table().is_some_and(|table| table.files.iter().any(own)) {
        return Err(Error::InvalidArgument(format!("{} is the checkpoint itself; write to another file", out.display())));
    }
    if out.is_dir() {
        return Err(Error::InvalidArgument(format!("{} is a folder; name the file to write", out.display())));
    }
    let tensors = layout(weights, dtype)?;
    let (mut file, temporary) = Temporary::create(out)?;
    write(&mut file, &tensors, progress).map_err(|failure| match failure {
        Failure::Io(source) => Error::io(out, source),
        Failure::Value(key, value, dtype) => Error::InvalidArgument(format!(
            "{}: `{key}` has the value {value}, which is too large for {dtype}; convert to bf16 or keep f32",
            weights.name()
        )),
    })?;
    // Closed before it is renamed, which some systems insist on.
    drop(file);
    temporary.rename(out)
}

/// What to write, in the order of the file, each with the type it gets there.
type Layout<'a> = Vec<(&'a str, &'a Tensor, DType)>;

fn layout(weights: &Weights, dtype: Option<DType>) -> Result<Layout<'_>> {
    let mut tensors = Vec::new();
    for (key, entry) in weights.entries() {
        match entry {
            Entry::Tensor(tensor) if tensor.dtype() == DType::I64 => tensors.push((key, tensor, DType::I64)),
            Entry::Tensor(tensor) => tensors.push((key, tensor, dtype.unwrap_or(tensor.dtype()))),
            Entry::Unreadable { element, .. } => {
                let reason = format!("`{key}` has elements of type {element}, which cannot be converted");
                return Err(Error::InvalidArgument(format!("{}: {reason}", weights.name())));
            }
        }
    }
    if tensors.is_empty() {
        return Err(Error::InvalidArgument(format!("{} has no tensors to write", weights.name())));
    }
    // The order of the reference writer: wide elements first, so that every tensor is aligned.
    tensors.sort_by(|a, b| b.2.size().cmp(&a.2.size()).then_with(|| a.0.cmp(b.0)));
    Ok(tensors)
}

fn header(tensors: &Layout<'_>) -> (Vec<u8>, u64) {
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut at = 0;
    for (key, tensor, dtype) in tensors {
        let end = at + tensor.shape().len() as u64 * dtype.size() as u64;
        let name = dtype.name().to_uppercase();
        header.insert((*key).into(), json!({ "dtype": name, "shape": tensor.shape().dims(), "data_offsets": [at, end] }));
        at = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    (text, at)
}

enum Failure {
    Io(std::io::Error),
    /// Key, value and the type that it does not fit.
    Value(String, f32, DType),
}

fn write(file: &mut File, tensors: &Layout<'_>, mut progress: impl FnMut(u64, u64)) -> std::result::Result<(), Failure> {
    let (header, total) = header(tensors);
    let mut out = BufWriter::new(file);
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(Failure::Io)?;
    out.write_all(&header).map_err(Failure::Io)?;
    let mut done = 0;
    progress(done, total);
    for (key, tensor, dtype) in tensors {
        for chunk in tensor.bytes().chunks(CHUNK) {
            let bytes =
                convert(chunk, tensor.dtype(), *dtype).map_err(|value| Failure::Value((*key).to_owned(), value, *dtype))?;
            out.write_all(&bytes).map_err(Failure::Io)?;
            done += bytes.len() as u64;
            progress(done, total);
        }
    }
    out.flush().map_err(Failure::Io)?;
    out.get_ref().sync_all().map_err(Failure::Io)
}

/// `bytes` as another type, or the first finite value that would become infinite.
fn convert(bytes: &[u8], from: DType, to: DType) -> std::result::Result<Cow<'_, [u8]>, f32> {
    if from == to {
        return Ok(Cow::Borrowed(bytes));
    }
    let values: Vec<f32> = match from {
        DType::F16 => bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32()).collect(),
        DType::BF16 => bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32()).collect(),
        _ => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
    };
    let mut out = Vec::with_capacity(values.len() * to.size());
    for value in values {
        let fits = match to {
            DType::F16 => {
                let half = f16::from_f32(value);
                out.extend_from_slice(&half.to_le_bytes());
                half.is_finite()
            }
            DType::BF16 => {
                let half = bf16::from_f32(value);
                out.extend_from_slice(&half.to_le_bytes());
                half.is_finite()
            }
            _ => {
                out.extend_from_slice(&value.to_le_bytes());
                true
            }
        };
        if !fits && value.is_finite() {
            return Err(value);
        }
    }
    Ok(Cow::Owned(out))
}

/// A file beside its destination, removed unless it gets there.
struct Temporary(Option<PathBuf>);

impl Temporary {
    fn create(out: &Path) -> Result<(File, Self)> {
        for n in 0..1000 {
            let mut name = OsString::from(".");
            name.push(out.file_name().unwrap_or_default());
            name.push(format!(".{n}.part"));
            let path = out.with_file_name(name);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((file, Self(Some(path)))),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(source) => return Err(Error::io(out, source)),
            }
        }
        Err(Error::InvalidArgument(format!("there are too many unfinished files beside {}; remove them", out.display())))
    }

    fn rename(mut self, out: &Path) -> Result<()> {
        if let Some(path) = &self.0 {
            fs::rename(path, out).map_err(|source| Error::io(out, source))?;
        }
        self.0 = None;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Nothing can be done about a file that cannot be removed.
            drop(fs::remove_file(path));
        }
    }
}
