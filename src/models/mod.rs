//! Model families: one file each, with presets for what is published and detection for everything else.

mod config;
mod detect;
mod embedded;
mod mambavision;
mod mila;
mod presets;

use std::path::Path;

pub use embedded::embedded_names;
pub use mambavision::MambaVision;
pub use mila::Mila;
pub use presets::{Preset, preset, preset_names};

use crate::{
    error::{Error, Result},
    graph::{Builder, Graph, Kind, Layout, Value},
    image::Preprocess,
    labels::Labels,
    ops::{ClassActivation, GlobalAvgPool, TopK},
    tensor::Shape,
    weights::Weights,
};

/// Names of all outputs that a graph may have, in order.
pub const OUTPUT_NAMES: [&str; 7] = ["stem", "stage0", "stage1", "stage2", "stage3", "pooled", "logits"];

/// What a graph is built for.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildOptions {
    /// Images a run.
    pub batch: usize,
    /// Height and width of an image.
    pub size: [usize; 2],
    /// Adds the output `top_k`: the probabilities of the k best classes (of all, where there are fewer).
    pub top_k: Option<TopK>,
    /// Adds the output `class_activation`: a map of each of those classes over the positions of the last stage.
    pub class_activation: bool,
}

impl BuildOptions {
    /// `(B, H, W, 3)`.
    pub fn input_shape(&self) -> Shape {
        Shape::from([self.batch, self.size[0], self.size[1], 3])
    }
}

/// A family with its sizes.
#[derive(Debug, Clone, PartialEq)]
pub enum Architecture {
    /// MambaVision.
    MambaVision(MambaVision),
    /// MILA, also called MLLA.
    Mila(Mila),
}

impl Architecture {
    /// `mambavision` or `mila`.
    pub const fn family(&self) -> &'static str {
        match self {
            Self::MambaVision(_) => "mambavision",
            Self::Mila(_) => "mila",
        }
    }

    /// Number of classes; 0 without a head.
    pub const fn num_classes(&self) -> usize {
        match self {
            Self::MambaVision(m) => m.num_classes,
            Self::Mila(m) => m.num_classes,
        }
    }

    fn set_num_classes(&mut self, classes: usize) {
        match self {
            Self::MambaVision(m) => m.num_classes = classes,
            Self::Mila(m) => m.num_classes = classes,
        }
    }

    /// What the authors say of the use of their published weights.
    const fn licence_note(&self) -> &'static str {
        match self {
            Self::MambaVision(_) => {
                "published MambaVision weights: CC BY-NC-SA 4.0 (NVIDIA), non-commercial; a fine-tune may differ"
            }
            Self::Mila(_) => "published MILA weights: no licence is stated by the authors; a fine-tune may differ",
        }
    }

    /// The graph with every weight accounted for.
    ///
    /// # Errors
    /// [`Error::WeightMismatch`] when the checkpoint is not one of this architecture, [`Error::Shape`] and [`Error::Config`] when
    /// sizes do not fit, [`Error::InvalidArgument`] for a batch or size of zero or k larger than the number of classes.
    pub fn build(&self, name: &str, weights: &Weights, options: &BuildOptions) -> Result<Graph> {
        if options.batch == 0 || options.size.contains(&0) {
            return Err(Error::InvalidArgument(format!("batch {} and size {:?} must be positive", options.batch, options.size)));
        }
        let mut graph = match self {
            Self::MambaVision(m) => m.build(weights, options)?,
            Self::Mila(m) => m.build(weights, options)?,
        };
        // Both are derived or unused: counters of training steps, and rotation tables that are made for any resolution.
        weights.finish(name, |key| key.ends_with("num_batches_tracked") || key.ends_with("rope.rotations"))?;
        if let Some(top_k) = options.top_k {
            let output = |name: &str| graph.outputs().iter().find(|o| o.name == name).map(|o| o.value);
            let (Some(logits), Some(pooled)) = (output("logits"), output("pooled")) else {
                return Err(Error::InvalidArgument(format!("{name} has no classification head")));
            };
            let top_k = TopK { k: top_k.k.clamp(1, self.num_classes()), ..top_k };
            let best = graph.op("top_k", top_k, vec![logits])?;
            graph.output("top_k", best, Layout::Plain);
            if options.class_activation {
                // The head as it stands in the graph: its weight, its bias, and what was pooled for it.
                let inputs = graph.node(pooled).inputs().iter().take(1).chain(graph.node(logits).inputs().iter().skip(1));
                let inputs = inputs.copied().chain([best]).collect();
                let map = graph.op("class_activation", ClassActivation, inputs)?;
                graph.output("class_activation", map, Layout::Plain);
            }
        }
        Ok(graph)
    }
}

/// The end that both families share: mean over positions and a linear head.
fn finish_head(g: &mut Builder, w: &Weights, x: Value, num_classes: usize) -> Result<()> {
    let pooled = g.op("avgpool", GlobalAvgPool, vec![x])?;
    g.output("pooled", pooled, Layout::Plain);
    if num_classes > 0 {
        let features = g.shape(pooled).last();
        let logits = g.linear(&w.pp("head"), pooled, features, num_classes, true)?;
        g.output("logits", logits, Layout::Plain);
    }
    Ok(())
}

