//! Everything that a file holds, before anybody asks which part of it is a model.

use std::collections::HashSet;

use super::element::Entry;
use crate::{error::quote, tensor::DType};

/// What is in a file.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Tensors under their full keys: where dictionaries lie in each other, keys joined by dots.
    pub(super) entries: Vec<(String, Entry)>,
    pub(super) about: About,
}

/// What is known of a file beside its tensors.
#[derive(Debug, Default, Clone)]
pub(crate) struct About {
    /// The format, in words.
    pub(crate) container: &'static str,
    /// Paths of the dictionaries that have tensors, outermost first, each with the dot that ends it. Formats without nesting
    /// have one, the empty path.
    pub(crate) states: Vec<String>,
    /// Keys beside tensors that hold something else.
    pub(crate) beside: Vec<String>,
    /// Keys of the outermost dictionary.
    pub(crate) top: Vec<String>,
    /// What was taken from the front of all keys.
    pub(crate) stripped: String,
}

impl Contents {
    pub(super) fn flat(container: &'static str, entries: Vec<(String, Entry)>) -> Self {
        Self { entries, about: About { container, states: vec![String::new()], ..About::default() } }
    }

    /// Takes from the keys what all of them begin with: the path of the only dictionary with tensors, and what wrappers put
    /// before every key of a model. Counters beside a model (such as the number of averaged steps next to `module.`) need not
    /// have the latter.
    ///
    /// # Errors
    /// What is wrong, when two keys become the same.
    pub(super) fn strip(&mut self) -> Result<(), String> {
        if let [path] = self.about.states.as_slice()
            && !path.is_empty()
        {
            let path = path.clone();
            for key in self.entries.iter_mut().map(|(key, _)| key).chain(&mut self.about.beside) {
                if key.starts_with(&path) {
                    key.drain(..path.len());
                }
            }
            self.about.stripped = path;
            self.about.states = vec![String::new()];
        }
        while let Some(prefix) = WRAPPERS.iter().find(|prefix| self.all_have(prefix)) {
            for (key, _) in &mut self.entries {
                if key.starts_with(prefix) {
                    key.drain(..prefix.len());
                }
            }
            let mut seen = HashSet::new();
            if let Some((key, _)) = self.entries.iter().find(|(key, _)| !seen.insert(key.as_str())) {
                return Err(format!("the key {} occurs with and without the prefix `{prefix}`", quote(key)));
            }
            self.about.stripped.push_str(prefix);
        }
        Ok(())
    }

    fn all_have(&self, prefix: &str) -> bool {
        let has = |key: &str| key.len() > prefix.len() && key.starts_with(prefix);
        let counter = |entry: &Entry| matches!(entry, Entry::Tensor(tensor) if tensor.dtype() == DType::I64);
        self.entries.iter().any(|(key, _)| has(key)) && self.entries.iter().all(|(key, entry)| has(key) || counter(entry))
    }
}

/// Hugging Face models, data-parallel and compiled modules, self-supervised encoders, and what trainers call the network.
const WRAPPERS: [&str; 8] =
    ["model.", "module.", "_orig_mod.", "encoder.", "backbone.", "net.", "network.", "_fsdp_wrapped_module."];
