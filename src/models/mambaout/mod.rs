//! MambaOut (Yu and Wang, CVPR 2025): Mamba's block without its scan, which leaves a gated depthwise convolution. In two forms: the
//! original one, and timm's "rw" with layer scale, the norm before a reduction, and a plainer head.

mod graph;

use serde_json::Value as Json;

use crate::{
    error::{Error, Result},
    graph::Builder,
    image::Preprocess,
    models::{
        Architecture, Backbone, Family, Preset,
        family::{Has, blocks, each_stage, rows},
        keys::{required, said},
    },
    ops::Act,
    weights::{Gains, Reader, Weights},
};

/// Sizes of a MambaOut.
#[derive(Debug, Clone, PartialEq)]
pub struct MambaOut {
    /// Blocks of the four stages.
    pub depths: [usize; 4],
    /// Channels of the four stages, the first an even number.
    pub dims: [usize; 4],
    /// Channels of the gate, and of what it gates, in the four stages.
    pub hidden: [usize; 4],
    /// How many of these are convolved, in the four stages.
    pub convolved: [usize; 4],
    /// The activation of stem and blocks; no tensor tells it in the "rw" form, where `Identity` stands for an unknown one.
    pub act: Act,
    /// timm's form.
    pub rw: bool,
}

impl Family for MambaOut {
    const NAME: &'static str = "mambaout";
    const CALLED: &'static [&'static str] = &["mambaout", "testmambaout"];
    const TERMS: &'static str = "published MambaOut weights: Apache-2.0; a fine-tune may differ";
    const ANCHORS: &'static [&'static str] = &["stages.0.blocks.0.fc1.weight", "stages.0.0.fc1.weight"];
    const HEAD: &'static str = "head.fc";
    const UNSEEN: &'static str = "the activation";
    const GAINS: &'static Gains = &Gains {
        ranges: &[("bias", (-0.3, 0.3))],
        layers: &[
            ("stem.conv2.weight", 1.4),
            ("downsample.conv.weight", 0.8),
            ("stem.conv1.weight", 1.0),
            ("conv.weight", 1.5),
            ("fc2.weight", 1.4),
            ("pre_logits.fc.weight", 1.2),
            ("head.fc.weight", 1.2),
        ],
    };

    fn presets() -> Vec<Preset> {
        PUBLISHED.iter().map(Row::preset).collect()
    }

    /// The names in the original repository's files.
    fn renamed(key: &str, has: Has<'_>) -> Option<String> {
        let is_number = |inner: &str| inner.split('.').next().is_some_and(|part| part.parse::<usize>().is_ok());
        match *key.splitn(3, '.').collect::<Vec<_>>() {
            ["downsample_layers", "0", inner] => Some(format!("stem.{inner}")),
            ["downsample_layers", stage, inner] => Some(format!("stages.{stage}.downsample.{inner}")),
            ["stages", stage, inner] if is_number(inner) => Some(format!("stages.{stage}.blocks.{inner}")),
            ["norm", end] => Some(format!("head.norm.{end}")),
            ["head", "fc1", end] => Some(format!("head.pre_logits.fc.{end}")),
            ["head", "norm", end] if has("head.fc1.weight") => Some(format!("head.pre_logits.norm.{end}")),
            ["head", "fc2", end] => Some(format!("head.fc.{end}")),
            _ => None,
        }
    }

    fn recognise(weights: &Weights) -> Option<Self> {
        let probe = |stage: usize, key: &str| format!("stages.{stage}.blocks.0.{key}");
        let rw = !weights.contains("stem.norm1.weight");
        Some(Self {
            depths: [0, 1, 2, 3].map(|stage| blocks(weights, &format!("stages.{stage}.blocks"), "fc1.weight")),
            dims: each_stage(&|stage| rows(weights, &probe(stage, "fc2.weight")))?,
            hidden: each_stage(&|stage| weights.shape(&probe(stage, "fc2.weight")).map(|shape| shape.last()))?,
            convolved: each_stage(&|stage| rows(weights, &probe(stage, "conv.weight")))?,
            act: if rw { Act::Identity } else { Act::Gelu },
            rw,
        })
    }

    fn seen(&self) -> Self {
        Self { act: if self.rw { Act::Identity } else { Act::Gelu }, ..self.clone() }
    }

    fn config(config: &Json, known: Option<&Self>) -> std::result::Result<Self, String> {
        // timm's keys.
        let name = said(config, "architecture")?.unwrap_or("");
        let row = PUBLISHED.iter().find(|row| row.name == name);
        let dims = required("dims", said(config, "dims")?, known.map(|known| known.dims))?;
        // What is known of other sizes says nothing of these.
        let same = known.filter(|known| known.dims == dims);
        let widths = |key: &str, known: Option<[usize; 4]>, usual: Option<f64>| {
            let of = |ratio: f64| dims.map(|dim| (ratio * dim as f64) as usize);
            required(key, said(config, key)?.map(of), known.or(usual.map(of)))
        };
        let hidden = same.map(|known| known.hidden);
        let convolved = same.map(|known| known.convolved);
        let act = said(config, "act_layer")?.map(named).transpose()?;
        Ok(Self {
            depths: required("depths", said(config, "depths")?, known.map(|known| known.depths))?,
            dims,
            hidden: widths("expansion_ratio", hidden, row.map(|row| row.expansion))?,
            convolved: widths("conv_ratio", convolved, row.map(|row| row.conv_ratio))?,
            act: required("act_layer", act.or_else(|| usual_act(name)), known.map(|known| known.act))?,
            rw: said::<bool>(config, "stem_mid_norm")?.map_or_else(|| known.map_or(is_rw(name), |known| known.rw), |norm| !norm),
        })
    }

    fn validate(&self) -> Result<()> {
        let bad = |reason: String| Err(Error::config("MambaOut", reason));
        if self.dims.iter().chain(&self.hidden).any(|n| !(1..=1 << 16).contains(n)) || !self.dims[0].is_multiple_of(2) {
            return bad(format!(
                "dims {:?} must be positive, the first even, and hidden widths {:?} too",
                self.dims, self.hidden
            ));
        }
        if self.depths.iter().any(|d| !(1..=1000).contains(d)) {
            return bad(format!("depths {:?} must be in 1..=1000", self.depths));
        }
        if self.convolved.iter().zip(&self.hidden).any(|(convolved, hidden)| *convolved == 0 || convolved > hidden) {
            return bad(format!("of hidden widths {:?} cannot be convolved {:?}", self.hidden, self.convolved));
        }
        if self.act == Act::Identity {
            return bad("the activation is not known: `act_layer` may be gelu or silu".to_owned());
        }
        Ok(())
    }

    fn build(&self, g: &mut Builder, r: &Reader) -> Result<Backbone> {
        self.graph(g, r)
    }
}

