//! The zip archive that `torch.save` writes since version 1.6.

use std::collections::HashMap;

use rawzip::{CompressionMethod, ZipArchive, ZipArchiveEntryWayfinder, ZipSliceArchive};

use super::{
    little_endian, pickle,
    tensors::{self, Budget},
};
use crate::{error::quote, tensor::Bytes, weights::contents::Contents};

/// A zip archive: `<root>/data.pkl`, and a file `<root>/data/<key>` for every storage.
pub(super) fn load(bytes: &Bytes) -> Result<Contents, String> {
    let archive = Archive::open(bytes)?;
    let mut budget = Budget::of_file(bytes.as_slice().len());
    if let Some(order) = archive.read("byteorder", &mut budget)? {
        little_endian(order.as_slice() == b"little")?;
    }
    let data = archive.read("data.pkl", &mut budget)?.ok_or("it is a zip archive without `data.pkl`")?;
    let (heap, root, _) = pickle::load(data.as_slice())?;
    // Compressed storages are inflated once, however many tensors share them.
    let mut loaded: HashMap<&str, Bytes> = HashMap::new();
    tensors::contents(&heap, root, &mut budget, |storage, budget| {
        let found = match loaded.get(storage.key) {
            Some(bytes) => bytes.clone(),
            None => {
                let bytes = archive
                    .read(&format!("data/{}", storage.key), budget)?
                    .ok_or_else(|| format!("the file lacks its storage {}", quote(storage.key)))?;
                loaded.insert(storage.key, bytes.clone());
                bytes
            }
        };
        let (has, wants) = (found.as_slice().len(), storage.bytes()?);
        if has == wants { Ok(found) } else { Err(format!("its storage has {has} bytes instead of {wants}")) }
    })
}

struct Archive<'a> {
    bytes: &'a Bytes,
    zip: ZipSliceArchive<&'a [u8]>,
    entries: HashMap<Vec<u8>, Entry>,
    /// The folder that everything is in, with its slash.
    root: String,
}

struct Entry {
    place: ZipArchiveEntryWayfinder,
    method: CompressionMethod,
    encrypted: bool,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a Bytes) -> Result<Self, String> {
        let zip = ZipArchive::from_slice(bytes.as_slice()).map_err(damaged)?;
        let mut entries = HashMap::new();
        let mut start = u64::MAX;
        for record in zip.entries() {
            let record = record.map_err(damaged)?;
            start = start.min(record.local_header_offset());
            let (place, method) = (record.wayfinder(), record.compression_method());
            let entry = Entry { place, method, encrypted: record.flags().is_encrypted() };
            if entries.insert(record.file_path().as_bytes().to_owned(), entry).is_some() {
                return Err("the zip archive has two entries of one name".into());
            }
        }
        // Offsets are from the first byte, as torch itself reads them: nothing may stand before the archive.
        if start != 0 && !entries.is_empty() {
            return Err(damaged("it does not begin with its first entry"));
        }
        let root = entries
            .keys()
            .filter_map(|name| std::str::from_utf8(name).ok()?.strip_suffix("data.pkl"))
            .filter(|root| root.is_empty() || root.ends_with('/'))
            .min_by_key(|root| root.len())
            .ok_or("it is a zip archive, but not one of torch.save: there is no `data.pkl`")?
            .to_owned();
        Ok(Self { bytes, zip, entries, root })
    }

    /// The contents of an entry, shared with the file unless they are compressed; `None` when there is none.
    fn read(&self, name: &str, budget: &mut Budget) -> Result<Option<Bytes>, String> {
        let Some(entry) = self.entries.get(format!("{}{name}", self.root).as_bytes()) else { return Ok(None) };
        if entry.encrypted {
            return Err("the zip archive is encrypted".into());
        }
        let wrong_size = || format!("the sizes of the zip entry {} are wrong", quote(name));
        let length = usize::try_from(entry.place.uncompressed_size_hint()).map_err(|_| wrong_size())?;
        let packed = self.zip.get_entry(entry.place).map_err(damaged)?;
        // Checksums are left alone: torch may be told not to write them, and reading them would read the whole file.
        if entry.method == CompressionMethod::STORE {
            let place = packed.compressed_data_range();
            let (start, end) = (usize::try_from(place.0), usize::try_from(place.1));
            let (start, end) = (start.map_err(|_| wrong_size())?, end.map_err(|_| wrong_size())?);
            let stored = self.bytes.slice(start..end).filter(|bytes| bytes.as_slice().len() == length);
            return stored.ok_or_else(wrong_size).map(Some);
        }
        inflate(packed.data(), length, entry.method, budget, wrong_size).map(Some)
    }
}

/// The contents of a compressed entry, `length` bytes as the archive's directory says.
#[cfg(feature = "deflate")]
fn inflate(
    packed: &[u8],
    length: usize,
    method: CompressionMethod,
    budget: &mut Budget,
    wrong_size: impl Fn() -> String,
) -> Result<Bytes, String> {
    use std::io::Read;
    if method != CompressionMethod::DEFLATE {
        return Err(compressed(method));
    }
    budget.spend(length)?;
    let mut out = Vec::with_capacity(length);
    let reader = flate2::read::DeflateDecoder::new(packed);
    reader.take((length as u64).saturating_add(1)).read_to_end(&mut out).map_err(damaged)?;
    if out.len() == length { Ok(Bytes::new(out)) } else { Err(wrong_size()) }
}

/// Builds without the feature `deflate` read what torch.save writes.
#[cfg(not(feature = "deflate"))]
fn inflate(_: &[u8], _: usize, method: CompressionMethod, _: &mut Budget, _: impl Fn() -> String) -> Result<Bytes, String> {
    Err(compressed(method))
}

fn compressed(method: CompressionMethod) -> String {
    format!("the zip archive is compressed by {}; torch.save does not compress", method.name().unwrap_or("an unknown method"))
}

fn damaged(error: impl std::fmt::Display) -> String {
    format!("the zip archive is damaged: {error}")
}
