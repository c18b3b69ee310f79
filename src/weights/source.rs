//! What answers when a layer asks for its weights.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use super::{
    contents::{About, Contents},
    element::Entry,
    synthetic::{self, Gains},
};
use crate::{
    error::{Error, Result},
    tensor::{ByteOwner, Bytes, DType, Shape, Tensor, TensorDesc},
};

/// The keys of a checkpoint.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Vec<(String, Entry)>,
    places: HashMap<String, usize>,
    pub(super) about: About,
    /// The files that the entries are mapped from.
    pub(super) files: Vec<PathBuf>,
}

impl Table {
    /// Of equal keys the last one counts; loaders have refused them before.
    pub(super) fn new(Contents { entries, about }: Contents, files: Vec<PathBuf>) -> Self {
        let places = entries.iter().enumerate().map(|(place, (key, _))| (key.clone(), place)).collect();
        Self { entries, places, about, files }
    }

    pub(super) fn entries(&self) -> &[(String, Entry)] {
        &self.entries
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.places.get(key).and_then(|&place| self.entries.get(place)).map(|(_, entry)| entry)
    }
}

/// Where weights come from.
#[derive(Debug)]
pub(super) enum Source {
    Table(Table),
    Synthetic(&'static Gains),
    Zeros,
}

/// What everyone who reads the same weights shares.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) source: Source,
    zeros: Mutex<Bytes>,
}

impl Shared {
    pub(super) fn new(name: &str, source: Source) -> Self {
        Self { name: name.to_owned(), source, zeros: Mutex::new(Bytes::new(Vec::new())) }
    }

    pub(super) fn table(&self) -> Option<&Table> {
        match &self.source {
            Source::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The tensor that these weights make up for `key`: zeros, unless they are synthetic.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when `shape` is too large for this machine.
    pub(super) fn made(&self, key: &str, shape: &Shape) -> Result<Tensor> {
        let bytes = shape.checked_len().and_then(|n| n.checked_mul(DType::F32.size())).filter(|&n| isize::try_from(n).is_ok());
        let Some(bytes) = bytes else {
            return Err(Error::InvalidArgument(format!("{}: a tensor {shape} called `{key}` is too large", self.name)));
        };
        let made = match self.source {
            Source::Synthetic(gains) => room(bytes).then(|| synthetic::tensor(gains, key, shape)).transpose()?,
            _ => {
                let named = |part| Bytes::pending(Named { part, key: key.to_owned() }, bytes);
                self.zeros(bytes).map(|part| Tensor::new(TensorDesc::f32(shape.clone()), named(part))).transpose()?
            }
        };
        let no_memory = || format!("{}: there is no memory for a tensor {shape} called `{key}`", self.name);
        made.ok_or_else(|| Error::InvalidArgument(no_memory()))
    }

    /// Zeros that share one allocation, of which the system provides pages only where they are touched. `None` without memory.
    fn zeros(&self, bytes: usize) -> Option<Bytes> {
        let mut zeros = self.zeros.lock().unwrap_or_else(PoisonError::into_inner);
        if zeros.len() < bytes {
            // Twice the last size, so that growing tensors do not each leave an allocation behind.
            let words = bytes.max(zeros.len().saturating_mul(2)).div_ceil(8);
            if !room(words.saturating_mul(8)) {
                return None;
            }
            *zeros = Bytes::new(Zeros(vec![0; words]));
        }
        zeros.slice(0..bytes)
    }
}

/// The zeros of one key: another weight than those of any other, or a program would store all layers of a shape once.
struct Named {
    part: Bytes,
    key: String,
}

impl ByteOwner for Named {
    fn bytes(&self) -> &[u8] {
        self.part.as_ref()
    }

    fn identity(&self) -> Option<String> {
        Some(format!("zeros of {}", self.key))
    }
}

/// True when so much memory can be had. Sizes come from configurations, and an allocation that fails would abort.
pub(super) fn room(bytes: usize) -> bool {
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