/// timm's name of an activation.
fn named(name: &str) -> std::result::Result<Act, String> {
    match name {
        "gelu" => Ok(Act::Gelu),
        "gelu_tanh" => Ok(Act::GeluTanh),
        "silu" | "swish" => Ok(Act::Silu),
        "relu" => Ok(Act::Relu),
        other => Err(format!("act_layer `{other}` is none of gelu, gelu_tanh, silu and relu")),
    }
}

fn is_rw(name: &str) -> bool {
    name.ends_with("_rw") || name == "test_mambaout"
}

/// What an architecture of this name has where nothing else is said.
fn usual_act(name: &str) -> Option<Act> {
    match PUBLISHED.iter().find(|row| row.name == name) {
        Some(row) => Some(row.act),
        None if name == "test_mambaout" => Some(Act::Silu),
        None => None,
    }
}

/// One line of the table of published variants.
struct Row {
    name: &'static str,
    depths: [usize; 4],
    dims: [usize; 4],
    expansion: f64,
    conv_ratio: f64,
    act: Act,
}

impl Row {
    fn preset(&self) -> Preset {
        let widths = |ratio: f64| self.dims.map(|dim| (ratio * dim as f64) as usize);
        let sizes = MambaOut {
            depths: self.depths,
            dims: self.dims,
            hidden: widths(self.expansion),
            convolved: widths(self.conv_ratio),
            act: self.act,
            rw: is_rw(self.name),
        };
        Preset { name: self.name, architecture: Architecture::new(sizes, 1000), preprocess: Preprocess::imagenet([224, 224]) }
    }
}

const TINY: Row = Row {
    name: "mambaout_tiny",
    depths: [3, 3, 9, 3],
    dims: [96, 192, 384, 576],
    expansion: 8.0 / 3.0,
    conv_ratio: 1.0,
    act: Act::Gelu,
};
const FEMTO: Row = Row { name: "mambaout_femto", dims: [48, 96, 192, 288], ..TINY };
const SMALL: Row = Row { name: "mambaout_small", depths: [3, 4, 27, 3], ..TINY };
const BASE: Row = Row { name: "mambaout_base", dims: [128, 256, 512, 768], ..SMALL };
const WIDE: Row = Row { name: "mambaout_base_wide_rw", expansion: 3.0, conv_ratio: 1.5, act: Act::Silu, ..BASE };

/// In this order a shape that fits several is taken for the first.
const PUBLISHED: [Row; 10] = [
    FEMTO,
    Row { name: "mambaout_kobe", depths: [3, 3, 15, 3], ..FEMTO },
    TINY,
    SMALL,
    BASE,
    Row { name: "mambaout_small_rw", ..SMALL },
    Row { name: "mambaout_base_short_rw", depths: [3, 3, 25, 3], expansion: 3.0, conv_ratio: 1.25, ..BASE },
    Row { name: "mambaout_base_tall_rw", depths: [3, 4, 30, 3], expansion: 2.5, conv_ratio: 1.25, ..BASE },
    WIDE,
    Row { name: "mambaout_base_plus_rw", depths: [3, 4, 30, 3], ..WIDE },
];
