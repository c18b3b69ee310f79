//! The stream of pickles that `torch.save` wrote before version 1.6.

use std::collections::HashMap;

use super::{
    little_endian,
    pickle::{self, Heap, Id, Value},
    tensors::{self, Budget, Storage},
};
use crate::{
    error::quote,
    tensor::Bytes,
    weights::{contents::Contents, element::Element},
};

/// What a stream begins with: the number 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

/// The stream: magic number, protocol, system, object and list of storages as pickles, then every storage as its number of
/// elements and its bytes.
pub(super) fn load(bytes: &Bytes) -> Result<Contents, String> {
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
    tensors::contents(&heap, root, &mut budget, |storage, _| match storages.get(storage.key) {
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
            let storage = tensors::storage(heap, id)?;
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
