//! VMamba (Liu et al., NeurIPS 2024): a pyramid of convolutional layers around scans in four directions over the map. In two generations:
//! the one that the paper reports, and the first, with a gate and 16 states, without MLPs.

mod graph;

use serde_json::Value as Json;

use crate::{
    error::{Error, Result},
    graph::{Builder, Value},
    image::Preprocess,
    models::{
        Architecture, Backbone, Family, Preset,
        family::{Has, blocks, each_stage, rows},
        keys::{required, said},
    },
    weights::{Gains, Reader, Weights},
};

/// Sizes of a VMamba.
#[derive(Debug, Clone, PartialEq)]
pub struct VMamba {
    /// Channels of the four stages, the first an even number.
    pub dims: [usize; 4],
    /// Blocks of the four stages.
    pub depths: [usize; 4],
    /// Channels that are scanned, in the four stages.
    pub inner: [usize; 4],
    /// Rank of the step sizes, in the four stages.
    pub rank: [usize; 4],
    /// Hidden channels of the MLPs of the four stages; none in the first generation.
    pub hidden: [usize; 4],
    /// States of a scan: 1, or 16 in the first generation.
    pub d_state: usize,
    /// The first generation.
    pub first: bool,
}

impl VMamba {
    /// Sizes that follow from the channels as in the published models.
    fn usual(dims: [usize; 4], depths: [usize; 4], ratio: f64, first: bool) -> Self {
        Self {
            dims,
            depths,
            inner: times(dims, ratio),
            rank: dims.map(|dim| dim.div_ceil(16)),
            hidden: if first { [0; 4] } else { dims.map(|dim| 4 * dim) },
            d_state: if first { 16 } else { 1 },
            first,
        }
    }
}

fn times(dims: [usize; 4], ratio: f64) -> [usize; 4] {
    dims.map(|dim| (dim as f64 * ratio) as usize)
}

