//! Where in a checkpoint a model lies: under which path and wrappers, and of which family.

use std::collections::HashSet;

use crate::{
    error::{Error, Result, listed},
    models::{
        Architecture,
        family::{Registered, families},
    },
    weights::{Entry, Weights, states},
};

/// A model in a checkpoint.
pub(super) struct Located {
    pub(super) family: &'static Registered,
    /// What the tensors show of its sizes.
    pub(super) shown: Architecture,
    /// The tensors of the model under the keys that its family knows.
    pub(super) weights: Weights,
    /// Tensors that are elsewhere in the file, under their full keys, and not those of another model.
    pub(super) rest: Vec<(String, Entry)>,
}

impl Located {
    /// All of a checkpoint, said to be of this architecture.
    pub(super) fn whole(architecture: Architecture, weights: Weights) -> Self {
        Self { family: architecture.registered(), shown: architecture, weights, rest: Vec::new() }
    }
}

/// First parts of paths that say nothing.
const USUAL: [&str; 6] = ["state_dict", "model", "module", "_orig_mod", "encoder", "backbone"];

/// Finds the model in `weights`: the keys that a family knows may begin anywhere. Only one of `wanted` counts, where that is
/// given, and only below the path `state`. `None` where there is none.
///
/// # Errors
/// [`Error::Checkpoint`] when there are several and nothing tells which counts, or none below `state`.
pub(super) fn locate(
    weights: &Weights,
    wanted: Option<&'static Registered>,
    state: Option<&str>,
    assumptions: &mut Vec<String>,
) -> Result<Option<Located>> {
    let all = places(weights, wanted);
    let stripped = weights.stripped();
    let inside = |prefix: &str| match state {
        Some(key) => states::is_below(prefix, key) || (!stripped.is_empty() && states::is_below(stripped, key)),
        None => true,
    };
    let paths: Vec<&str> = all.iter().map(|place| place.prefix.as_str()).filter(|prefix| inside(prefix)).collect();
    if paths.is_empty() {
        return match state.filter(|_| !all.is_empty()) {
            Some(key) => {
                let list: Vec<String> = all.iter().map(|place| states::shown(&place.prefix)).collect();
                let reason = format!("there is no model under `{key}`; there is one under {}", listed(&list));
                Err(Error::checkpoint(weights.name(), reason))
            }
            None => Ok(None),
        };
    }
    let (chosen, note) = states::choose(weights.name(), weights.about(), &paths)?;
    let chosen = paths[chosen].to_owned();
    let path = format!("{stripped}{chosen}");
    let first = path.split('.').next().unwrap_or_default();
    match note {
        Some(note) => assumptions.push(note),
        None if first.is_empty() || USUAL.contains(&first) => {}
        None => assumptions.push(format!("the model is what lies under {}", states::shown(&path))),
    }
    let Some(place) = all.iter().find(|place| place.prefix == chosen) else { return Ok(None) };
    if !place.others.is_empty() && !place.family.is_called(file_name(weights)) {
        let (others, family) = (listed(&place.others), place.family.name);
        assumptions.push(format!(
            "the tensors also fit {others}; {family} was assumed: `model_type` in a config.json, or the variant's name, would tell"
        ));
    }
    let mut own = rooted(weights, &chosen, place.family);
    let others = || all.iter().filter(|other| other.prefix != chosen);
    if states::is_average(&chosen) {
        // Averages are often taken of parameters alone.
        for other in others().filter(|other| other.family.name == place.family.name) {
            let has: HashSet<String> = own.iter().map(|(key, _)| key.clone()).collect();
            let in_a_place = |key: &str| all.iter().any(|place| !place.prefix.is_empty() && key.starts_with(&place.prefix));
            let mut lent = rooted(weights, &other.prefix, other.family);
            lent.retain(|(key, _)| !(has.contains(key) || other.prefix.is_empty() && in_a_place(key)));
            let counts = lent.iter().filter(|(key, _)| !key.ends_with("num_batches_tracked")).count();
            if counts > 0 {
                let (path, from) = (states::shown(&chosen), states::shown(&other.prefix));
                assumptions.push(format!("{counts} tensors that are not under {path} are those under {from}"));
            }
            own.extend(lent);
        }
    }
    // Not in the model, and not in another one: that may lie in the outermost dictionary, where it has no path of its own.
    let elsewhere = |key: &str| {
        !key.starts_with(&chosen)
            && !others().any(|other| match other.prefix.as_str() {
                "" => weights.contains(&format!("{chosen}{key}")),
                prefix => key.starts_with(prefix),
            })
    };
    let rest = weights.entries().filter(|(key, _)| elsewhere(key)).map(|(key, entry)| (key.to_owned(), entry.clone())).collect();
    Ok(Some(Located { family: place.family, shown: place.shown.clone(), weights: weights.with_entries(own), rest }))
}

/// The family whose tensors these are, wherever in the file they lie; `None` for those of models that are not run here.
pub fn family_of(weights: &Weights) -> Option<&'static str> {
    places(weights, None).first().map(|place| place.family.name)
}

/// A prefix behind which there are the keys of a family.
struct Place {
    prefix: String,
    family: &'static Registered,
    shown: Architecture,
    /// Names of other families whose tensors these could be.
    others: Vec<&'static str>,
}

/// A model's own name in that of its file or folder.
fn file_name(weights: &Weights) -> &str {
    weights.name().rsplit(['/', '\\']).find(|part| !part.is_empty()).unwrap_or_default()
}

fn places(weights: &Weights, wanted: Option<&'static Registered>) -> Vec<Place> {
    let (mut places, name): (Vec<Place>, _) = (Vec::new(), file_name(weights));
    for family in families().filter(|family| wanted.is_none_or(|wanted| wanted.name == family.name)) {
        for key in weights.keys() {
            for anchor in family.anchors {
                let Some(prefix) = key.strip_suffix(anchor).filter(|p| p.is_empty() || p.ends_with('.')) else { continue };
                let known = places.iter_mut().find(|place| place.prefix == prefix);
                if known.as_ref().is_some_and(|place| place.family.name == family.name || place.others.contains(&family.name)) {
                    continue;
                }
                let shown = (family.recognise)(&weights.with_entries(rooted(weights, prefix, family)));
                match (known, shown) {
                    (None, Some(shown)) => {
                        places.push(Place { prefix: prefix.to_owned(), family, shown, others: Vec::new() });
                    }
                    // Of several the file's name tells, else the first is assumed.
                    (Some(place), Some(shown)) if family.is_called(name) && !place.family.is_called(name) => {
                        if !family.general {
                            place.others.push(place.family.name);
                        }
                        (place.family, place.shown) = (family, shown);
                    }
                    (Some(place), Some(_)) if !family.general => place.others.push(family.name),
                    _ => {}
                }
            }
        }
    }
    places
}

/// What lies behind `prefix`, under the names that the family's code has.
fn rooted(weights: &Weights, prefix: &str, family: &Registered) -> Vec<(String, Entry)> {
    let inside = weights.entries().filter_map(|(key, entry)| Some((key.strip_prefix(prefix)?, entry)));
    let has = |key: &str| weights.contains(&format!("{prefix}{key}"));
    inside.map(|(key, entry)| ((family.renamed)(key, &has).unwrap_or_else(|| key.to_owned()), entry.clone())).collect()
}
