//! What a family of models is, and the list of those that there are.

use std::fmt::Debug;

use serde_json::Value as Json;

use crate::{
    error::{Error, Result},
    graph::{Builder, Value},
    image::Preprocess,
    models::{Architecture, Head, MambaOut, MambaVision, Mila, Unified, VMamba, VideoMamba, Vim, head::Backbone},
    weights::{Gains, Reader, Weights},
};

/// All families; of several that recognise a checkpoint the first counts.
static FAMILIES: &[Registered] = &[
    Registered::of::<MambaVision>(),
    Registered::of::<Mila>(),
    Registered::of::<MambaOut>(),
    Registered::of::<Vim>(),
    Registered::of::<VMamba>(),
    Registered::of::<VideoMamba>(),
    Registered::of::<Unified>(),
];

/// Tells whether a checkpoint has a key.
pub type Has<'a> = &'a dyn Fn(&str) -> bool;

/// The sizes of a model, and everything that is particular to its family. A new family is a type with this trait in a file of its
/// own, and a line in the list above.
pub trait Family: Debug + Clone + PartialEq + Send + Sync + 'static {
    /// The family's name.
    const NAME: &'static str;
    /// How `model_type`, `architecture` and `architectures` of configurations begin, in lower case and without dashes, dots and
    /// underscores.
    const CALLED: &'static [&'static str];
    /// What the sides of a dense model's input are rounded up to a multiple of: 1 where any size is computed as upstream does.
    const MULTIPLE: usize = 1;
    /// What the authors say of the use of their published weights.
    const TERMS: &'static str;
    /// Keys by which a checkpoint shows itself and the prefix that its keys have: one of them is in every checkpoint.
    const ANCHORS: &'static [&'static str];
    /// Path of the linear layer that makes the logits from [`Backbone::pooled`].
    const HEAD: &'static str = "head";
    /// What tensors do not tell of the sizes, in words; empty where they tell everything.
    const UNSEEN: &'static str = "";
    /// Checkpoints of other families are this one's too: they are taken for it only where a config or a name says so.
    const GENERAL: bool = false;
    /// For synthetic weights.
    const GAINS: &'static Gains;

    /// The published variants; shapes that fit several are taken for the first.
    fn presets() -> Vec<Preset>;

    /// Preprocessing of most of the published models.
    fn preprocess() -> Preprocess {
        Preprocess::imagenet([224, 224])
    }

    /// Preprocessing of a model of these sizes that is none of the presets.
    fn usual(&self) -> Preprocess {
        Self::preprocess()
    }

    /// Images of a sample: frames of a clip, for models of clips.
    fn frames(&self) -> usize {
        1
    }

    /// The name under which this family's code knows the key `key`, where older files call it otherwise; `has` tells what else
    /// there is.
    fn renamed(_key: &str, _has: Has<'_>) -> Option<String> {
        None
    }

    /// The sizes that the tensors show, the others as [`Family::seen`] leaves them; `None` where they are of another family.
    fn recognise(weights: &Weights) -> Option<Self>;

    /// These sizes without what tensors do not tell, which is set to fixed values.
    #[must_use]
    fn seen(&self) -> Self {
        self.clone()
    }

    /// The sizes that a `config.json` tells, completed from `known`: what the tensors show, or a preset that has those shapes.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    fn config(config: &Json, known: Option<&Self>) -> std::result::Result<Self, String>;

    /// What contradicts itself in these sizes, if anything.
    ///
    /// # Errors
    /// [`Error::Config`] with the key and the value.
    fn validate(&self) -> Result<()>;

    /// Emits the graph up to what the head takes, with the outputs `stem` and `stage0`, `stage1`, ..
    ///
    /// # Errors
    /// [`Error::Shape`] and [`Error::Config`] where sizes do not fit each other.
    fn build(&self, g: &mut Builder, r: &Reader) -> Result<Backbone>;

    /// Emits the graph up to the maps `(B, H, W, C)` of the stages, each before the step that reduces it: what dense heads take, without
    /// what only a classifier has behind it. None for families of which there are no dense models.
    ///
    /// # Errors
    /// As [`Family::build`].
    fn maps(&self, _g: &mut Builder, _r: &Reader) -> Result<Vec<Value>> {
        Ok(Vec::new())
    }

    /// True for keys that belong to the family's checkpoints, but that no layer reads.
    fn unused(_key: &str) -> bool {
        false
    }
}

/// A published variant: sizes and preprocessing.
#[derive(Debug, Clone, PartialEq)]
pub struct Preset {
    /// Name, such as `mamba_vision_t`.
    pub name: &'static str,
    /// Family and sizes.
    pub architecture: Architecture,
    /// Input size, crop, mean and deviation.
    pub preprocess: Preprocess,
}

