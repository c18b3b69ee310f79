//! Reading the weights of one model, and the account of what was read.

use std::{
    collections::{HashMap, HashSet},
    fmt::Display,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Weights, element::Entry, source::Table};
use crate::{
    error::{Error, Result, WeightReport},
    tensor::{DType, Shape, Tensor},
};

/// What one build reads from a checkpoint, or from the part of it below a path of keys.
///
/// All views of one reader share an account; two readers share nothing, so that models may be built from the same weights at
/// the same time.
#[derive(Debug, Clone)]
pub struct Reader {
    weights: Weights,
    account: Arc<Mutex<Account>>,
    /// The path, with the dot that ends it.
    prefix: String,
}

/// What was read so far, and what could not be.
#[derive(Debug, Default)]
struct Account {
    /// Each key, with the number of its elements.
    read: HashMap<String, usize>,
    report: WeightReport,
}

impl Reader {
    pub(super) fn new(weights: Weights) -> Self {
        Self { weights, account: Arc::default(), prefix: String::new() }
    }

    /// The view below `segment`: a name, an index, or several joined by dots.
    #[must_use]
    pub fn pp(&self, segment: impl Display) -> Self {
        let prefix = format!("{}{segment}.", self.prefix);
        Self { weights: self.weights.clone(), account: self.account.clone(), prefix }
    }

    /// The full key that `key` has in this view.
    pub fn path(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The floating-point tensor under `key`, which counts as read from now on. Extents of 1 at the end do not matter: a layer
    /// may be stored as a convolution of one pixel.
    ///
    /// A missing key, another shape and an unusable element type are written down for [`Self::finish`], and zeros are
    /// returned: that way building goes on, and the report is complete.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when `shape` is too large for this machine.
    pub fn get(&self, key: &str, shape: &[usize]) -> Result<Tensor> {
        let key = self.path(key);
        let shape = Shape::from(shape);
        let shared = &self.weights.shared;
        let mut account = lock(&self.account);
        let Some(table) = shared.table() else {
            let made = shared.made(&key, &shape)?;
            account.read.insert(key, shape.len());
            return Ok(made);
        };
        let WeightReport { missing, mismatched, .. } = &mut account.report;
        let (list, line) = match table.get(&key) {
            Some(Entry::Tensor(tensor)) if tensor.dtype() != DType::I64 && trimmed(tensor.shape()) == trimmed(&shape) => {
                account.read.insert(key, shape.len());
                return if *tensor.shape() == shape { Ok(tensor.clone()) } else { tensor.reshape(shape) };
            }
            Some(Entry::Tensor(tensor)) if tensor.dtype() == DType::I64 => {
                (mismatched, format!("{key}: expected floating point, found integers without scales"))
            }
            Some(Entry::Unreadable { element, .. }) => (mismatched, format!("{key}: expected floating point, found {element}")),
            Some(entry) => (mismatched, format!("{key}: expected {shape}, found {}", entry.shape())),
            None => (missing, format!("{key}: {shape}")),
        };
        // A layer may ask twice, for instance to look at a shape first.
        if !list.contains(&line) {
            list.push(line);
        }
        let zeros = shared.made(&key, &shape)?;
        account.read.insert(key, shape.len());
        Ok(zeros)
    }

    /// Like [`Self::get`] where the checkpoint has `key`, otherwise `None`. Synthetic weights and zeros have no optional keys.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub fn get_opt(&self, key: &str, shape: &[usize]) -> Result<Option<Tensor>> {
        if self.contains(key) { self.get(key, shape).map(Some) } else { Ok(None) }
    }

    /// True when the checkpoint has `key`. Does not count as reading; synthetic weights and zeros have no keys of their own.
    pub fn contains(&self, key: &str) -> bool {
        self.weights.contains(&self.path(key))
    }

    /// The shape of the tensor under `key`. Does not count as reading.
    pub fn shape(&self, key: &str) -> Option<Shape> {
        self.weights.shape(&self.path(key))
    }

    /// True when somebody has asked for the full key `key`.
    pub fn has_read(&self, key: &str) -> bool {
        lock(&self.account).read.contains_key(key)
    }

    /// The first parts of all keys that somebody has asked for.
    pub(crate) fn modules(&self) -> HashSet<String> {
        let account = lock(&self.account);
        account.read.keys().filter_map(|key| key.split('.').next()).map(str::to_owned).collect()
    }

    /// Numbers in the tensors that somebody has asked for, running statistics apart.
    pub(crate) fn parameter_count(&self) -> u64 {
        let account = lock(&self.account);
        let trained = account.read.iter().filter(|(key, _)| !key.ends_with("running_mean") && !key.ends_with("running_var"));
        trained.map(|(_, len)| *len as u64).sum()
    }

    /// What was asked for and is not there, or has another shape or type.
    pub(crate) fn report(&self) -> WeightReport {
        lock(&self.account).report.clone()
    }

    /// Holds what was read against what there is, for the whole checkpoint.
    ///
    /// Keys for which `ignorable` is true may be left unread.
    ///
    /// # Errors
    /// [`Error::WeightMismatch`] with every missing, unread or wrongly shaped key.
    pub fn finish(&self, model: &str, ignorable: impl Fn(&str) -> bool) -> Result<()> {
        let account = lock(&self.account);
        let mut report = account.report.clone();
        let unread = self.table().filter(|(key, _)| !account.read.contains_key(*key) && !ignorable(key));
        report.unread = unread.map(|(key, entry)| format!("{key}: {}", entry.shape())).collect();
        if report.is_empty() {
            Ok(())
        } else {
            Err(Error::WeightMismatch { model: model.to_owned(), cause: "it lacks tensors, or has others".into(), report })
        }
    }

    fn table(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.weights.shared.table().map_or([].as_slice(), Table::entries).iter().map(|(key, entry)| (key.as_str(), entry))
    }
}

/// The extents without ones at the end.
fn trimmed(shape: &Shape) -> &[usize] {
    let dims = shape.dims();
    let end = dims.iter().rposition(|&d| d != 1).map_or(0, |last| last + 1);
    &dims[..end]
}

/// What a panicking thread left behind is still an account.
fn lock(account: &Mutex<Account>) -> MutexGuard<'_, Account> {
    account.lock().unwrap_or_else(PoisonError::into_inner)
}
