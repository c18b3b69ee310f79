//! Where weights come from, and the account of what was read.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{element::Entry, synthetic};
use crate::{
    error::{Error, Result, WeightReport},
    tensor::{Bytes, DType, Shape, Tensor, TensorDesc},
};

/// The keys of a checkpoint.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) entries: Vec<(String, Entry)>,
    places: HashMap<String, usize>,
    /// For every entry, whether it was read.
    read: Vec<AtomicBool>,
    /// The files that the entries are mapped from.
    pub(super) files: Vec<PathBuf>,
}

impl Table {
    /// Of equal keys the last one counts; loaders have refused them before.
    pub(super) fn new(entries: Vec<(String, Entry)>, files: Vec<PathBuf>) -> Self {
        let places = entries.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
        let read = entries.iter().map(|_| AtomicBool::new(false)).collect();
        Self { entries, places, read, files }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.places.get(key).and_then(|&place| self.entries.get(place)).map(|(_, entry)| entry)
    }

    fn mark(&self, key: &str) {
        if let Some(flag) = self.places.get(key).and_then(|&place| self.read.get(place)) {
            flag.store(true, Ordering::Relaxed);
        }
    }
}

/// What answers when a layer asks for its weights.
#[derive(Debug)]
pub(super) enum Source {
    Table(Table),
    Synthetic,
    Zeros,
}

/// What all views of the same weights share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) source: Source,
    account: Mutex<WeightReport>,
    zeros: Mutex<Bytes>,
}

impl Shared {
    pub(super) fn new(name: &str, source: Source) -> Self {
        let zeros = Mutex::new(Bytes::new(Vec::new()));
        Self { name: name.to_owned(), source, account: Mutex::default(), zeros }
    }

    pub(super) fn table(&self) -> Option<&Table> {
        match &self.source {
            Source::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The tensor under the full key `key`, or zeros and a line in the account.
    pub(super) fn get(&self, key: String, shape: &[usize]) -> Result<Tensor> {
        let shape = Shape::from(shape);
        let bytes = shape.checked_len().and_then(|n| n.checked_mul(DType::F32.size())).filter(|&n| isize::try_from(n).is_ok());
        let Some(bytes) = bytes else {
            return Err(Error::InvalidArgument(format!("{}: a tensor {shape} called `{key}` is too large", self.name)));
        };
        let table = match &self.source {
            Source::Table(table) => table,
            Source::Synthetic if room(bytes) => return synthetic::tensor(&key, &shape),
            Source::Synthetic => return Err(self.no_memory(&key, &shape)),
            Source::Zeros => return self.zeros(&key, shape, bytes),
        };
        table.mark(&key);
        let mut account = lock(&self.account);
        let (list, line) = match table.get(&key) {
            Some(Entry::Tensor(tensor)) if *tensor.shape() == shape && tensor.dtype() != DType::I64 => {
                return Ok(tensor.clone());
            }
            Some(Entry::Tensor(tensor)) if *tensor.shape() == shape => {
                (&mut account.mismatched, format!("{key}: expected floating point, found integers"))
            }
            Some(Entry::Unreadable { element, .. }) => {
                (&mut account.mismatched, format!("{key}: expected floating point, found {element}"))
            }
            Some(entry) => (&mut account.mismatched, format!("{key}: expected {shape}, found {}", entry.shape())),
            None => (&mut account.missing, format!("{key}: {shape}")),
        };
        // A layer may ask twice, for instance to look at a shape first.
        if !list.contains(&line) {
            list.push(line);
        }
        drop(account);
        self.zeros(&key, shape, bytes)
    }

    /// Closes the account and opens a new one, so that another model can be built from the same weights.
    pub(super) fn settle(&self, ignorable: impl Fn(&str) -> bool) -> WeightReport {
        let mut report = std::mem::take(&mut *lock(&self.account));
        if let Some(table) = self.table() {
            for ((key, entry), read) in table.entries.iter().zip(&table.read) {
                if !read.swap(false, Ordering::Relaxed) && !ignorable(key) {
                    report.unread.push(format!("{key}: {}", entry.shape()));
                }
            }
        }
        report
    }

    /// Zeros that share one allocation, of which the system provides pages only where they are touched.
    fn zeros(&self, key: &str, shape: Shape, bytes: usize) -> Result<Tensor> {
        let mut zeros = lock(&self.zeros);
        let part = match zeros.slice(0..bytes) {
            Some(part) => part,
            None => {
                // Twice the last size, so that growing tensors do not each leave an allocation behind.
                let words = bytes.max(zeros.as_slice().len().saturating_mul(2)).div_ceil(8);
                if !room(words.saturating_mul(8)) {
                    return Err(self.no_memory(key, &shape));
                }
                *zeros = Bytes::new(Zeros(vec![0; words]));
                zeros.slice(0..bytes).unwrap_or_else(|| zeros.clone())
            }
        };
        Tensor::new(TensorDesc::f32(shape), part)
    }

    fn no_memory(&self, key: &str, shape: &Shape) -> Error {
        Error::InvalidArgument(format!("{}: there is no memory for a tensor {shape} called `{key}`", self.name))
    }
}

/// True when so much memory can be had. Sizes come from configurations, and an allocation that fails would abort.
fn room(bytes: usize) -> bool {
    let mut probe = Vec::<u8>::new();
    let granted = probe.try_reserve_exact(bytes).is_ok();
    // Seen as used, or the reservation could be optimised away and taken for granted.
    std::hint::black_box(&mut probe);
    granted
}

/// Words rather than bytes, for their alignment.
struct Zeros(Vec<u64>);

impl AsRef<[u8]> for Zeros {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// A list that a panicking thread left behind is still a list.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
