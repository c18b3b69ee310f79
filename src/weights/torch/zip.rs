//! The zip archive that `torch.save` writes since version 1.6.

use std::{collections::HashMap, io::Cursor};

use zip::{
    CompressionMethod, ZipArchive,
    read::{ArchiveOffset, Config},
};

use super::{
    little_endian, pickle,
    tensors::{self, Budget},
};
use crate::{error::quote, tensor::Bytes, weights::contents::Contents};

/// A zip archive: `<root>/data.pkl`, and a file `<root>/data/<key>` for every storage.
pub(super) fn load(bytes: &Bytes) -> Result<Contents, String> {
    let mut archive = Archive::open(bytes)?;
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
    zip: ZipArchive<Cursor<&'a [u8]>>,
    /// The folder that everything is in, with its slash.
    root: String,
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a Bytes) -> Result<Self, String> {
        // Offsets are from the first byte, as torch itself reads them: nothing may stand before the archive.
        let config = Config { archive_offset: ArchiveOffset::Known(0) };
        let zip = ZipArchive::with_config(config, Cursor::new(bytes.as_slice())).map_err(damaged)?;
        if zip.has_duplicate_names() {
            return Err("the zip archive has two entries of one name".into());
        }
        let root = zip
            .file_names_raw()
            .filter_map(|name| std::str::from_utf8(name).ok()?.strip_suffix("data.pkl"))
            .filter(|root| root.is_empty() || root.ends_with('/'))
            .min_by_key(|root| root.len())
            .ok_or("it is a zip archive, but not one of torch.save: there is no `data.pkl`")?
            .to_owned();
        Ok(Self { bytes, zip, root })
    }

    /// The contents of an entry, shared with the file unless they are compressed; `None` when there is none.
    fn read(&mut self, name: &str, budget: &mut Budget) -> Result<Option<Bytes>, String> {
        let Some(index) = self.zip.index_for_name_raw(format!("{}{name}", self.root).as_bytes()) else { return Ok(None) };
        let entry = self.zip.by_index_raw(index).map_err(damaged)?;
        let (size, packed) = (entry.size(), entry.compressed_size());
        let wrong_size = || format!("the sizes of the zip entry {} are wrong", quote(name));
        let length = usize::try_from(size).map_err(|_| wrong_size())?;
        if entry.encrypted() {
            return Err("the zip archive is encrypted".into());
        }
        match entry.compression() {
            // Checksums are left alone: torch may be told not to write them, and reading them would read the whole file.
            CompressionMethod::Stored if size == packed => {
                let start = entry.data_start().and_then(|at| usize::try_from(at).ok()).ok_or_else(wrong_size)?;
                let end = start.checked_add(length).ok_or_else(wrong_size)?;
                self.bytes.slice(start..end).ok_or_else(wrong_size).map(Some)
            }
            CompressionMethod::Stored => Err(wrong_size()),
            method => {
                drop(entry);
                self.inflate(index, length, method, budget).map(Some)
            }
        }
    }

    /// The contents of a compressed entry, `length` bytes as it says itself.
    #[cfg(feature = "deflate")]
    fn inflate(&mut self, index: usize, length: usize, method: CompressionMethod, budget: &mut Budget) -> Result<Bytes, String> {
        use std::io::Read;
        if method != CompressionMethod::Deflated {
            return Err(compressed(method));
        }
        budget.spend(length)?;
        let mut out = Vec::with_capacity(length);
        let reader = self.zip.by_index(index).map_err(damaged)?;
        reader.take((length as u64).saturating_add(1)).read_to_end(&mut out).map_err(damaged)?;
        if out.len() == length { Ok(Bytes::new(out)) } else { Err("the sizes of a zip entry are wrong".into()) }
    }

    /// Builds without the feature `deflate` read what torch.save writes.
    #[cfg(not(feature = "deflate"))]
    fn inflate(&mut self, _: usize, _: usize, method: CompressionMethod, _: &mut Budget) -> Result<Bytes, String> {
        Err(compressed(method))
    }
}

fn compressed(method: CompressionMethod) -> String {
    format!("the zip archive is compressed by {method}; torch.save does not compress")
}

fn damaged(error: impl std::fmt::Display) -> String {
    format!("the zip archive is damaged: {error}")
}
