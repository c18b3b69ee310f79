//! Models: from a checkpoint and its config to graphs. What is particular to a family stands in its own file.

mod architecture;
mod config;
mod embedded;
mod family;
mod fit;
mod foreign;
mod head;
mod keys;
mod locate;
mod mambaout;
mod mambavision;
mod mila;
mod processing;
mod recognise;
mod unified;
mod upernet;
mod video_mamba;
mod vim;
mod vmamba;

use std::path::Path;

pub use architecture::Architecture;
pub use config::Documents;
pub use embedded::embedded_names;
pub use family::{Family, Has, Preset, preset, preset_names};
pub use foreign::likely as likely_family;
pub use head::{Backbone, Head};
pub use locate::family_of;
pub use mambaout::MambaOut;
pub use mambavision::MambaVision;
pub use mila::Mila;
pub use unified::{Block, Unified};
pub use video_mamba::VideoMamba;
pub use vim::Vim;
pub use vmamba::VMamba;

use config::Config;
use locate::Located;
use recognise::{Recognised, recognise};

use crate::{
    error::{Error, Result},
    graph::Graph,
    image::Preprocess,
    labels::Labels,
    ops::TopK,
    tensor::Shape,
    weights::Weights,
};

/// What a graph is built for.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildOptions {
    /// Images, or clips, a run.
    pub batch: usize,
    /// Height and width of an image.
    pub size: [usize; 2],
    /// Adds the output `top_k`: the probabilities of the k best classes (of all, where there are fewer).
    pub top_k: Option<TopK>,
    /// Adds the output `class_activation` where the head allows: a map of each of those classes over the positions of the last stage;
    /// and `class_maps`, the logits of all classes at each position.
    pub class_activation: bool,
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
    /// A best class with a lower score is no answer; 0 where the config says nothing.
    pub min_score: f32,
    /// The class that stands for everything that is none of the others, where the config names one: never an answer.
    pub unknown: Option<usize>,
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
    /// Height and width; else those of config.json or the variant. Of dense models the limits that images are scaled to: see
    /// [`Preprocess::for_image`].
    pub size: Option<[usize; 2]>,
    /// Path of the dictionary that has the weights, in a checkpoint with several; else averaged weights, then the usual ones.
    pub state: Option<String>,
}

impl Model {
    /// Opens a checkpoint: a file or a folder (see [`Weights::open`]), with the `config.json` and `preprocessor_config.json` in the
    /// folder or beside the file.
    ///
    /// # Errors
    /// Those of [`Weights::open`]; [`Error::Config`], [`Error::UnknownArch`] and [`Error::Unrecognised`] when it cannot be told
    /// what the weights are; [`Error::WeightMismatch`] when they are not what they are said to be.
    pub fn open(path: impl AsRef<Path>, options: &ModelOptions) -> Result<Self> {
        let path = path.as_ref();
        let documents = Documents::beside(path)?;
        Self::of(Weights::open(path)?, &documents, options)
    }

