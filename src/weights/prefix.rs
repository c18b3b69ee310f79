//! Prefixes that wrappers put before every key of a checkpoint.

use std::collections::HashSet;

use super::element::Entry;
use super::pickle::quote;
use crate::tensor::DType;

/// Hugging Face models, data-parallel training, and self-supervised encoders.
const PREFIXES: [&str; 3] = ["model.", "module.", "encoder."];

/// Takes away the prefixes that all keys have, one after the other. Counters beside the model (such as the number of averaged
/// steps next to `module.`) need not have them.
///
/// # Errors
/// What is wrong, when two keys become the same.
pub(super) fn strip(mut entries: Vec<(String, Entry)>) -> Result<Vec<(String, Entry)>, String> {
    while let Some(prefix) = PREFIXES.iter().find(|prefix| all_have(&entries, prefix)) {
        for (key, _) in &mut entries {
            if key.starts_with(prefix) {
                key.drain(..prefix.len());
            }
        }
        let mut seen = HashSet::new();
        if let Some((key, _)) = entries.iter().find(|(key, _)| !seen.insert(key.as_str())) {
            return Err(format!("the key {} occurs with and without the prefix `{prefix}`", quote(key)));
        }
    }
    Ok(entries)
}

fn all_have(entries: &[(String, Entry)], prefix: &str) -> bool {
    let has = |key: &str| key.len() > prefix.len() && key.starts_with(prefix);
    let counter = |entry: &Entry| matches!(entry, Entry::Tensor(tensor) if tensor.dtype() == DType::I64);
    entries.iter().any(|(key, _)| has(key)) && entries.iter().all(|(key, entry)| has(key) || counter(entry))
}
