//! Checkpoints: from the files that authors publish to tensors under their own keys.
//!
//! [`Weights`] is a view of a checkpoint below a path of keys. A model asks for what it needs by key and shape
//! (`w.pp("levels").pp(0).get("norm.weight", &[80])`), and [`Weights::finish`] then holds what was read against what the file
//! has: nothing is ever left out silently.
//!
//! Files are safetensors or PyTorch's own format, whole or in shards. They are mapped into memory and used where they lie, so
//! **a file must not be changed while its weights are in use**. Every file may be damaged or hostile: pickles are read as data
//! and never executed, and whatever is wrong becomes an [`Error::Checkpoint`].

use std::{
    fmt::Display,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    error::{Error, Result},
    platform,
    tensor::{Bytes, DType, Shape, Tensor},
};

mod convert;
mod destination;
mod element;
mod incoming;
mod open;
mod pickle;
mod prefix;
mod pth;
mod safetensors;
mod source;
mod state;
mod synthetic;

pub use convert::{same_file, write_safetensors, write_safetensors_to};
pub use destination::{Destination, remove_unfinished};
pub use incoming::Incoming;
pub use synthetic::{fill_uniform, fnv1a64};

use element::Entry;
use source::{Shared, Source, Table};

/// A checkpoint, or the part of it below a path of keys. Cloning shares everything.
#[derive(Debug, Clone)]
pub struct Weights {
    shared: Arc<Shared>,
    /// The path, with the dot that ends it.
    prefix: String,
}

impl Weights {
    fn new(name: &str, source: Source) -> Self {
        Self { shared: Arc::new(Shared::new(name, source)), prefix: String::new() }
    }

    /// A file, or a folder with a checkpoint in it.
    ///
    /// The format shows in the contents, whatever the file is called. In a folder these are looked for:
    /// `model.safetensors.index.json` and the shards it lists, `model.safetensors`, or the only file that is called like a
    /// checkpoint. Prefixes that all keys have (`model.`, `module.`, `encoder.`) are taken away.
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read, [`Error::Checkpoint`] when it is damaged, of another format, or cannot be chosen.
    pub fn open(path: &Path) -> Result<Self> {
        let (entries, files) = open::path(path)?;
        Ok(Self::new(&path.display().to_string(), Source::Table(Table::new(entries, files))))
    }

    /// The contents of a file, called `name` in messages.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when they are damaged or of another format.
    pub fn from_bytes(name: &str, bytes: Bytes) -> Result<Self> {
        let entries = open::stripped(name, open::bytes(name, &bytes)?)?;
        Ok(Self::new(name, Source::Table(Table::new(entries, Vec::new()))))
    }

    /// Tensors that are there already, under their keys as they are. Of equal keys the last one counts.
    pub fn from_tensors(name: &str, tensors: impl IntoIterator<Item = (String, Tensor)>) -> Self {
        let entries = tensors.into_iter().map(|(key, tensor)| (key, Entry::Tensor(tensor))).collect();
        Self::new(name, Source::Table(Table::new(entries, Vec::new())))
    }

    /// Weights that have every key: noise by [`fill_uniform`], in ranges that suit the key. Optional keys are absent.
    pub fn synthetic(name: &str) -> Self {
        Self::new(name, Source::Synthetic)
    }

    /// Weights that have every key: zeros which take no memory until they are touched. Optional keys are absent.
    pub fn zeros(name: &str) -> Self {
        Self::new(name, Source::Zeros)
    }

    /// The view below `segment`: a name, an index, or several joined by dots.
    #[must_use]
    pub fn pp(&self, segment: impl Display) -> Self {
        Self { shared: self.shared.clone(), prefix: format!("{}{segment}.", self.prefix) }
    }

    /// The full key that `key` has in this view.
    pub fn path(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The floating-point tensor under `key`, which counts as read from now on.
    ///
    /// A missing key, another shape and an unusable element type are written down for [`Self::finish`], and zeros are
    /// returned: that way building goes on, and the report is complete.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when `shape` is too large for this machine.
    pub fn get(&self, key: &str, shape: &[usize]) -> Result<Tensor> {
        self.shared.get(self.path(key), shape)
    }

    /// Like [`Self::get`] where the checkpoint has `key`, otherwise `None`. Synthetic weights and zeros have no optional keys.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub fn get_opt(&self, key: &str, shape: &[usize]) -> Result<Option<Tensor>> {
        if self.contains(key) { self.get(key, shape).map(Some) } else { Ok(None) }
    }