    /// A model from weights and the text of a `config.json`, if there is one.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn new(weights: Weights, config: Option<&str>, options: &ModelOptions) -> Result<Self> {
        Self::of(weights, &Documents { config: config.map(str::to_owned), preprocessor: None }, options)
    }

    /// A model from weights and what stands beside them.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn of(weights: Weights, documents: &Documents, options: &ModelOptions) -> Result<Self> {
        let config = Config::parse(weights.name(), documents)?;
        let mut assumptions = Vec::new();
        let (arch, state) = (options.arch.as_deref(), options.state.as_deref());
        let Recognised { name, architecture, preprocess: usual, located } =
            recognise(&weights, config.as_ref(), arch, state, &mut assumptions)?;
        let mut preprocess = match &config {
            Some(config) => config.preprocess(usual, &name, &mut assumptions)?,
            None => usual,
        };
        if architecture.head().is_dense() {
            // Configurations of backbones speak of classifiers.
            preprocess =
                Preprocess { mean: preprocess.mean, std: preprocess.std, size: preprocess.size, ..Preprocess::dense(512) };
        }
        if let Some(size) = options.size {
            preprocess.size = size;
        }
        preprocess.validate()?;
        // Every key is held against the architecture now, not at the first run. Made-up weights have what they are asked for.
        let (architecture, weights) = match (located, weights.is_empty()) {
            (Some(located), _) => fit::fit(&name, &architecture, located, preprocess.size, &mut assumptions)?,
            (None, true) => (architecture, weights),
            (None, false) => {
                let located = Located::whole(architecture.clone(), weights);
                fit::fit(&name, &architecture, located, preprocess.size, &mut assumptions)?
            }
        };
        let classes = architecture.num_classes();
        let said = config.as_ref().and_then(Config::classes);
        if let Some(said) = said.filter(|said| *said != classes) {
            assumptions.push(match classes {
                0 => format!("the config speaks of {said} classes, but there is no head: this is a backbone"),
                _ => format!("the config speaks of {said} classes; the head has {classes}"),
            });
        }
        let labels = match (&options.labels, &config) {
            (Some(labels), _) => Some(labels.clone()),
            (None, Some(config)) => config.labels(classes, &mut assumptions)?,
            (None, None) => None,
        };
        let labels = match labels {
            Some(labels) => labels,
            None if architecture.head().is_dense() && classes == 150 => Labels::ade20k(),
            None if classes == 1000 => Labels::imagenet1k(),
            None => Labels::default(),
        };
        if options.labels.is_some() && labels.len() != classes {
            return Err(Error::InvalidArgument(format!(
                "there are {} labels, but the model has {classes} classes",
                labels.len()
            )));
        }
        let temperature = config.as_ref().map_or(Ok(1.0), Config::temperature)?;
        let min_score = config.as_ref().map_or(Ok(0.0), Config::min_score)?;
        // Names of the user's own need not have the config's.
        let unknown = match &config {
            Some(config) if options.labels.is_none() => config.unknown(&labels)?,
            _ => None,
        };
        let licence = config.as_ref().and_then(Config::licence).unwrap_or(architecture.registered().terms).to_owned();
        let model =
            Self { name, architecture, weights, preprocess, labels, temperature, min_score, unknown, licence, assumptions };
        model.graph(&model.options(1))?;
        Ok(model)
    }

    /// A published variant without a file: noise by the formula of [`Architecture::synthetic`], for benchmarks.
    ///
    /// # Errors
    /// [`Error::UnknownArch`] when there is no such variant.
    pub fn synthetic(arch: &str, size: Option<[usize; 2]>) -> Result<Self> {
        let options = ModelOptions { arch: Some(arch.to_owned()), size, ..ModelOptions::default() };
        Self::new(preset(arch)?.architecture.synthetic(arch), None, &options)
    }

    /// Whether this class with this score, the best one of a picture, is an answer: it is none that stands for everything else, and its
    /// score is at least `min_score`. Always true of a model whose config says nothing of either.
    pub fn is_confident(&self, class: usize, score: f32) -> bool {
        Some(class) != self.unknown && score >= self.min_score
    }

    /// Whether the config says when the model is not sure.
    pub fn can_be_unsure(&self) -> bool {
        self.min_score > 0.0 || self.unknown.is_some()
    }

    /// What to say of an output that is not a number. Reads all weights.
    pub(crate) fn not_a_number(&self) -> Error {
        let bad = self.weights.non_finite();
        let reason = if bad.is_empty() {
            "its output is not a number, though all weights are finite: the network overflows on this input".into()
        } else {
            format!("its output is not a number; NaN or infinite weights: {}", bad.join(", "))
        };
        Error::config(&self.name, reason)
    }

    /// Options for a batch at the model's own input size.
    pub fn options(&self, batch: usize) -> BuildOptions {
        BuildOptions { batch, size: self.preprocess.size, top_k: None, class_activation: false }
    }

    /// What a run of `batch` samples at the model's own input size takes: `(B, H, W, 3)`, of a model of clips `(B * frames, H, W, 3)`.
    pub fn input_shape(&self, batch: usize) -> Shape {
        self.architecture.input_shape(&self.options(batch))
    }

    /// The graph as the model is written, before any pass.
    ///
    /// # Errors
    /// Those of [`Architecture::build`].
    pub fn graph(&self, options: &BuildOptions) -> Result<Graph> {
        self.architecture.build(&self.name, &self.weights, options)
    }

    /// Parameters of the model (not of the file): numbers in all tensors that its graph is made of and that were trained.
    ///
    /// # Errors
    /// Those of [`Model::graph`].
    pub fn parameter_count(&self) -> Result<u64> {
        self.architecture.parameter_count(&self.name, &self.weights, &self.options(1))
    }
}
