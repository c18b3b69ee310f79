//! Checkpoints: from the files that authors publish to tensors under their own keys.
//!
//! [`Weights`] is what a checkpoint holds. A model asks a [`Reader`] of them for what it needs by key and shape
//! (`r.pp("levels").pp(0).get("norm.weight", &[80])`), and [`Reader::finish`] then holds what was read against what the file
//! has: nothing is ever left out silently.
//!
//! Files are safetensors or PyTorch's own format, whole or in shards. They are mapped into memory and used where they lie, so
//! **a file must not be changed while its weights are in use**. Every file may be damaged or hostile: pickles are read as data
//! and never executed, and whatever is wrong becomes an [`Error::Checkpoint`].

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    error::{Error, Result, listed, quote},
    platform,
    tensor::{Bytes, DType, Shape, Tensor},
};

mod contents;
mod convert;
mod destination;
mod element;
mod incoming;
mod open;
mod reader;
mod safetensors;
mod source;
pub(crate) mod states;
mod synthetic;
#[cfg(feature = "torch")]
mod torch;
mod unpacked;

pub use convert::{same_file, write_safetensors, write_safetensors_to};
pub use destination::{Destination, remove_unfinished};
pub use incoming::Incoming;
pub use reader::Reader;
pub use synthetic::{Gains, fill_uniform, fnv1a64};
#[cfg(feature = "torch")]
pub use unpacked::unpack;

pub(crate) use contents::About;
use contents::Contents;
pub(crate) use element::Entry;
use source::{Shared, Source, Table};

/// What a checkpoint holds. Cloning shares everything.
#[derive(Debug, Clone)]
pub struct Weights {
    shared: Arc<Shared>,
}

impl Weights {
    fn new(name: &str, source: Source) -> Self {
        Self { shared: Arc::new(Shared::new(name, source)) }
    }

    /// From what a file holds, under keys without what all of them begin with.
    fn of(name: &str, mut contents: Contents, files: Vec<PathBuf>) -> Result<Self> {
        contents.strip().map_err(|reason| Error::checkpoint(name, reason))?;
        Ok(Self::new(name, Source::Table(Table::new(contents, files))))
    }