impl Preset {
    /// The same backbone, also called `name`, below a UPerNet of 512 channels for the 150 classes of ADE20K, as the authors publish it for
    /// images whose shorter side has `short` pixels.
    pub(super) fn upernet(self, name: &'static str, short: usize) -> Self {
        let architecture = self.architecture.with_head(Head::UperNet { channels: 512 }, 150);
        Self { name, architecture, preprocess: Preprocess::dense(short) }
    }
}

/// A family as data.
#[derive(Debug)]
pub(super) struct Registered {
    pub(super) name: &'static str,
    pub(super) terms: &'static str,
    pub(super) anchors: &'static [&'static str],
    pub(super) head: &'static str,
    pub(super) unseen: &'static str,
    pub(super) multiple: usize,
    pub(super) general: bool,
    pub(super) presets: fn() -> Vec<Preset>,
    pub(super) renamed: fn(&str, Has<'_>) -> Option<String>,
    /// What the tensors show, with a head of no classes, whose other sizes stand elsewhere.
    pub(super) recognise: fn(&Weights) -> Option<Architecture>,
    pub(super) config: fn(&Json, Option<&Architecture>) -> std::result::Result<Architecture, String>,
    called: &'static [&'static str],
    pub(super) gains: &'static Gains,
    pub(super) unused: fn(&str) -> bool,
}

impl Registered {
    pub(super) const fn of<F: Family>() -> Self {
        Self {
            name: F::NAME,
            terms: F::TERMS,
            anchors: F::ANCHORS,
            head: F::HEAD,
            unseen: F::UNSEEN,
            multiple: F::MULTIPLE,
            general: F::GENERAL,
            presets: F::presets,
            renamed: F::renamed,
            recognise: |weights| {
                F::recognise(weights).map(|sizes| Architecture::new(sizes, 0).with_head(Head::shown(weights), 0))
            },
            config: |config, known| {
                let known = known.and_then(Architecture::sizes::<F>);
                F::config(config, known).map(|sizes| Architecture::new(sizes, 0))
            },
            called: F::CALLED,
            gains: F::GAINS,
            unused: F::unused,
        }
    }

    /// True when a configuration that says `name` means this family.
    pub(super) fn is_called(&self, name: &str) -> bool {
        let name: String = name.to_ascii_lowercase().chars().filter(|c| !['-', '_', '.'].contains(c)).collect();
        self.called.iter().any(|called| name.starts_with(called))
    }
}

pub(super) fn families() -> impl Iterator<Item = &'static Registered> {
    FAMILIES.iter()
}

/// All published variants.
pub(super) fn presets() -> impl Iterator<Item = Preset> {
    families().flat_map(|family| (family.presets)())
}

/// Names of all published variants.
pub fn preset_names() -> Vec<String> {
    presets().map(|p| p.name.to_owned()).collect()
}

/// The variant of this name; `mlla_*` is accepted for `mila_*`, dashes for underscores, and names of releases
/// (`MambaVision-T-1K`).
///
/// # Errors
/// [`Error::UnknownArch`], which lists the names that there are.
pub fn preset(name: &str) -> Result<Preset> {
    let wanted =
        name.to_ascii_lowercase().replace(['-', '.'], "_").replace("mlla_", "mila_").replace("mambavision", "mamba_vision");
    let known = |wanted: &str| presets().find(|p| p.name == wanted);
    let found = known(&wanted).or_else(|| known(wanted.strip_suffix("_1k")?));
    found.ok_or_else(|| Error::UnknownArch { name: name.to_owned(), known: preset_names() })
}

/// Extent of the first axis of the tensor `key`.
pub(super) fn rows(weights: &Weights, key: &str) -> Option<usize> {
    weights.shape(key).and_then(|shape| shape.dims().first().copied())
}

/// The same over `channels`, such as the ratio of an MLP.
pub(super) fn rows_over(weights: &Weights, key: &str, channels: usize) -> Option<f64> {
    rows(weights, key).filter(|_| channels > 0).map(|rows| rows as f64 / channels as f64)
}

/// How many of the modules `path.0`, `path.1`, .. have the key `probe`, up to the first that lacks it.
pub(super) fn blocks(weights: &Weights, path: &str, probe: &str) -> usize {
    (0..1000).take_while(|i| weights.contains(&format!("{path}.{i}.{probe}"))).count()
}

/// What `of` finds in each of four stages, where it finds something in all.
pub(super) fn each_stage(of: &dyn Fn(usize) -> Option<usize>) -> Option<[usize; 4]> {
    Some([of(0)?, of(1)?, of(2)?, of(3)?])
}
