//! Which variant a checkpoint is: from what the user says, else from its config, else from the shapes of its tensors.

use crate::{
    error::{Error, Result, listed},
    image::Preprocess,
    models::{
        Architecture, Head, Preset,
        config::Config,
        family::{self, Registered, families, preset_names, presets},
        foreign,
        locate::{Located, locate},
    },
    weights::Weights,
};

/// A variant's name, its sizes, and its usual preprocessing.
pub(super) struct Recognised {
    pub(super) name: String,
    pub(super) architecture: Architecture,
    pub(super) preprocess: Preprocess,
    /// Where its tensors are; `None` where they are all that there are.
    pub(super) located: Option<Located>,
}

/// What `weights` are, and where in the file. What had to be assumed goes to `assumptions`.
///
/// # Errors
/// [`Error::Unrecognised`] when neither the config nor the tensors tell; [`Error::Config`] for a config that lacks sizes or
/// contradicts itself; [`Error::UnknownArch`] when there is no variant called `arch`; [`Error::Checkpoint`] when there are several
/// models, or none under the path `state`.
pub(super) fn recognise(
    weights: &Weights,
    config: Option<&Config>,
    arch: Option<&str>,
    state: Option<&str>,
    assumptions: &mut Vec<String>,
) -> Result<Recognised> {
    let unrecognised = |reason| Error::Unrecognised { what: weights.name().to_owned(), reason, known: preset_names() };
    if let Some(arch) = arch {
        let Preset { name, architecture, preprocess } = family::preset(arch)?;
        let located = locate(weights, Some(architecture.registered()), state, assumptions)?;
        return Ok(Recognised { name: name.to_owned(), architecture, preprocess, located });
    }
    let named = config.map(Config::family).transpose().map_err(|name| {
        let known: Vec<&str> = families().map(|family| family.name).collect();
        unrecognised(format!("its config.json says `model_type: {name}`, which is none of {}", known.join(", ")))
    })?;
    let named = named.flatten();
    let located = locate(weights, named, state, assumptions)?;
    let Some(family) = named.or(located.as_ref().map(|located| located.family)) else {
        return Err(unrecognised(foreign::reason(weights)));
    };
    let shown = located.as_ref().map(|located| &located.shown);
    let (name, architecture, preprocess) = match config {
        Some(config) => of_config(config, family, shown, assumptions)?,
        None => of_tensors(family, shown, assumptions).map_err(unrecognised)?,
    };
    Ok(Recognised { name, architecture, preprocess, located })
}

/// The first published variant whose tensors have the shapes of `weights`.
pub(super) fn variant_of(weights: &Weights) -> Option<Preset> {
    let shown = families().find_map(|family| (family.recognise)(weights))?;
    presets().find(|p| p.architecture.same_tensors(&shown))
}

type Variant = (String, Architecture, Preprocess);

/// The sizes that the config tells. Those that it lacks are those that the tensors show, and of the variant that has them.
fn of_config(
    config: &Config,
    family: &Registered,
    shown: Option<&Architecture>,
    assumptions: &mut Vec<String>,
) -> Result<Variant> {
    let called: Vec<Preset> = config.names().filter_map(|name| family::preset(name).ok()).collect();
    let fits = |p: &Preset| shown.is_none_or(|shown| p.architecture.same_tensors(shown));
    let mut published = presets().filter(|p| p.architecture.family() == family.name && fits(p) && shown.is_some());
    let called = called.into_iter().find(fits);
    let is_called = called.is_some();
    let variant = called.or_else(|| published.next());
    let known = variant.as_ref().map(|p| &p.architecture).or(shown);
    let architecture: Architecture = match ((family.config)(&config.json, None), known) {
        (Ok(architecture), _) => architecture,
        (Err(reason), None) => return Err(Error::config(&config.what, reason)),
        (Err(reason), Some(known)) => {
            let complete = (family.config)(&config.json, Some(known)).map_err(|reason| Error::config(&config.what, reason))?;
            // A variant that it calls by name has no other sizes, and what tensors show is not assumed.
            if let Some(variant) = variant.filter(|_| !is_called && !family.unseen.is_empty()) {
                assumptions.push(format!("in the config {reason}: what it does not say of sizes is of {}", variant.name));
            }
            complete
        }
    };
    let architecture = architecture.with_head(shown.map_or(Head::Linear, Architecture::head), 0);
    let same: Vec<Preset> = presets().filter(|p| p.architecture.same_sizes(&architecture)).collect();
    // Variants of equal sizes differ in their input size, if in anything.
    let size = config.preprocess(architecture.usual(), "", &mut Vec::new())?.size;
    let own = same.iter().find(|p| p.preprocess.size == size).or(same.first());
    Ok(match own {
        Some(p) => (p.name.to_owned(), architecture, p.preprocess.clone()),
        None => (family.name.to_owned(), architecture.clone(), architecture.usual()),
    })
}

/// The published variant whose tensors have these shapes, or the sizes that they show.
fn of_tensors(
    family: &Registered,
    shown: Option<&Architecture>,
    assumptions: &mut Vec<String>,
) -> std::result::Result<Variant, String> {
    let shown = shown.ok_or_else(|| format!("it has no tensors of {}", family.name))?;
    let mut fitting = presets().filter(|p| p.architecture.same_tensors(shown));
    let Some(Preset { name, architecture, preprocess }) = fitting.next() else {
        return match shown.validate() {
            Ok(()) => Ok((family.name.to_owned(), shown.clone(), shown.usual())),
            Err(_) => Err(format!(
                "its tensors are those of no published variant of {}, and tensors do not tell {}; a config.json beside the weights \
                 would",
                family.name, family.unseen
            )),
        };
    };
    let others: Vec<&str> = fitting.map(|p| p.name).collect();
    if !others.is_empty() {
        let [height, width] = preprocess.size;
        let what = if family.unseen.is_empty() { "an input" } else { family.unseen };
        assumptions
            .push(format!("the tensors also fit {}; {name} with {what} for {height} x {width} was assumed", listed(&others)));
    }
    Ok((name.to_owned(), architecture, preprocess))
}