    /// A file, or a folder with a checkpoint in it.
    ///
    /// The format shows in the contents, whatever the file is called. In a folder these are looked for:
    /// `model.safetensors.index.json` and the shards it lists, `model.safetensors`, the same of `pytorch_model.bin`, or the only
    /// file that is called like a checkpoint and not like what trainers write beside one (`optimizer.pt`).
    ///
    /// Keys are those of the file without what all of them begin with: the path of the only dictionary that has tensors, and
    /// what wrappers put before them (`model.`, `module.`, `_orig_mod.`, ..). Where several dictionaries have tensors, their
    /// paths stand before the keys; see [`Self::state`].
    ///
    /// # Errors
    /// [`Error::Io`] when a file cannot be read, [`Error::Checkpoint`] when it is damaged, of another format, or cannot be chosen.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let (contents, files) = open::path(path)?;
        Self::of(&path.display().to_string(), contents, files)
    }

    /// The contents of a file, called `name` in messages.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when they are damaged or of another format.
    pub fn from_bytes(name: &str, bytes: Bytes) -> Result<Self> {
        Self::of(name, open::bytes(name, &bytes)?, Vec::new())
    }

    /// Tensors that are there already, under their keys as they are. Of equal keys the last one counts.
    pub fn from_tensors(name: &str, tensors: impl IntoIterator<Item = (String, Tensor)>) -> Self {
        let entries = tensors.into_iter().map(|(key, tensor)| (key, Entry::Tensor(tensor))).collect();
        Self::new(name, Source::Table(Table::new(Contents::flat("tensors", entries), Vec::new())))
    }

    /// Weights that have every key: noise by [`fill_uniform`], in ranges that suit the key and its layer's gain. Optional keys
    /// are absent.
    pub fn synthetic(name: &str, gains: &'static Gains) -> Self {
        Self::new(name, Source::Synthetic(gains))
    }

    /// Weights that have every key: zeros which take no memory until they are touched. Optional keys are absent.
    pub fn zeros(name: &str) -> Self {
        Self::new(name, Source::Zeros)
    }

    /// What lies under the path `key` of a checkpoint with several states, or without a key under the one that usually counts:
    /// averaged weights, then `state_dict`, then `model`. With it comes what there is to say about the choice.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when there is nothing under `key`, or nothing tells which state counts; the message lists them.
    pub fn state(&self, key: Option<&str>) -> Result<(Self, Option<String>)> {
        let Some(about) = self.about() else { return Ok((self.clone(), None)) };
        if let Some(key) = key {
            return Ok((self.below(key)?, None));
        }
        let count = |path: &String| self.keys().filter(|key| key.starts_with(path.as_str())).count();
        let nested = || about.states.iter().filter(|path| !path.is_empty());
        // A tensor or two beside a state are a loss, or the state of a random generator.
        let most = nested().map(count).max().unwrap_or(0);
        let large: Vec<&str> = nested().filter(|path| count(path) * 2 >= most).map(String::as_str).collect();
        if large.is_empty() {
            return Ok((self.clone(), None));
        }
        let (chosen, note) = states::choose(self.name(), Some(about), &large)?;
        Ok((self.below(large[chosen])?, note))
    }

    /// The keys under the path `key`, without it; those of the outermost dictionary for a single dot.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when there are none.
    fn below(&self, key: &str) -> Result<Self> {
        let (Some(table), Some(about)) = (self.shared.table(), self.about()) else { return Ok(self.clone()) };
        if states::is_below(&about.stripped, key) && !about.stripped.is_empty() {
            return Ok(self.clone());
        }
        let path = key.trim_matches('.');
        let path = if path.is_empty() { String::new() } else { format!("{path}.") };
        let elsewhere = |key: &str| about.states.iter().any(|state| state.len() > path.len() && key.starts_with(state.as_str()));
        let inside = |key: &str| key.strip_prefix(&path).filter(|_| !path.is_empty() || !elsewhere(key)).map(str::to_owned);
        let entries = table.entries().iter().filter_map(|(key, entry)| Some((inside(key)?, entry.clone()))).collect::<Vec<_>>();
        if entries.is_empty() {
            let mut all: Vec<String> = about.states.iter().map(|path| states::shown(path)).collect();
            if let [_] = all.as_slice() {
                all = groups(self.keys()).into_iter().map(|(group, _)| quote(group)).collect();
            }
            let reason = format!("there are no tensors under {}; there are some under {}", quote(key), listed(&all));
            return Err(Error::checkpoint(self.name(), reason));
        }
        let beside = about.beside.iter().filter_map(|key| inside(key)).collect();
        let about = About { states: vec![String::new()], beside, stripped: format!("{}{path}", about.stripped), ..about.clone() };
        Self::of(self.name(), Contents { entries, about }, table.files.clone())
    }

    /// The same checkpoint with other keys.
    pub(crate) fn with_entries(&self, entries: Vec<(String, Entry)>) -> Self {
        let (about, files) = self.shared.table().map(|table| (table.about.clone(), table.files.clone())).unwrap_or_default();
        Self::new(self.name(), Source::Table(Table::new(Contents { entries, about }, files)))
    }

    /// What is known of the file beside its tensors.
    pub(crate) fn about(&self) -> Option<&About> {
        self.shared.table().map(|table| &table.about)
    }

    /// The format of the file, in words; empty for weights without one.
    pub fn container(&self) -> &'static str {
        self.about().map_or("", |about| about.container)
    }

    /// What all keys began with in the file: the path of a state, and prefixes of wrappers.
    pub fn stripped(&self) -> &str {
        self.about().map_or("", |about| about.stripped.as_str())
    }

    /// The first parts of all keys, in the order of the file, each with how many keys begin with it.
    pub fn groups(&self) -> Vec<(&str, usize)> {
        groups(self.keys())
    }

    /// Opens an account for one model that is built from these weights.
    pub fn reader(&self) -> Reader {
        Reader::new(self.clone())
    }

    /// The tensor under `key` as it is stored, integers included. `None` where there is no such
    /// key, or its element type is not one of [`DType`].
    pub fn stored(&self, key: &str) -> Option<Tensor> {
        match self.entry(key)? {
            Entry::Tensor(tensor) => Some(tensor.clone()),
            Entry::Unreadable { .. } => None,
        }
    }

    /// True when the checkpoint has `key`; synthetic weights and zeros have no keys of their own.
    pub fn contains(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// The shape of the tensor under `key`.
    pub fn shape(&self, key: &str) -> Option<Shape> {
        self.entry(key).map(|entry| entry.shape().clone())
    }

    /// All keys, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries().map(|(key, _)| key)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries().count()
    }

    /// True when there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries().next().is_none()
    }

    /// The floating-point type that takes the most bytes; `None` without any. Synthetic weights are F32.
    pub fn dtype(&self) -> Option<DType> {
        if self.shared.table().is_none() {
            return Some(DType::F32);
        }
        let bytes = |dtype| self.floats().filter(|(_, t)| t.dtype() == dtype).map(|(_, t)| t.bytes().len()).sum::<usize>();
        let sizes = [DType::Q4, DType::Q8, DType::BF16, DType::F16, DType::F32].map(|dtype| (bytes(dtype), dtype));
        sizes.into_iter().filter(|(bytes, _)| *bytes > 0).max_by_key(|(bytes, _)| *bytes).map(|(_, dtype)| dtype)
    }

    /// Element types, each with how many tensors have it, the most frequent first.
    pub fn dtypes(&self) -> Vec<(String, usize)> {
        let mut dtypes: Vec<(String, usize)> = Vec::new();
        for (_, entry) in self.entries() {
            let name = match entry {
                Entry::Tensor(tensor) => tensor.dtype().name(),
                Entry::Unreadable { element, .. } => element,
            };
            match dtypes.iter_mut().find(|(known, _)| known == name) {
                Some((_, count)) => *count += 1,
                None => dtypes.push((name.to_owned(), 1)),
            }
        }
        dtypes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        dtypes
    }

    /// Trainable numbers: all floating-point ones but running statistics and MILA's rotation tables.
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

    /// The keys of tensors that contain NaN or infinity. Reads everything.
    pub fn non_finite(&self) -> Vec<String> {
        let floats: Vec<_> = self.floats().collect();
        let bad = platform::par_map(&floats, |(_, tensor)| has_non_finite(tensor));
        floats.iter().zip(bad).filter(|(_, bad)| *bad).map(|((key, _), _)| (*key).to_owned()).collect()
    }

    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        self.shared.table()?.get(key)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        let entries = self.shared.table().map_or([].as_slice(), Table::entries);
        entries.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    fn floats(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.entries().filter_map(|(key, entry)| match entry {
            Entry::Tensor(tensor) if tensor.dtype() != DType::I64 => Some((key, tensor)),
            _ => None,
        })
    }
}