impl Family for VMamba {
    const NAME: &'static str = "vmamba";
    const CALLED: &'static [&'static str] = &["vmamba", "vssm"];
    const TERMS: &'static str = "published VMamba weights: MIT; a fine-tune may differ";
    const ANCHORS: &'static [&'static str] =
        &["layers.0.blocks.0.op.x_proj_weight", "layers.0.blocks.0.self_attention.x_proj_weight"];
    const HEAD: &'static str = "classifier.head";
    const GAINS: &'static Gains = &Gains {
        layers: &[
            ("patch_embed.5.weight", 1.4),
            ("op.x_proj_weight", 1.4),
            ("op.dt_projs_weight", 0.6),
            ("op.in_proj.weight", 1.2),
            ("op.conv2d.weight", 1.3),
            ("mlp.fc1.weight", 1.2),
            ("mlp.fc2.weight", 1.5),
            ("downsample.1.weight", 0.6),
            ("downsample.reduction.weight", 1.2),
        ],
        ranges: &[
            ("A_logs", (-1.6, 2.08)),
            ("Ds", (0.5, 1.5)),
            ("dt_projs_bias", (-5.0, -1.5)),
            ("head.bias", (-0.5, 0.5)),
            ("bias", (-0.3, 0.3)),
        ],
    };

    fn presets() -> Vec<Preset> {
        let preset = |(name, dim, blocks, ratio, first): (_, usize, usize, f64, bool)| {
            let sizes = Self::usual([0, 1, 2, 3].map(|stage| dim << stage), [2, 2, blocks, 2], ratio, first);
            Preset { name, architecture: Architecture::new(sizes, 1000), preprocess: Self::preprocess() }
        };
        let dense = |(name, place): (_, usize)| preset(PUBLISHED[place]).upernet(name, 512);
        PUBLISHED.into_iter().map(preset).chain(DENSE.into_iter().map(dense)).collect()
    }

    fn preprocess() -> Preprocess {
        Preprocess { crop_pct: 0.875, ..Preprocess::imagenet([224, 224]) }
    }

    /// Names of older files, as the authors' loader maps them.
    fn renamed(key: &str, _: Has<'_>) -> Option<String> {
        for (from, to) in [
            ("patch_embed.proj.", "patch_embed.0."),
            ("patch_embed.norm.", "patch_embed.2."),
            ("norm.", "classifier.norm."),
            ("head.", "classifier.head."),
        ] {
            if let Some(rest) = key.strip_prefix(from) {
                return Some(format!("{to}{rest}"));
            }
        }
        let renamed = key.replace(".ln_1.", ".norm.").replace(".self_attention.", ".op.");
        (key.starts_with("layers.") && renamed != key).then_some(renamed)
    }

    fn recognise(weights: &Weights) -> Option<Self> {
        let each =
            |f: &dyn Fn(&str) -> Option<usize>, key: &str| each_stage(&|stage| f(&format!("layers.{stage}.blocks.0.{key}")));
        let height = |key: &str| rows(weights, key);
        let last = |key: &str| weights.shape(key).map(|shape| shape.last());
        let inner = each(&height, "op.conv2d.weight")?;
        let rank = weights.shape("layers.0.blocks.0.op.dt_projs_weight")?;
        // A rank of one may be stored without its axis.
        let ranked = |key: &str| weights.shape(key).map(|shape| shape.dims().get(2).copied().unwrap_or(1));
        let state = weights.shape("layers.0.blocks.0.op.A_logs")?;
        Some(Self {
            dims: each(&height, "norm.weight")?,
            depths: [0, 1, 2, 3].map(|stage| blocks(weights, &format!("layers.{stage}.blocks"), "norm.weight")),
            inner,
            rank: each(&ranked, "op.dt_projs_weight").filter(|_| rank.rank() >= 2)?,
            hidden: each(&height, "mlp.fc1.weight").unwrap_or_default(),
            d_state: if state.rank() == 2 { last("layers.0.blocks.0.op.A_logs")? } else { 1 },
            first: rows(weights, "layers.0.blocks.0.op.in_proj.weight")? == 2 * inner[0],
        })
    }

    fn config(config: &Json, known: Option<&Self>) -> std::result::Result<Self, String> {
        let pyramid = |dim: usize| Some([dim, dim.checked_mul(2)?, dim.checked_mul(4)?, dim.checked_mul(8)?]);
        // The channels of all stages, or of the first.
        let first = |key: &str| Ok::<_, String>(said(config, key)?.and_then(pyramid));
        let channels = match config.get("dims") {
            Some(Json::Array(_)) => said(config, "dims")?,
            Some(_) => first("dims")?,
            None => first("embed_dim")?,
        };
        let dims = required("dims", channels, known.map(|known| known.dims))?;
        let depths = required("depths", said(config, "depths")?, known.map(|known| known.depths))?;
        let first = match said(config, "forward_type")? {
            Some("v0") => true,
            Some("v05_noz") => false,
            Some(other) => return Err(format!("forward_type `{other}` is none of `v05_noz` and `v0`")),
            None => known.is_some_and(|known| known.first),
        };
        // What is known of other sizes says nothing of these.
        let same = known.filter(|known| known.dims == dims);
        let inner = said(config, "ssm_ratio")?.map(|ratio| times(dims, ratio));
        let usual = Self::usual(dims, depths, 1.0, first);
        let rank = match config.get("ssm_dt_rank") {
            Some(Json::Number(rank)) => rank.as_u64().map(|rank| [rank as usize; 4]),
            Some(Json::String(_)) => Some(usual.rank),
            _ => None,
        };
        let hidden = said(config, "mlp_ratio")?.map(|ratio| times(dims, ratio));
        Ok(Self {
            inner: required("ssm_ratio", inner, same.map(|known| known.inner))?,
            rank: rank.or(same.map(|known| known.rank)).unwrap_or(usual.rank),
            hidden: hidden.or(same.map(|known| known.hidden)).unwrap_or(usual.hidden),
            d_state: said(config, "ssm_d_state")?.or(known.map(|known| known.d_state)).unwrap_or(usual.d_state),
            ..usual
        })
    }

    fn validate(&self) -> Result<()> {
        let bad = |reason: String| Err(Error::config("VMamba", reason));
        let positive = self.dims.iter().chain(&self.inner).chain(&self.rank).all(|n| (1..=1 << 16).contains(n));
        if !positive || !self.dims[0].is_multiple_of(2) {
            return bad(format!(
                "dims {:?}, the first even, inner widths {:?} and ranks {:?} must be positive",
                self.dims, self.inner, self.rank
            ));
        }
        if self.depths.iter().any(|d| !(1..=1000).contains(d)) {
            return bad(format!("depths {:?} must be in 1..=1000", self.depths));
        }
        if !(1..=64).contains(&self.d_state) {
            return bad(format!("ssm_d_state {} must be in 1..=64", self.d_state));
        }
        if self.first != (self.hidden == [0; 4]) || self.hidden.iter().any(|n| *n > 1 << 18) {
            return bad(format!("hidden widths {:?} of MLPs: all but the first generation have them", self.hidden));
        }
        Ok(())
    }

    fn build(&self, g: &mut Builder, r: &Reader) -> Result<Backbone> {
        self.graph(g, r)
    }

    fn maps(&self, g: &mut Builder, r: &Reader) -> Result<Vec<Value>> {
        self.stages(g, r)
    }
}

/// Names, channels of the first stage, blocks of the third, scanned channels over channels, and whether it is of the first generation.
const PUBLISHED: [(&str, usize, usize, f64, bool); 9] = [
    ("vmamba_t_s1l8", 96, 8, 1.0, false),
    ("vmamba_t_s2l5", 96, 5, 2.0, false),
    ("vmamba_s_s2l15", 96, 15, 2.0, false),
    ("vmamba_s_s1l20", 96, 20, 1.0, false),
    ("vmamba_b_s2l15", 128, 15, 2.0, false),
    ("vmamba_b_s1l20", 128, 20, 1.0, false),
    ("vmamba_t_v0", 96, 9, 2.0, true),
    ("vmamba_s_v0", 96, 27, 2.0, true),
    ("vmamba_b_v0", 128, 27, 2.0, true),
];

/// Names of dense models, and the places of their backbones among those.
const DENSE: [(&str, usize); 3] = [("vmamba_t_s1l8_upernet", 0), ("vmamba_s_s2l15_upernet", 2), ("vmamba_b_s2l15_upernet", 4)];