/// A checkpoint together with everything that is needed to use it.
#[derive(Debug, Clone)]
pub struct Model {
    /// Variant name such as `mamba_vision_t`, or the family for other sizes.
    pub name: String,
    /// Family and sizes.
    pub architecture: Architecture,
    /// The checkpoint.
    pub weights: Weights,
    /// How images become inputs.
    pub preprocess: Preprocess,
    /// Class names; empty where there are none.
    pub labels: Labels,
    /// Divides the logits before the softmax, so that scores are calibrated; 1 where the config says nothing.
    pub temperature: f32,
    /// The terms of the weights: what the config says, else what is known of the published ones.
    pub licence: String,
    /// What had to be assumed because the checkpoint does not say it.
    pub assumptions: Vec<String>,
}

/// What the user says of a checkpoint.
#[derive(Debug, Clone, Default)]
pub struct ModelOptions {
    /// Variant name; else config.json decides, else the shapes of the tensors.
    pub arch: Option<String>,
    /// Class names; else those of config.json, else ImageNet-1k's where there are 1000 classes.
    pub labels: Option<Labels>,
    /// Height and width; else those of config.json or the variant.
    pub size: Option<[usize; 2]>,
}

impl Model {
    /// Opens a checkpoint: a file or a folder (see [`Weights::open`]), with the `config.json` in the folder or beside a file
    /// called `model*` or `pytorch_model*`.
    ///
    /// # Errors
    /// Those of [`Weights::open`]; [`Error::Config`], [`Error::UnknownArch`] and [`Error::Unrecognised`] when it cannot be told
    /// what the weights are; [`Error::WeightMismatch`] when they are not what they are said to be.
    pub fn open(path: &Path, options: &ModelOptions) -> Result<Self> {
        let config = config::beside(path)?;
        Self::new(Weights::open(path)?, config.as_deref(), options)
    }

    /// A model from weights and the text of a `config.json`, if there is one.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn new(weights: Weights, config: Option<&str>, options: &ModelOptions) -> Result<Self> {
        let what = weights.name().to_owned();
        let config = config.map(|text| config::Config::parse(&what, text)).transpose()?;
        let mut assumptions = Vec::new();
        let (name, mut architecture, mut preprocess) = if let Some(arch) = &options.arch {
            let preset = preset(arch)?;
            (preset.name.to_owned(), preset.architecture, preset.preprocess)
        } else if let Some(config) = &config {
            config.architecture(&what, &weights, &mut assumptions)?
        } else {
            detect::from_shapes(&weights, &mut assumptions)?
        };
        if let Some(config) = &config {
            config.apply_preprocess(&mut preprocess)?;
        } else if options.arch.is_some() {
            // A fine-tuned head may have any number of classes, whatever the variant's own.
            architecture.set_num_classes(detect::classes(&weights).unwrap_or(architecture.num_classes()));
        }
        if let Some(size) = options.size {
            preprocess.size = size;
        }
        preprocess.validate()?;
        let temperature = config.as_ref().map_or(Ok(1.0), config::Config::temperature)?;
        let licence = config.as_ref().and_then(config::Config::licence).unwrap_or_else(|| architecture.licence_note()).to_owned();
        let labels = match (&options.labels, config.and_then(|c| c.labels)) {
            (Some(labels), _) => labels.clone(),
            (None, Some(labels)) => labels,
            (None, None) if architecture.num_classes() == 1000 => Labels::imagenet1k(),
            (None, None) => Labels::default(),
        };
        let classes = architecture.num_classes();
        if options.labels.is_some() && labels.len() != classes {
            return Err(Error::InvalidArgument(format!(
                "there are {} labels, but the model has {classes} classes",
                labels.len()
            )));
        }
        let model = Self { name, architecture, weights, preprocess, labels, temperature, licence, assumptions };
        // Every key is held against the architecture now, not at the first run.
        model.graph(&model.options(1))?;
        Ok(model)
    }

    /// A published variant without a file: noise by the formula of [`Weights::synthetic`], for benchmarks.
    ///
    /// # Errors
    /// [`Error::UnknownArch`] when there is no such variant.
    pub fn synthetic(arch: &str, size: Option<[usize; 2]>) -> Result<Self> {
        let options = ModelOptions { arch: Some(arch.to_owned()), labels: None, size };
        Self::new(Weights::synthetic(arch), None, &options)
    }

    /// Options for a batch at the model's own input size.
    pub fn options(&self, batch: usize) -> BuildOptions {
        BuildOptions { batch, size: self.preprocess.size, top_k: None, class_activation: false }
    }

    /// The graph as the model is written, before any pass.
    ///
    /// # Errors
    /// Those of [`Architecture::build`].
    pub fn graph(&self, options: &BuildOptions) -> Result<Graph> {
        self.architecture.build(&self.name, &self.weights, options)
    }

    /// Parameters of the model (not of the file): numbers in all constants of the graph that were trained.
    ///
    /// # Errors
    /// Those of [`Model::graph`].
    pub fn parameter_count(&self) -> Result<u64> {
        let graph = self.graph(&self.options(1))?;
        let trained =
            |name: &str| !name.ends_with("running_mean") && !name.ends_with("running_var") && !name.starts_with("rope ");
        let mut seen = std::collections::HashSet::new();
        let constants = graph.nodes().iter().filter(|n| matches!(n.kind, Kind::Constant(_)) && trained(&n.name));
        Ok(constants.filter(|n| seen.insert(n.name.clone())).map(|n| n.shape().len() as u64).sum())
    }
}