/// The first parts of keys, each with how many keys begin with it.
pub(crate) fn groups<'a>(keys: impl Iterator<Item = &'a str>) -> Vec<(&'a str, usize)> {
    let mut groups: Vec<(&str, usize)> = Vec::new();
    let mut places = HashMap::new();
    for key in keys {
        let group = key.split_once('.').map_or(key, |(first, _)| first);
        let place = *places.entry(group).or_insert_with(|| {
            groups.push((group, 0));
            groups.len() - 1
        });
        groups[place].1 += 1;
    }
    groups
}

/// All bits of the exponent are set in infinities and NaN, and in nothing else.
fn has_non_finite(tensor: &Tensor) -> bool {
    match tensor.dtype() {
        DType::F32 => any_has(tensor.bytes(), |b| u32::from_le_bytes(b) & 0x7f80_0000 == 0x7f80_0000),
        DType::F16 => any_has(tensor.bytes(), |b| u16::from_le_bytes(b) & 0x7c00 == 0x7c00),
        DType::BF16 => any_has(tensor.bytes(), |b| u16::from_le_bytes(b) & 0x7f80 == 0x7f80),
        DType::I64 | DType::U8 => false,
        DType::Q8 | DType::Q4 => tensor.scales().is_some_and(has_non_finite),
    }
}

/// Whether any value is `bad`. Within a block all are looked at, which the compiler does many at a time.
fn any_has<const N: usize>(bytes: &[u8], bad: impl Fn([u8; N]) -> bool) -> bool {
    const BLOCK: usize = 1 << 12;
    bytes.chunks(BLOCK).any(|block| block.as_chunks().0.iter().fold(false, |any, value| any | bad(*value)))
}
