//! Safetensors: a JSON header, then the bytes of the tensors, which are used where they lie.

use std::{collections::HashSet, fmt};

use ::safetensors::{Dtype, SafeTensorError, SafeTensors};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::{
    element::{Element, Entry},
    pickle::quote,
};
use crate::tensor::{Bytes, Shape};

/// Bytes of the length that stands before the header.
const PREFIX: usize = 8;

/// The entries of a file, in the order of their bytes.
pub(super) fn load(bytes: &Bytes) -> Result<Vec<(String, Entry)>, String> {
    let file = bytes.as_slice();
    let (header, data_len) = split(file)?;
    let checked: Header = serde_json::from_slice(header).map_err(|error| format!("its header is damaged: {error}"))?;
    if let Some((key, end)) = checked.0.iter().find(|(_, end)| *end > data_len as u64) {
        return Err(format!("the file is truncated: {} ends at byte {end} of {data_len} bytes of data", quote(key)));
    }
    let (header_len, metadata) = SafeTensors::read_metadata(file).map_err(describe)?;
    let mut entries = Vec::new();
    for key in metadata.offset_keys() {
        let Some(info) = metadata.info(&key) else { continue };
        let start = PREFIX + header_len;
        let (begin, end) = info.data_offsets;
        let part = bytes.slice(start + begin..start + end).ok_or_else(|| format!("{} is not in the file", quote(&key)))?;
        let shape = Shape::from(info.shape.as_slice());
        let entry = match element(info.dtype) {
            Some(element) => element.entry(shape, part).map_err(|error| format!("{}: {error}", quote(&key)))?,
            None => Entry::Unreadable { element: format!("{:?}", info.dtype), shape },
        };
        entries.push((key, entry));
    }
    Ok(entries)
}

/// The header, and how many bytes come after it.
fn split(file: &[u8]) -> Result<(&[u8], usize), String> {
    let Some((length, rest)) = file.split_first_chunk::<PREFIX>() else {
        return Err(format!("the file has only {} bytes", file.len()));
    };
    let length = u64::from_le_bytes(*length);
    match usize::try_from(length).ok().and_then(|n| rest.split_at_checked(n)) {
        Some((header, data)) => Ok((header, data.len())),
        None => Err(format!("the file is truncated: its header should have {length} bytes, but {} are left", rest.len())),
    }
}

fn describe(error: SafeTensorError) -> String {
    match error {
        SafeTensorError::HeaderTooLarge => "its header is larger than the format allows".into(),
        SafeTensorError::InvalidHeader(_) => "its header is not UTF-8".into(),
        SafeTensorError::InvalidOffset(key) => {
            format!("the bytes of {} overlap those of another tensor, or leave a gap", quote(&key))
        }
        SafeTensorError::TensorInvalidInfo => "the size of a tensor does not match its shape and type".into(),
        SafeTensorError::ValidationOverflow => "the shape of a tensor is too large".into(),
        SafeTensorError::MetadataIncompleteBuffer => {
            "the file is longer or shorter than its header says: an incomplete download?".into()
        }
        other => other.to_string(),
    }
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::BF16,
        Dtype::F64 => Element::F64,
        Dtype::I64 => Element::I64,
        Dtype::I32 => Element::I32,
        Dtype::I16 => Element::I16,
        Dtype::I8 => Element::I8,
        Dtype::U32 => Element::U32,
        Dtype::U16 => Element::U16,
        Dtype::U8 => Element::U8,
        Dtype::BOOL => Element::Bool,
        _ => return None,
    })
}

/// The keys and where their bytes end: what has to be looked at before the header is parsed in earnest, because that takes the
/// last of equal keys, and adds up offsets that nobody has held against the file.
struct Header(Vec<(String, u64)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a tensor for each key")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut seen = HashSet::new();
                let mut ends = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if !seen.insert(key.clone()) {
                        return Err(A::Error::custom(format_args!("the key {} occurs twice", quote(&key))));
                    }
                    if key == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        ends.push((key, map.next_value::<Offsets>()?.data_offsets.1));
                    }
                }
                Ok(Header(ends))
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

#[derive(serde::Deserialize)]
struct Offsets {
    data_offsets: (u64, u64),
}