    /// The tensor under `key` as it is stored, integers included, without counting as read. `None` where there is no such
    /// key, or its element type is not one of [`DType`].
    pub fn stored(&self, key: &str) -> Option<Tensor> {
        match self.entry(key)? {
            Entry::Tensor(tensor) => Some(tensor.clone()),
            Entry::Unreadable { .. } => None,
        }
    }

    /// True when the checkpoint has `key`. Does not count as reading; synthetic weights and zeros have no keys of their own.
    pub fn contains(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// The shape of the tensor under `key`. Does not count as reading.
    pub fn shape(&self, key: &str) -> Option<Shape> {
        self.entry(key).map(|entry| entry.shape().clone())
    }

    /// The full keys below this view, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries().map(|(key, _)| key)
    }

    /// How many keys there are below this view.
    pub fn len(&self) -> usize {
        self.entries().count()
    }

    /// True when there are no keys below this view.
    pub fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }

    /// The floating-point type that takes the most bytes below this view; `None` without any. Synthetic weights are F32.
    pub fn dtype(&self) -> Option<DType> {
        if self.shared.table().is_none() {
            return Some(DType::F32);
        }
        let bytes = |dtype| self.floats().filter(|(_, t)| t.dtype() == dtype).map(|(_, t)| t.bytes().len()).sum::<usize>();
        let sizes = [DType::BF16, DType::F16, DType::F32].map(|dtype| (bytes(dtype), dtype));
        sizes.into_iter().filter(|(bytes, _)| *bytes > 0).max_by_key(|(bytes, _)| *bytes).map(|(_, dtype)| dtype)
    }

    /// Trainable numbers below this view: all floating-point ones but running statistics and MILA's rotation tables.
    pub fn parameter_count(&self) -> u64 {
        let buffer = |key: &str| ["running_mean", "running_var", "rotations"].iter().any(|name| key.ends_with(name));
        self.floats().filter(|(key, _)| !buffer(key)).map(|(_, tensor)| tensor.shape().len() as u64).sum()
    }

    /// Where the weights come from: the path of the file, or the name that was given.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The files that they are read from; none where they never were in a file.
    pub fn files(&self) -> &[PathBuf] {
        self.shared.table().map_or(&[], |table| &table.files)
    }

    /// Holds what was read against what there is, for the whole checkpoint, and opens a new account.
    ///
    /// Keys for which `ignorable` is true may be left unread.
    ///
    /// # Errors
    /// [`Error::WeightMismatch`] with every missing, unread or wrongly shaped key.
    pub fn finish(&self, model: &str, ignorable: impl Fn(&str) -> bool) -> Result<()> {
        let report = self.shared.settle(ignorable);
        if report.is_empty() { Ok(()) } else { Err(Error::WeightMismatch { model: model.to_owned(), report }) }
    }

    /// The full keys of tensors below this view that contain NaN or infinity. Reads everything.
    pub fn non_finite(&self) -> Vec<String> {
        let floats: Vec<_> = self.floats().collect();
        let bad = platform::par_map(&floats, |(_, tensor)| has_non_finite(tensor));
        floats.iter().zip(bad).filter(|(_, bad)| *bad).map(|((key, _), _)| (*key).to_owned()).collect()
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.shared.table()?.get(&self.path(key))
    }

    fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        let entries = self.shared.table().map_or([].as_slice(), |table| &table.entries);
        entries.iter().map(|(key, entry)| (key.as_str(), entry)).filter(|(key, _)| key.starts_with(&self.prefix))
    }

    fn floats(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.entries().filter_map(|(key, entry)| match entry {
            Entry::Tensor(tensor) if tensor.dtype() != DType::I64 => Some((key, tensor)),
            _ => None,
        })
    }
}

/// All bits of the exponent are set in infinities and NaN, and in nothing else.
fn has_non_finite(tensor: &Tensor) -> bool {
    let halves = |mask: u16| tensor.bytes().as_chunks().0.iter().any(|b| u16::from_le_bytes(*b) & mask == mask);
    match tensor.dtype() {
        DType::F32 => tensor.bytes().as_chunks().0.iter().any(|b| u32::from_le_bytes(*b) & 0x7f80_0000 == 0x7f80_0000),
        DType::F16 => halves(0x7c00),
        DType::BF16 => halves(0x7f80),
        DType::I64 => false,
    }
}
