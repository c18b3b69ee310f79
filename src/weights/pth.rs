//! The two containers of `torch.save`: the zip archive, and the stream of pickles from before version 1.6.

use std::{collections::HashMap, io::Cursor};

use zip::{
    CompressionMethod, ZipArchive,
    read::{ArchiveOffset, Config},
};

use super::{
    element::{Element, Entry},
    pickle::{self, Heap, Id, Value, quote},
    state::{self, Budget, Storage},
};
use crate::tensor::Bytes;

/// What a stream begins with: the number 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

/// A zip archive: `<root>/data.pkl`, and a file `<root>/data/<key>` for every storage.
pub(super) fn load_zip(bytes: &Bytes) -> Result<Vec<(String, Entry)>, String> {
    let mut archive = Archive::open(bytes)?;
    let mut budget = Budget::of_file(bytes.as_slice().len());
    if let Some(order) = archive.read("byteorder", &mut budget)? {
        little_endian(order.as_slice() == b"little")?;
    }
    let data = archive.read("data.pkl", &mut budget)?.ok_or("it is a zip archive without `data.pkl`")?;
    let (heap, root, _) = pickle::load(data.as_slice())?;
    // Compressed storages are inflated once, however many tensors share them.
    let mut loaded: HashMap<&str, Bytes> = HashMap::new();
    state::entries(&heap, root, &mut budget, |storage, budget| {
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

fn little_endian(is: bool) -> Result<(), String> {
    if is { Ok(()) } else { Err("it was written on a big-endian machine".into()) }
}

/// The stream: magic number, protocol, system, object and list of storages as pickles, then every storage as its number of
/// elements and its bytes.
pub(super) fn load_stream(bytes: &Bytes) -> Result<Vec<(String, Entry)>, String> {
    let mut stream = Stream { bytes, at: 0 };
    let not_torch = || "it is a pickle, but not one of torch.save".to_owned();
    let (heap, magic) = stream.pickle().map_err(|_| not_torch())?;
    if !matches!(heap.get(magic), Value::Long(number) if *number == MAGIC) {
        return Err(not_torch());
    }
    let (heap, protocol) = stream.pickle()?;
    if !matches!(heap.get(protocol), Value::Int(PROTOCOL)) {
        return Err("its version of the format is not known".into());
    }
    let (heap, system) = stream.pickle()?;
    if let Value::Dict(system) = heap.get(system) {
        let order = system.iter().find(|(key, _)| heap.str(*key) == Some("little_endian"));
        little_endian(!order.is_some_and(|(_, value)| matches!(heap.get(*value), Value::Bool(false))))?;
    }
    let (heap, root) = stream.pickle()?;
    let (list, keys) = stream.pickle()?;
    let storages = stream.storages(&heap, &list, keys)?;
    let mut budget = Budget::of_file(bytes.as_slice().len());
    state::entries(&heap, root, &mut budget, |storage, _| match storages.get(storage.key) {
        Some((element, bytes)) if *element == storage.element && bytes.as_slice().len() == storage.bytes()? => Ok(bytes.clone()),
        Some(_) => Err("its storage is described in two ways".into()),
        None => Err(format!("the file lacks its storage {}", quote(storage.key))),
    })
}

struct Stream<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Stream<'a> {
    fn pickle(&mut self) -> Result<(Heap<'a>, Id), String> {
        let rest = self.bytes.as_slice().get(self.at..).unwrap_or_default();
        let (heap, root, used) = pickle::load(rest)?;
        self.at += used;
        Ok((heap, root))
    }

    /// The storages in the order of `keys`; their element types are only known from where `heap` refers to them.
    fn storages<'h>(&mut self, heap: &Heap<'h>, list: &Heap<'h>, keys: Id) -> Result<HashMap<&'h str, (Element, Bytes)>, String> {
        let mut known: HashMap<&str, Storage<'h>> = HashMap::new();
        for id in heap.ids().filter(|&id| matches!(heap.get(id), Value::Persistent(_))) {
            let storage = state::storage(heap, id)?;
            known.entry(storage.key).or_insert(storage);
        }
        let mut storages = HashMap::new();
        for &key in list.items(keys).ok_or("its list of storages is missing")? {
            let storage = list.str(key).and_then(|key| known.get(key)).ok_or("it lists a storage that nothing refers to")?;
            let cut = || format!("the file ends within its storage {}", quote(storage.key));
            let count = self.take(8).ok_or_else(cut)?;
            if count.as_slice() != (storage.len as u64).to_le_bytes() {
                return Err(format!("the size of its storage {} is wrong", quote(storage.key)));
            }
            let bytes = self.take(storage.bytes()?).ok_or_else(cut)?;
            storages.insert(storage.key, (storage.element, bytes));
        }
        Ok(storages)
    }

    fn take(&mut self, n: usize) -> Option<Bytes> {
        let end = self.at.checked_add(n)?;
        let part = self.bytes.slice(self.at..end)?;
        self.at = end;
        Some(part)
    }
}
