//! `webmamba info`: what a checkpoint or a published variant is.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use indicatif::{HumanBytes, HumanCount};
use serde_json::{Map, Value, json};
use webmamba::{
    Error, Model, ModelOptions, Result, Weights,
    low_level::{
        hub::HubModel,
        models::{family_of, likely_family, preset, preset_names},
        passes,
        plan::{Cost, Rates, costs, lower, plan},
        program::{AdapterClass, Caps},
    },
};

use crate::{
    args::{find_model, open_model, parse_size, warn_non_finite},
    rates,
    roofline::Roofline,
    terminal::{Outcome, pairs, plain, print, print_json, rounded},
};

/// Labels that are shown, to tell what they are about.
const LABELS: usize = 5;

/// Describe a checkpoint or a published variant
#[derive(Debug, Args)]
pub(crate) struct Info {
    /// A checkpoint (folder or file), or the name of a built-in model or of a published variant such as mamba_vision_t
    #[arg(value_name = "MODEL")]
    model: PathBuf,
    /// Which published variant the checkpoint is, where its config or tensors do not tell
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,
    /// Path of the weights in a checkpoint with several states (state_dict, model_ema, ..)
    #[arg(long, value_name = "KEY")]
    state: Option<String>,
    /// Input size instead of the model's own: N or HEIGHTxWIDTH in pixels
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    size: Option<[usize; 2]>,
    /// Add what each kind of operator costs on a GPU: multiply-adds and bytes
    #[arg(long)]
    costs: bool,
    /// Add the least time that this takes a device of so many GB/s and GFLOP/s; implies --costs
    #[arg(long, value_name = "GB/S,GFLOP/S", value_parser = rates::parse)]
    at: Option<Rates>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Info {
    pub(crate) fn run(self) -> Outcome {
        let name = self.model.to_string_lossy();
        let mut options =
            ModelOptions { arch: self.arch.clone(), size: self.size, state: self.state.clone(), ..ModelOptions::default() };
        let is_file = self.model.exists() || HubModel::parse(&name).is_some_and(|model| model.cached().is_ok());
        let model = match preset(&name) {
            Ok(preset) if !is_file => {
                options.arch.get_or_insert(preset.name.to_owned());
                Model::new(Weights::zeros(preset.name), None, &options)?
            }
            _ => match open_model(&self.model, &options) {
                Err(Error::Unrecognised { what, reason, known }) if is_file => {
                    let weights = Weights::open(&find_model(&self.model)?)?;
                    // Whatever else a checkpoint is, what is in it can be told.
                    return match family_of(&weights) {
                        Some(_) => Err(Error::Unrecognised { what, reason, known }.into()),
                        None => self.describe(&weights, &reason),
                    };
                }
                model => model.map_err(|error| with_variants(error, is_file))?,
            },
        };
        // A variant without a file has shapes, but no weights.
        let weights = Some(&model.weights).filter(|w| !w.is_empty());
        weights.inspect(|w| warn_non_finite(w));
        let dtype = weights.and_then(|w| w.dtype()).map(|dtype| dtype.name());
        let source = is_file.then(|| self.model.display().to_string());
        let sizes = Sizes::of(&model)?;
        let roofline = (self.costs || self.at.is_some()).then(|| Roofline::new(&sizes.costs, self.at, None));
        let facts = Facts { sizes, parameters: model.parameter_count()?, model, source, dtype, roofline };
        if self.json {
            print_json(&facts.json())?
        } else {
            print(&facts.text())?
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What is in a checkpoint that is not run here.
    fn describe(&self, weights: &Weights, reason: &str) -> Outcome {
        let contents = Contents::of(weights);
        let source = self.model.display().to_string();
        if self.json {
            let mut facts = json!({ "model": null, "family": null, "source": source, "reason": reason });
            contents.add_to(&mut facts);
            print_json(&facts)?
        } else {
            let mut rows = vec![("family", "none that is run here".to_owned()), ("file", plain(&source))];
            rows.extend(contents.rows());
            rows.push(("reason", plain(reason)));
            print(&format!("{}\n{}", plain(&source), pairs(&rows)))?
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What a file holds, whatever it is.
struct Contents {
    container: &'static str,
    likely: Option<&'static str>,
    tensors: usize,
    numbers: u64,
    dtypes: Vec<(String, usize)>,
    groups: Vec<(String, usize)>,
}

impl Contents {
    fn of(weights: &Weights) -> Self {
        Self {
            container: weights.container(),
            likely: likely_family(weights),
            tensors: weights.len(),
            numbers: weights.parameter_count(),
            dtypes: weights.dtypes(),
            groups: weights.groups().into_iter().map(|(group, count)| (group.to_owned(), count)).collect(),
        }
    }

    fn add_to(&self, facts: &mut Value) {
        let object = |pairs: &[(String, usize)]| pairs.iter().map(|(name, n)| (name.clone(), json!(n))).collect::<Map<_, _>>();
        facts["likely_family"] = json!(self.likely);
        facts["container"] = json!(self.container);
        facts["tensors"] = json!(self.tensors);
        facts["parameters"] = json!(self.numbers);
        facts["dtypes"] = Value::Object(object(&self.dtypes));
        facts["groups"] = Value::Object(object(&self.groups));
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        const GROUPS: usize = 10;
        let counted = |pairs: &[(String, usize)]| {
            let shown: Vec<String> = pairs.iter().take(GROUPS).map(|(name, n)| format!("{} ({n})", plain(name))).collect();
            let more = if pairs.len() > GROUPS { format!(" and {} more", pairs.len() - GROUPS) } else { String::new() };
            format!("{}{more}", shown.join(", "))
        };
        let mut rows = vec![
            ("container", self.container.to_owned()),
            ("tensors", format!("{} of {}", self.tensors, counted(&self.dtypes))),
            ("parameters", HumanCount(self.numbers).to_string()),
            ("keys", counted(&self.groups)),
        ];
        rows.extend(self.likely.map(|family| ("looks like", family.to_owned())));
        rows
    }
}

/// The number that a configuration wrote, which is f32 here.
fn decimal(x: f32) -> f64 {
    rounded(f64::from(x), 6)
}

/// A name that is neither may have been meant for a variant.
fn with_variants(error: Error, is_file: bool) -> Error {
    match error {
        Error::InvalidArgument(reason) if !is_file => {
            Error::InvalidArgument(format!("{reason}; the published variants are {}", preset_names().join(", ")))
        }
        other => other,
    }
}

struct Facts {
    model: Model,
    source: Option<String>,
    dtype: Option<&'static str>,
    parameters: u64,
    sizes: Sizes,
    roofline: Option<Roofline>,
}

/// What one image takes on a GPU.
struct Sizes {
    weights: u64,
    activations: u64,
    macs: u64,
    costs: Vec<Cost>,
    /// Where that is more than WebGPU guarantees everywhere: what is needed of which limit.
    beyond: Option<String>,
}

impl Sizes {
    /// From the plan for a GPU with the limits that are guaranteed everywhere; no GPU is touched.
    fn of(model: &Model) -> Result<Self> {
        let graph = passes::optimise(&model.graph(&model.options(1))?)?;
        let graph = match graph.outputs().iter().find(|output| output.name == "logits") {
            Some(_) => graph.select(&["logits"])?,
            None => graph.select(&["pooled"])?,
        };
        let caps = Caps::webgpu_default(AdapterClass::Hardware);
        let (program, beyond) = match lower(&graph, &caps) {
            Err(Error::AdapterLimit { limit, needed, .. }) => {
                let any = Caps { max_storage_binding: u64::MAX, ..caps };
                (lower(&graph, &any)?, Some(format!("{limit} of at least {needed}")))
            }
            program => (program?, None),
        };
        let (weights, activations) = (program.weight_bytes(), plan(&program).bytes());
        Ok(Self { weights, activations, macs: graph.macs(), costs: costs(&graph, &program), beyond })
    }
}

impl Facts {
    fn labels(&self) -> Vec<&str> {
        (0..LABELS).map_while(|i| self.model.labels.get(i)).collect()
    }

    fn json(&self) -> Value {
        let (model, sizes) = (&self.model, &self.sizes);
        let p = &model.preprocess;
        let mut facts = json!({
            "model": model.name,
            "family": model.architecture.family(),
            "source": self.source,
            "parameters": self.parameters,
            "size": p.size,
            "frames": model.architecture.frames(),
            "interpolation": p.filter.name(),
            "crop_pct": p.crop_pct,
            "crop_mode": p.crop_mode,
            "mean": p.mean.map(decimal),
            "std": p.std.map(decimal),
            "classes": model.architecture.num_classes(),
            "labels": self.labels(),
            "dtype": self.dtype,
            "container": model.weights.container(),
            "tensors": model.weights.len(),
            "weights_bytes": sizes.weights,
            "activation_bytes": sizes.activations,
            "macs": sizes.macs,
            "needs": sizes.beyond,
            "licence": model.licence,
            "assumptions": model.assumptions,
        });
        if let Some(roofline) = &self.roofline {
            facts["costs"] = roofline.json();
        }
        facts
    }

    fn text(&self) -> String {
        let (model, sizes) = (&self.model, &self.sizes);
        let p = &model.preprocess;
        let labels: Vec<String> = self.labels().into_iter().map(plain).collect();
        let labels = match labels.len() {
            0 => "without labels".to_owned(),
            n if n < model.labels.len() => format!("{}, ..", labels.join(", ")),
            _ => labels.join(", "),
        };
        let classes = match model.architecture.num_classes() {
            0 => "none: a backbone without a head".to_owned(),
            n => format!("{n}: {labels}"),
        };
        let file = match (&self.source, self.dtype) {
            (Some(source), Some(dtype)) => {
                format!("{} ({}, {} tensors, {dtype})", plain(source), model.weights.container(), model.weights.len())
            }
            (Some(source), None) => plain(source),
            (None, Some(dtype)) => format!("built in ({dtype})"),
            (None, None) => "none: this describes the published variant".to_owned(),
        };
        let frames = model.architecture.frames();
        let clip = if frames > 1 { format!("{frames} frames of ") } else { String::new() };
        let fitted = match model.architecture.head().is_dense() {
            true => "images keep their shape and are scaled to that".to_owned(),
            false => format!("crop {} of {} %", p.crop_mode.name(), rounded(p.crop_pct * 100.0, 2)),
        };
        let input = format!("{clip}{} x {} (height x width), {fitted}", p.size[0], p.size[1]);
        let (weights, activations) = (HumanBytes(sizes.weights), HumanBytes(sizes.activations));
        let (sample, each) = if frames > 1 { ("clip", "a clip") } else { ("image", "an image") };
        let mut rows = vec![
            ("family", model.architecture.family().to_owned()),
            ("file", file),
            ("parameters", HumanCount(self.parameters).to_string()),
            ("input", input),
            ("mean, std", format!("{:?}, {:?}", p.mean, p.std)),
            ("classes", classes),
            ("on a device", format!("{weights} of weights, {activations} of activations for one {sample}")),
            (each, format!("{:.2} billion multiply-adds", sizes.macs as f64 / 1e9)),
            ("licence", model.licence.clone()),
        ];
        rows.extend(sizes.beyond.iter().map(|needs| ("needs", format!("a GPU with {needs}, or the CPU"))));
        rows.extend(model.assumptions.iter().map(|assumption| ("assumed", plain(assumption))));
        let costs = self.roofline.as_ref().map_or_else(String::new, |roofline| format!("\n\n{}", roofline.text()));
        format!("{}\n{}{costs}", plain(&model.name), pairs(&rows))
    }
}
