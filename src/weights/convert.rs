//! Writing safetensors, tensor by tensor: memory use does not depend on the size of the checkpoint.

#[cfg(unix)]
use std::fs;
use std::{
    borrow::Cow,
    io::{BufWriter, Write},
    path::Path,
};

use half::{bf16, f16};
use serde_json::{Map, Value, json};

use super::{Destination, Weights, element::Entry, safetensors::SCALES};
use crate::{
    error::{Error, Result},
    tensor::{DType, GROUP, Tensor},
};

/// Bytes that are converted and written at once, and after which progress is told.
const CHUNK: usize = 1 << 20;

/// Writes what is below `weights` to the safetensors file `out`, floating-point tensors as `dtype` where it is given (rounded
/// to the nearest, ties to even). Without it quantised ones stay so: levels under their key, scales under that key and `.scales`.
/// `progress` gets the bytes of data written so far and in all.
///
/// The file appears under its name when it is complete; a failure leaves what was there before (see [`Destination`]).
///
/// # Errors
/// Those of [`write_safetensors_to`] and [`Destination`]; [`Error::InvalidArgument`] when `out` is one of the files that
/// `weights` are read from.
pub fn write_safetensors(weights: &Weights, out: &Path, dtype: Option<DType>, progress: impl FnMut(u64, u64)) -> Result<()> {
    if weights.files().iter().any(|file| same_file(file, out)) {
        return Err(Error::InvalidArgument(format!("{} is the checkpoint itself; write to another file", out.display())));
    }
    let items = layout(weights, dtype)?;
    let mut file = Destination::create(out)?;
    write(weights, &items, out, &mut file, progress)?;
    file.finish()
}

/// As [`write_safetensors`], to a stream that is called `name` in errors.
///
/// # Errors
/// [`Error::InvalidArgument`] when there is nothing to write, a value does not fit `dtype`, or an element type cannot be
/// written; [`Error::Io`] when writing fails.
pub fn write_safetensors_to(
    weights: &Weights,
    name: &Path,
    out: &mut impl Write,
    dtype: Option<DType>,
    progress: impl FnMut(u64, u64),
) -> Result<()> {
    let items = layout(weights, dtype)?;
    write(weights, &items, name, out, progress)
}

/// True when both paths lead to one file, also by links.
pub fn same_file(a: &Path, b: &Path) -> bool {
    #[cfg(unix)]
    if let (Ok(a), Ok(b)) = (fs::metadata(a), fs::metadata(b)) {
        use std::os::unix::fs::MetadataExt;
        return (a.dev(), a.ino()) == (b.dev(), b.ino());
    }
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// What to write, in the order of the file.
struct Item {
    key: String,
    tensor: Tensor,
    /// The type that it gets there, and the format's name for it.
    dtype: DType,
    name: String,
    shape: Vec<usize>,
}

impl Item {
    fn bytes(&self) -> u64 {
        self.dtype.bytes(self.tensor.shape().len()).unwrap_or(usize::MAX) as u64
    }
}

fn layout(weights: &Weights, dtype: Option<DType>) -> Result<Vec<Item>> {
    if dtype.is_some_and(|dtype| !matches!(dtype, DType::F32 | DType::F16 | DType::BF16)) {
        return Err(Error::InvalidArgument(
            "weights can be written as f32, f16 or bf16, not as i64; see `quantise` for q8 and q4".into(),
        ));
    }
    let mut items = Vec::new();
    let mut push = |key: String, tensor: &Tensor, dtype: DType| {
        let mut shape = tensor.shape().dims().to_vec();
        let name = match dtype {
            DType::Q8 => "I8".into(),
            DType::Q4 => {
                shape[1] /= 2;
                "U8".into()
            }
            dtype => dtype.name().to_uppercase(),
        };
        items.push(Item { key, tensor: tensor.clone(), dtype, name, shape });
    };
    for (key, entry) in weights.entries() {
        match entry {
            Entry::Tensor(tensor) if tensor.dtype() == DType::I64 => push(key.into(), tensor, DType::I64),
            Entry::Tensor(tensor) => {
                push(key.into(), tensor, dtype.unwrap_or(tensor.dtype()));
                if let (None, Some(scales)) = (dtype, tensor.scales()) {
                    push(format!("{key}{SCALES}"), scales, DType::F16);
                }
            }
            Entry::Unreadable { element, .. } => {
                let reason = format!("`{key}` has elements of type {element}, which cannot be converted");
                return Err(Error::InvalidArgument(format!("{}: {reason}", weights.name())));
            }
        }
    }
    if items.is_empty() {
        return Err(Error::InvalidArgument(format!("{} has no tensors to write", weights.name())));
    }
    // The order of the reference writer: wide elements first, so that every tensor is aligned.
    items.sort_by(|a, b| b.dtype.size().cmp(&a.dtype.size()).then_with(|| a.key.cmp(&b.key)));
    Ok(items)
}

fn header(items: &[Item]) -> (Vec<u8>, u64) {
    let mut header = Map::new();
    let mut metadata = json!({ "format": "pt" });
    if items.iter().any(|item| item.dtype.is_quantised()) {
        // For other readers, which find here what docs/WEIGHTS.md says at length. Only texts are allowed.
        let said = json!({ "quant_method": "webmamba", "group_size": GROUP, "axis": 1, "symmetric": true, "scales": SCALES });
        metadata["quantization_config"] = said.to_string().into();
    }
    header.insert("__metadata__".into(), metadata);
    let mut at = 0;
    for item in items {
        let end = at + item.bytes();
        header.insert(item.key.clone(), json!({ "dtype": item.name, "shape": item.shape, "data_offsets": [at, end] }));
        at = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    (text, at)
}

fn write(weights: &Weights, items: &[Item], name: &Path, out: &mut impl Write, mut progress: impl FnMut(u64, u64)) -> Result<()> {
    let io = |source| Error::io(name, source);
    let (header, total) = header(items);
    let mut out = BufWriter::new(out);
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
    out.write_all(&header).map_err(io)?;
    let mut done = 0;
    progress(done, total);
    for Item { key, tensor, dtype, .. } in items {
        let tensor = if tensor.dtype() == *dtype || !tensor.dtype().is_quantised() {
            tensor.clone()
        } else {
            tensor.clone().into_f32()?
        };
        for chunk in tensor.bytes().chunks(CHUNK) {
            let bytes = convert(chunk, tensor.dtype(), *dtype).map_err(|value| {
                Error::InvalidArgument(format!(
                    "{}: `{key}` has the value {value}, which is too large for {dtype}; convert to bf16 or keep f32",
                    weights.name()
                ))
            })?;
            out.write_all(&bytes).map_err(io)?;
            done += bytes.len() as u64;
            progress(done, total);
        }
    }
    out.flush().map_err(io)
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
