//! Holds a checkpoint against the model that it is said to be: every key is read, known to be unused, or told.

use crate::{
    error::{Error, Result, WeightReport, listed, quote},
    graph::Builder,
    models::{Architecture, BuildOptions, head, locate::Located, recognise, upernet},
    weights::{Entry, Weights, groups},
};

/// Ends of keys that tools leave in every module, for counting and quantising.
const COUNTERS: [&str; 5] = ["num_batches_tracked", "total_ops", "total_params", "_extra_state", "n_averaged"];

/// True for keys that no layer of any model reads.
pub(super) fn is_counter(key: &str) -> bool {
    COUNTERS.iter().any(|name| key.ends_with(name)) || key.contains("activation_post_process")
}

/// The architecture with the head that the checkpoint has, and the weights without what is no part of the model: the classes are those of
/// the head, whatever a config or a variant says.
///
/// # Errors
/// [`Error::WeightMismatch`] with every key that is missing, of another shape, or left over in a module of the model;
/// [`Error::Checkpoint`] for a classifier's head that is no single linear layer, or a dense model without one.
pub(super) fn fit(
    name: &str,
    architecture: &Architecture,
    Located { family, weights, rest, .. }: Located,
    size: [usize; 2],
    assumptions: &mut Vec<String>,
) -> Result<(Architecture, Weights)> {
    let options = BuildOptions { batch: 1, size, top_k: None, class_activation: false };
    let (mut g, reader) = (Builder::new(architecture.input_shape(&options)), weights.reader());
    let features = match architecture.head().is_dense() {
        true => {
            architecture.maps(&mut g, &reader)?;
            None
        }
        false => architecture.backbone(&mut g, &reader)?.pooled.map(|pooled| g.shape(pooled).last()),
    };
    let open: Vec<(&str, &Entry)> = weights.entries().filter(|(key, _)| !reader.has_read(key)).collect();
    let elsewhere: Vec<(&str, &Entry)> = rest.iter().map(|(key, entry)| (key.as_str(), entry)).collect();
    let found = match features {
        Some(features) => head::find(weights.name(), family.head, features, &open, &elsewhere)?,
        None if architecture.head().is_dense() => Some(upernet::find(weights.name(), &[open.as_slice(), &elsewhere].concat())?),
        None => None,
    };

    // A key in a module of the model that no layer reads is a sign of another model; other modules are not its business.
    let of_head = |key: &str| found.as_ref().is_some_and(|head| head.has(key));
    let unused = |key: &str| is_counter(key) || architecture.unused(key);
    let modules = reader.modules();
    let is_own = |key: &str| key.split('.').next().is_some_and(|first| modules.contains(first));
    let left = open.iter().filter(|(key, _)| !unused(key) && !of_head(key)).copied();
    let (own, strays): (Vec<_>, Vec<_>) = left.partition(|(key, _)| is_own(key));
    let mut report = reader.report();
    report.missing.extend(found.as_ref().and_then(|head| head.missing.clone()));
    if !report.is_empty() || !own.is_empty() {
        let strays = strays.iter().filter(|_| !report.missing.is_empty());
        report.unread = own.iter().chain(strays).map(|(key, entry)| format!("{key}: {}", entry.shape())).collect();
        let cause = cause(architecture, &weights, &report);
        return Err(Error::WeightMismatch { model: name.to_owned(), cause, report });
    }

    let elsewhere = elsewhere.iter().map(|(key, _)| *key).filter(|key| !is_counter(key) && !of_head(key));
    let passed: Vec<&str> = strays.iter().map(|(key, _)| *key).chain(elsewhere).collect();
    let beside = weights.about().map_or([].as_slice(), |about| &about.beside);
    let passed: Vec<&str> = passed.into_iter().chain(beside.iter().map(String::as_str).filter(|key| !is_counter(key))).collect();
    if !passed.is_empty() {
        let groups: Vec<String> =
            groups(passed.iter().copied()).into_iter().map(|(group, count)| shown(group, count, &passed)).collect();
        assumptions.push(format!("passed over, as no part of the model: {}", listed(&groups)));
    }
    let kept = |key: &str| reader.has_read(key) || (unused(key) && !of_head(key));
    let kept = weights.entries().filter(|(key, _)| kept(key));
    let mut entries: Vec<(String, Entry)> = kept.map(|(key, entry)| (key.to_owned(), entry.clone())).collect();
    let architecture = match found {
        Some(found) => {
            assumptions.extend(found.note);
            entries.extend(found.entries);
            architecture.with_head(found.head, found.classes)
        }
        None => architecture.with_classes(0),
    };
    Ok((architecture, weights.with_entries(entries)))
}

/// A group of keys for a message: the key where it is one, else the part that all have and their number.
fn shown(group: &str, count: usize, keys: &[&str]) -> String {
    match keys.iter().find(|key| key.split('.').next() == Some(group)) {
        Some(key) if count == 1 => quote(key),
        _ => format!("{} ({count} keys)", quote(group)),
    }
}

/// Why tensors do not fit, as far as that can be told.
fn cause(architecture: &Architecture, weights: &Weights, report: &WeightReport) -> String {
    let WeightReport { missing, unread, mismatched } = report;
    if let Some(other) = recognise::variant_of(weights).filter(|other| !other.architecture.same_tensors(architecture)) {
        return format!("its tensors are those of {}", other.name);
    }
    let read = weights.len().saturating_sub(unread.len() + mismatched.len());
    let begin: Vec<(&str, usize)> = weights.groups();
    match begin.as_slice() {
        [(group, count)] if read == 0 && !missing.is_empty() => {
            format!("all {count} keys begin with {}", quote(&format!("{group}.")))
        }
        _ if read == 0 => format!("it is of another model: none of its {} keys are those of this one", weights.len()),
        _ if mismatched.is_empty() && unread.is_empty() => {
            format!("it is not complete: {} of {} tensors are missing", missing.len(), missing.len() + read)
        }
        _ if mismatched.is_empty() && missing.is_empty() => {
            format!("it has {} tensors that this model does not have", unread.len())
        }
        _ if missing.is_empty() && unread.is_empty() => {
            format!(
                "the sizes of {} of {} tensors differ: are those of the config, or the variant, right?",
                mismatched.len(),
                weights.len()
            )
        }
        _ => "its sizes are others: are those of the config, or the variant, right?".into(),
    }
}
