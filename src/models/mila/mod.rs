//! MILA, also called MLLA (Han et al., NeurIPS 2024): Mamba's macro design around linear attention with rotary embedding.

mod graph;

pub(super) use graph::{conv_stem, patch_merging, tokens};

use serde_json::Value as Json;

use crate::{
    error::{Error, Result},
    graph::{Builder, Value},
    image::Preprocess,
    models::{
        Architecture, Backbone, Family, Preset, Unified,
        family::{Has, blocks, rows, rows_over},
        keys::{required, said},
    },
    weights::{Gains, Reader, Weights},
};

/// Sizes of a MILA.
#[derive(Debug, Clone, PartialEq)]
pub struct Mila {
    /// Channels of the first stage; they double from stage to stage. A multiple of 4.
    pub embed_dim: usize,
    /// Blocks of the four stages.
    pub depths: [usize; 4],
    /// Heads of the four stages.
    pub num_heads: [usize; 4],
    /// Hidden channels of an MLP over its channels.
    pub mlp_ratio: f64,
    /// The q, k projection has a bias (true).
    pub qkv_bias: bool,
}

impl Mila {
    fn channels(&self, stage: usize) -> usize {
        self.embed_dim << stage
    }
}

impl Family for Mila {
    const NAME: &'static str = "mila";
    const CALLED: &'static [&'static str] = &["mila", "mlla"];
    const TERMS: &'static str = "published MILA weights: no licence is stated by the authors; a fine-tune may differ";
    const ANCHORS: &'static [&'static str] = &["patch_embed.conv1.conv.weight", "layers.0.blocks.0.act_proj.weight"];
    const UNSEEN: &'static str = "heads";
    /// Upstream pads maps of odd sizes within its reductions, which multiples of the stride have none of.
    const MULTIPLE: usize = 32;
    const GAINS: &'static Gains = Unified::GAINS;

    fn presets() -> Vec<Preset> {
        let preset = |(name, embed_dim, depths, num_heads)| {
            let sizes = Self { embed_dim, depths, num_heads, mlp_ratio: 4.0, qkv_bias: true };
            Preset { name, architecture: Architecture::new(sizes, 1000), preprocess: Self::preprocess() }
        };
        let dense = PUBLISHED.into_iter().skip(2).map(preset).map(|base| base.upernet("mila_b_upernet", 512));
        PUBLISHED.into_iter().map(preset).chain(dense).collect()
    }

    fn preprocess() -> Preprocess {
        Preprocess { crop_pct: 0.875, ..Preprocess::imagenet([224, 224]) }
    }

    /// Dense models call the norms behind their stages otherwise than the other families'.
    fn renamed(key: &str, _: Has<'_>) -> Option<String> {
        let stage = key.strip_prefix("norm")?.chars().next()?;
        stage.is_ascii_digit().then(|| format!("out{key}"))
    }

    fn recognise(weights: &Weights) -> Option<Self> {
        let embed_dim = rows(weights, "patch_embed.conv3.1.conv.weight")?;
        if weights.contains("layers.0.blocks.0.attn.qk.weight") && !weights.contains("layers.0.blocks.0.cpe1.weight") {
            return None;
        }
        Some(Self {
            embed_dim,
            depths: [0, 1, 2, 3].map(|stage| blocks(weights, &format!("layers.{stage}.blocks"), "cpe1.weight")),
            num_heads: [0; 4],
            mlp_ratio: rows_over(weights, "layers.0.blocks.0.mlp.fc1.weight", embed_dim).unwrap_or(4.0),
            qkv_bias: weights.contains("layers.0.blocks.0.attn.qk.bias"),
        })
    }

    fn seen(&self) -> Self {
        Self { num_heads: [0; 4], ..self.clone() }
    }

    fn config(config: &Json, known: Option<&Self>) -> std::result::Result<Self, String> {
        Ok(Self {
            embed_dim: required("embed_dim", said(config, "embed_dim")?, known.map(|known| known.embed_dim))?,
            depths: required("depths", said(config, "depths")?, known.map(|known| known.depths))?,
            num_heads: required("num_heads", said(config, "num_heads")?, known.map(|known| known.num_heads))?,
            mlp_ratio: said(config, "mlp_ratio")?.unwrap_or_else(|| known.map_or(4.0, |known| known.mlp_ratio)),
            qkv_bias: said(config, "qkv_bias")?.unwrap_or_else(|| known.is_none_or(|known| known.qkv_bias)),
        })
    }

    fn validate(&self) -> Result<()> {
        let bad = |reason: String| Err(Error::config("MILA", reason));
        if self.embed_dim == 0 || !self.embed_dim.is_multiple_of(4) || self.embed_dim > 1 << 14 {
            return bad(format!("embed_dim {} must be a positive multiple of 4", self.embed_dim));
        }
        if self.depths.iter().any(|d| !(1..=1000).contains(d)) {
            return bad(format!("depths {:?} must be in 1..=1000", self.depths));
        }
        for (stage, heads) in self.num_heads.into_iter().enumerate() {
            let channels = self.channels(stage);
            if heads == 0 || !channels.is_multiple_of(4 * heads) {
                return bad(format!(
                    "num_heads[{stage}] = {heads} does not split {channels} channels into heads of a multiple of 4"
                ));
            }
        }
        if !(self.mlp_ratio > 0.0 && self.mlp_ratio <= 64.0) {
            return bad(format!("mlp_ratio {} is not in (0, 64]", self.mlp_ratio));
        }
        Ok(())
    }

    fn build(&self, g: &mut Builder, r: &Reader) -> Result<Backbone> {
        self.graph(g, r)
    }

    fn maps(&self, g: &mut Builder, r: &Reader) -> Result<Vec<Value>> {
        self.stages(g, r)
    }

    /// Rotation tables are made for any resolution.
    fn unused(key: &str) -> bool {
        key.ends_with("rope.rotations")
    }
}

/// Names, channels, blocks and heads.
const PUBLISHED: [(&str, usize, [usize; 4], [usize; 4]); 3] = [
    ("mila_t", 64, [2, 4, 8, 4], [2, 4, 8, 16]),
    ("mila_s", 64, [3, 6, 21, 6], [2, 4, 8, 16]),
    ("mila_b", 96, [3, 6, 21, 6], [3, 6, 12, 24]),
];
