//! Safetensors: a JSON header, then the bytes of the tensors, which are used where they lie.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    ops::Range,
};

use ::safetensors::{
    Dtype, SafeTensorError,
    tensor::{Metadata, TensorInfo},
};
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::element::{Element, Entry};
use crate::{
    error::quote,
    tensor::{Bytes, DType, Shape, Tensor},
};

/// Bytes of the length that stands before the header.
pub(super) const PREFIX: usize = 8;

/// A tensor of a file: its key, element type, shape, and where its bytes lie after the header.
pub(super) struct Place {
    pub(super) key: String,
    pub(super) element: Result<Element, String>,
    pub(super) shape: Shape,
    pub(super) bytes: Range<usize>,
}

/// What the scales of quantised filters are called, behind their key.
pub(super) const SCALES: &str = ".scales";

/// The entries of a file, in the order of their bytes.
pub(super) fn load(bytes: &Bytes) -> Result<Vec<(String, Entry)>, String> {
    let (header, data) = split(bytes.as_slice())?;
    let places = places(header, Some(data.len()))?;
    let start = bytes.len() - data.len();
    let part = |place: &Place| {
        let Range { start: begin, end } = place.bytes;
        bytes.slice(start + begin..start + end).ok_or_else(|| format!("{} is not in the file", quote(&place.key)))
    };
    let parts = places.iter().map(part).collect::<Result<_, _>>()?;
    entries(places, parts)
}

/// What lies at these places, with the bytes of each. Scales go to the tensors whose they are.
pub(super) fn entries(places: Vec<Place>, parts: Vec<Bytes>) -> Result<Vec<(String, Entry)>, String> {
    let (mut entries, mut quantised, mut owners) = (Vec::with_capacity(places.len()), Vec::new(), HashMap::new());
    for (Place { key, element, shape, .. }, part) in places.into_iter().zip(parts) {
        let entry = match element {
            // These have scales: that is what they were told by.
            Ok(element @ (Element::Q8 | Element::Q4)) => {
                owners.insert(key, quantised.len());
                quantised.push((element, shape, part));
                continue;
            }
            Ok(element) => element.entry(shape, part).map_err(|error| format!("{}: {error}", quote(&key)))?,
            Err(element) => Entry::Unreadable { element, shape },
        };
        entries.push((key, entry));
    }
    for (key, entry) in &mut entries {
        let owner = key.strip_suffix(SCALES).and_then(|key| owners.get(key));
        if let (Some(owner), Entry::Tensor(scales)) = (owner, &*entry) {
            key.truncate(key.len() - SCALES.len());
            let (element, shape, part) = &quantised[*owner];
            let dtype = if *element == Element::Q8 { DType::Q8 } else { DType::Q4 };
            let tensor = Tensor::quantised(dtype, shape.clone(), part.clone(), scales.clone());
            *entry = Entry::Tensor(tensor.map_err(|error| format!("{}: {error}", quote(key)))?);
        }
    }
    Ok(entries)
}

/// What a header describes, in the order of the bytes, held against the length of the data where that is known.
pub(super) fn places(header: &[u8], data_len: Option<usize>) -> Result<Vec<Place>, String> {
    // From text, as all JSON here is: one parser in the module that browsers download.
    let text = str::from_utf8(header).map_err(|_| NOT_UTF8)?;
    let Header(mut list) = serde_json::from_str(text).map_err(|error| format!("its header is damaged: {error}"))?;
    if let Some((len, (key, info))) = data_len.and_then(|len| Some((len, list.iter().find(|(_, i)| i.data_offsets.1 > len)?))) {
        let end = info.data_offsets.1;
        return Err(format!("the file is truncated: {} ends at byte {end} of {len} bytes of data", quote(key)));
    }
    list.sort_by_key(|(_, info)| info.data_offsets);
    // This is what holds shapes, types and offsets against each other.
    let metadata = Metadata::new(None, list.clone()).map_err(describe)?;
    if data_len.is_some_and(|len| len != metadata.data_len()) {
        return Err(describe(SafeTensorError::MetadataIncompleteBuffer));
    }
    let scaled: HashSet<String> = list
        .iter()
        .filter(|(_, info)| info.dtype == Dtype::F16)
        .filter_map(|(key, _)| key.strip_suffix(SCALES))
        .map(str::to_owned)
        .collect();
    let place = |(key, mut info): (String, TensorInfo)| {
        let element = match (info.dtype, scaled.contains(&key)) {
            (Dtype::I8, true) => Some(Element::Q8),
            (Dtype::U8, true) => {
                // Two to a byte.
                info.shape.get_mut(1).iter_mut().for_each(|channels| **channels = channels.saturating_mul(2));
                Some(Element::Q4)
            }
            (dtype, _) => element(dtype),
        };
        Place {
            key,
            element: element.ok_or_else(|| format!("{:?}", info.dtype)),
            shape: Shape::from(info.shape),
            bytes: info.data_offsets.0..info.data_offsets.1,
        }
    };
    Ok(list.into_iter().map(place).collect())
}

const NOT_UTF8: &str = "its header is damaged: it is not UTF-8";

/// The longest header that the format allows.
const MAX_HEADER: u64 = 100_000_000;

/// How many bytes the header takes, from the prefix of a file.
pub(super) fn header_len(prefix: [u8; PREFIX]) -> Result<usize, String> {
    match usize::try_from(u64::from_le_bytes(prefix)) {
        Ok(length) if length as u64 <= MAX_HEADER => Ok(length),
        _ => Err(describe(SafeTensorError::HeaderTooLarge)),
    }
}

/// The header, and what comes after it.
fn split(file: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let Some((prefix, rest)) = file.split_first_chunk::<PREFIX>() else {
        return Err(format!("the file has only {} bytes", file.len()));
    };
    let length = u64::from_le_bytes(*prefix);
    let halves = usize::try_from(length).ok().and_then(|n| rest.split_at_checked(n));
    let halves = halves
        .ok_or_else(|| format!("the file is truncated: its header should have {length} bytes, but {} are left", rest.len()))?;
    header_len(*prefix)?;
    Ok(halves)
}

fn describe(error: SafeTensorError) -> String {
    match error {
        SafeTensorError::HeaderTooLarge => "its header is larger than the format allows".into(),
        SafeTensorError::InvalidHeader(_) => NOT_UTF8.into(),
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

/// The keys and what is said of each, in the order of the header. The crate's own parser takes the last of equal keys, and adds up
/// offsets that nobody has held against the file.
struct Header(Vec<(String, TensorInfo)>);

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
                let mut tensors = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if !seen.insert(key.clone()) {
                        return Err(A::Error::custom(format_args!("the key {} occurs twice", quote(&key))));
                    }
                    if key == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        let info = map.next_value()?;
                        tensors.push((key, info));
                    }
                }
                Ok(Header(tensors))
            }
        }

        deserializer.deserialize_map(Keys)
    }
}
