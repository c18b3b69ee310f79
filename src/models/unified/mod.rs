//! The family between linear attention and Mamba (Han et al., NeurIPS 2024, "Demystify Mamba in Vision: A Linear Attention Perspective"):
//! the paper's six differences as switches of one model, and its position encodings in place of the forget gate. MILA and a network of
//! Mamba's blocks are members. The networks of the paper's ablations were never published: the presets have their sizes.

mod graph;
mod said;

use serde_json::Value as Json;

use crate::{
    error::{Error, Result},
    graph::Builder,
    image::Preprocess,
    models::{
        Architecture, Backbone, Family, Preset,
        family::{blocks, rows, rows_over},
    },
    weights::{Gains, Reader, Weights},
};

/// What is around the attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// Attention, then an MLP.
    Transformer,
    /// A convolution before the attention and a gate behind it, then an MLP.
    Mila,
    /// As MILA's, without the MLP.
    Mamba,
}

/// Sizes and switches of a member.
#[derive(Debug, Clone, PartialEq)]
pub struct Unified {
    /// Height and width that the positions of `ape` are for.
    pub image_size: [usize; 2],
    /// Channels of the first stage; they double from stage to stage.
    pub embed_dim: usize,
    /// Blocks of the stages.
    pub depths: Vec<usize>,
    /// Heads of the stages.
    pub num_heads: Vec<usize>,
    /// Hidden channels of an MLP over its channels.
    pub mlp_ratio: f64,
    /// The q, k projection has a bias.
    pub qkv_bias: bool,
    /// MILA's stem of convolutions instead of patches.
    pub conv_stem: bool,
    /// MILA's convolutions between stages instead of merged patches.
    pub conv_downsample: bool,
    /// What is around the attention.
    pub block: Block,
    /// Channels of the attention over those of the stage.
    pub expand: usize,
    /// What a token adds to the state is multiplied by its step size.
    pub input_gate: bool,
    /// The state decays from token to token.
    pub forget_gate: bool,
    /// Values are added to the result, times a factor a channel.
    pub shortcut: bool,
    /// The result is a weighted mean.
    pub normalization: bool,
    /// Queries and keys of every head, rather than one for all.
    pub multi_head: bool,
    /// Channels of a query, with a single head; else as many as a head has.
    pub head_dim: Option<usize>,
    /// Rank of the step sizes; else a sixteenth of the channels.
    pub dt_rank: Option<usize>,
    /// Queries and keys are ELU + 1, rather than as they are.
    pub elu: bool,
    /// A token sees those before it, rather than all.
    pub causal: bool,
    /// Positions are added at the start of every block.
    pub ape: bool,
    /// A depthwise convolution of the values is added to the result.
    pub lepe: bool,
    /// Depthwise convolutions are added before the attention and before the MLP.
    pub cpe: bool,
    /// Queries and keys are rotated by their place in the map.
    pub rope: bool,
    /// Base of the angles.
    pub rope_base: f64,
}

impl Default for Unified {
    /// The paper's baseline: linear attention with Swin-T's sizes.
    fn default() -> Self {
        Self {
            image_size: [SIDE; 2],
            embed_dim: 96,
            depths: vec![2, 2, 6, 2],
            num_heads: vec![3, 6, 12, 24],
            mlp_ratio: 4.0,
            qkv_bias: true,
            conv_stem: false,
            conv_downsample: false,
            block: Block::Transformer,
            expand: 1,
            input_gate: false,
            forget_gate: false,
            shortcut: false,
            normalization: true,
            multi_head: true,
            head_dim: None,
            dt_rank: None,
            elu: true,
            causal: false,
            ape: false,
            lepe: false,
            cpe: false,
            rope: false,
            rope_base: 10_000.0,
        }
    }
}

/// Side of the images that the presets are for.
const SIDE: usize = 224;

/// States a channel, at most, where tokens are scanned.
const MOST_STATES: usize = 128;

impl Unified {
    fn channels(&self, stage: usize) -> usize {
        self.embed_dim << stage
    }

    /// Channels of the attention.
    fn inner(&self, stage: usize) -> usize {
        self.channels(stage) * self.expand
    }

    /// Groups of queries and keys.
    fn groups(&self, stage: usize) -> usize {
        if self.multi_head { self.num_heads[stage] } else { 1 }
    }

    /// Channels of a query.
    fn query(&self, stage: usize) -> usize {
        let head = self.inner(stage) / self.num_heads[stage].max(1);
        if self.multi_head { head } else { self.head_dim.unwrap_or(head) }
    }

    fn rank(&self, stage: usize) -> usize {
        self.dt_rank.unwrap_or(self.channels(stage).div_ceil(16))
    }
}

impl Family for Unified {
    const NAME: &'static str = "unified";
    const CALLED: &'static [&'static str] = &["mambalinearattention", "unified"];
    const TERMS: &'static str = "no weights of this family are published";
    const ANCHORS: &'static [&'static str] = &["layers.0.blocks.0.attn.qk.weight"];
    const UNSEEN: &'static str = "heads, normalisation, rotation and feature map";
    const GENERAL: bool = true;
    /// MILA's as well.
    const GAINS: &'static Gains = &Gains {
        layers: &[
            ("conv1.conv.weight", 1.0),
            ("conv3.0.conv.weight", 1.2),
            ("downsample.conv.0.conv.weight", 0.5),
            ("conv.weight", 1.4),
            ("cpe1.weight", 0.2),
            ("cpe2.weight", 0.2),
            ("in_proj.weight", 1.2),
            ("act_proj.weight", 1.2),
            ("dwc.weight", 1.3),
            ("qk.weight", 2.0),
            ("attn.v.weight", 1.4),
            ("dt_in.weight", 1.5),
            ("lepe.weight", 0.7),
            ("out_proj.weight", 3.0),
            ("mlp.fc1.weight", 1.2),
            ("mlp.fc2.weight", 1.5),
            ("downsample.reduction.weight", 1.2),
            ("head.weight", 0.6),
        ],
        ranges: &[("A_log", (-3.0, 1.0)), ("dt_proj.bias", (-2.0, 0.5)), ("ape", (-0.8, 0.8))],
    };

    fn presets() -> Vec<Preset> {
        let t = Self::default;
        let mila = Self {
            embed_dim: 64,
            depths: vec![2, 4, 8, 4],
            num_heads: vec![2, 4, 8, 16],
            conv_stem: true,
            conv_downsample: true,
            block: Block::Mila,
            cpe: true,
            lepe: true,
            rope: true,
            ..t()
        };
        let mamba = Self {
            depths: vec![4, 4, 12, 4],
            block: Block::Mamba,
            expand: 2,
            input_gate: true,
            forget_gate: true,
            causal: true,
            shortcut: true,
            normalization: false,
            multi_head: false,
            head_dim: Some(16),
            elu: false,
            ..t()
        };
        let all = [
            ("unified_t", t()),
            ("unified_t_input_gate", Self { input_gate: true, ..t() }),
            ("unified_t_forget_gate", Self { forget_gate: true, causal: true, ..t() }),
            ("unified_t_shortcut", Self { shortcut: true, ..t() }),
            ("unified_t_no_normalization", Self { normalization: false, ..t() }),
            ("unified_t_single_head", Self { multi_head: false, ..t() }),
            ("unified_t_block", Self { block: Block::Mila, ..t() }),
            ("unified_t_ape", Self { ape: true, ..t() }),
            ("unified_t_lepe", Self { lepe: true, ..t() }),
            ("unified_t_cpe", Self { cpe: true, ..t() }),
            ("unified_t_rope", Self { rope: true, ..t() }),
            ("unified_t_mila", mila),
            ("unified_t_mamba", mamba),
        ];
        let preset =
            |(name, sizes)| Preset { name, architecture: Architecture::new(sizes, 1000), preprocess: Self::preprocess() };
        all.into_iter().map(preset).collect()
    }

    fn preprocess() -> Preprocess {
        Preprocess { crop_pct: 0.875, ..Preprocess::imagenet([SIDE; 2]) }
    }

    fn recognise(weights: &Weights) -> Option<Self> {
        let first = |key: &str| format!("layers.0.blocks.0.{key}");
        let has = |key: &str| weights.contains(&first(key));
        let conv_stem = weights.contains("patch_embed.conv3.1.conv.weight");
        let embed_dim = rows(weights, if conv_stem { "patch_embed.conv3.1.conv.weight" } else { "patch_embed.proj.weight" })?;
        let depths: Vec<usize> =
            (0..MOST_STAGES).map(|stage| blocks(weights, &format!("layers.{stage}.blocks"), "attn.qk.weight")).collect();
        let depths: Vec<usize> = depths.into_iter().take_while(|depth| *depth > 0).collect();
        let mlp_ratio = rows_over(weights, &first("mlp.fc1.weight"), embed_dim);
        let forget_gate = has("attn.A_log");
        let sizes = Self {
            embed_dim,
            num_heads: vec![0; depths.len()],
            depths,
            mlp_ratio: mlp_ratio.unwrap_or(4.0),
            qkv_bias: has("attn.qk.bias"),
            conv_stem,
            conv_downsample: weights.contains("layers.0.downsample.conv.0.conv.weight"),
            block: match (has("act_proj.weight"), mlp_ratio) {
                (false, _) => Block::Transformer,
                (true, Some(_)) => Block::Mila,
                (true, None) => Block::Mamba,
            },
            expand: rows(weights, &first("in_proj.weight")).map_or(1, |inner| inner / embed_dim.max(1)),
            input_gate: has("attn.dt_in.weight"),
            forget_gate,
            causal: forget_gate,
            shortcut: has("attn.D"),
            multi_head: false,
            head_dim: rows(weights, &first("attn.qk.weight")).map(|rows| rows / 2),
            dt_rank: rows(weights, &first("attn.dt_in.weight")),
            ape: has("ape"),
            lepe: has("attn.lepe.weight"),
            cpe: has("cpe1.weight"),
            ..Self::default()
        };
        Some(sizes)
    }

    /// As [`Family::recognise`] leaves it: queries as wide as the first stage's are together, and what needs step sizes taken to have
    /// an input gate.
    fn seen(&self) -> Self {
        let (gated, stages) = (self.input_gate || self.forget_gate, self.depths.len());
        let known = self.num_heads.first().is_some_and(|heads| *heads > 0);
        Self {
            image_size: [SIDE; 2],
            num_heads: vec![0; stages],
            mlp_ratio: if self.block == Block::Mamba { 4.0 } else { self.mlp_ratio },
            input_gate: gated,
            causal: self.forget_gate,
            normalization: true,
            multi_head: false,
            head_dim: if known { Some(self.groups(0) * self.query(0)) } else { self.head_dim },
            dt_rank: if gated { Some(self.rank(0)) } else { None },
            elu: true,
            rope: false,
            rope_base: 10_000.0,
            ..self.clone()
        }
    }

    fn config(config: &Json, _known: Option<&Self>) -> std::result::Result<Self, String> {
        said::sizes(config)
    }

    fn validate(&self) -> Result<()> {
        self.fits().map_err(|reason| Error::config("a model between linear attention and Mamba", reason))
    }

    fn build(&self, g: &mut Builder, r: &Reader) -> Result<Backbone> {
        self.graph(g, r)
    }

    /// Rotation tables are made for any resolution.
    fn unused(key: &str) -> bool {
        key.ends_with("rope.rotations")
    }
}

/// More than anything has.
const MOST_STAGES: usize = 8;

impl Unified {
    /// What contradicts itself.
    fn fits(&self) -> std::result::Result<(), String> {
        let (stages, even) = (self.depths.len(), if self.conv_stem { 2 } else { 1 });
        if !(1..=1 << 14).contains(&self.embed_dim) || !self.embed_dim.is_multiple_of(even) {
            return Err(format!("embed_dim {} must be positive, and even for a stem of convolutions", self.embed_dim));
        }
        if !(1..=MOST_STAGES).contains(&stages) || stages != self.num_heads.len() {
            return Err(format!(
                "depths {:?} and num_heads {:?} must speak of the same 1 to {MOST_STAGES} stages",
                self.depths, self.num_heads
            ));
        }
        if self.depths.iter().any(|depth| !(1..=1000).contains(depth)) {
            return Err(format!("depths {:?} must be in 1..=1000", self.depths));
        }
        if !(self.mlp_ratio > 0.0 && self.mlp_ratio <= 64.0 && (1..=16).contains(&self.expand)) {
            return Err(format!("mlp_ratio {} must be in (0, 64], and expand {} in 1..=16", self.mlp_ratio, self.expand));
        }
        if self.block == Block::Transformer && self.expand != 1 {
            return Err(format!("a transformer block is as wide as its stage: expand must be 1, not {}", self.expand));
        }
        if self.forget_gate && !self.causal {
            return Err("a forget gate works from token to token: `causal` must not be false with it".to_owned());
        }
        if self.normalization && !self.elu {
            return Err("a normaliser needs positive queries and keys: `feature_map` must be `elu1` with it".to_owned());
        }
        if self.dt_rank.is_some_and(|rank| !(1..=1 << 12).contains(&rank)) || !(1.0..=1e9).contains(&self.rope_base) {
            return Err(format!("dt_rank {:?} must be in 1..=4096, and rope_base {} at least 1", self.dt_rank, self.rope_base));
        }
        if self.ape && self.image_size.iter().any(|side| !(4..=1 << 14).contains(side)) {
            return Err(format!("the positions of `ape` are for an image_size of at least 4, not {:?}", self.image_size));
        }
        for stage in 0..stages {
            let (heads, inner) = (self.num_heads[stage], self.inner(stage));
            if heads == 0 || !inner.is_multiple_of(heads) {
                return Err(format!("num_heads[{stage}] = {heads} does not split {inner} channels"));
            }
            let (groups, query) = (self.groups(stage), self.query(stage));
            if self.causal && !(1..=MOST_STATES).contains(&query) {
                return Err(format!(
                    "queries of {query} channels in stage {stage}: scans have 1 to {MOST_STATES}; more heads or `head_dim` would do"
                ));
            }
            if !self.causal && (query == 0 || !query.is_multiple_of(4) || !(inner / groups).is_multiple_of(4)) {
                return Err(format!(
                    "num_heads[{stage}] = {heads} makes queries of {query} channels for {} values: both must be multiples of 4, \
                     as nothing is scanned",
                    inner / groups
                ));
            }
            if self.rope && !(groups * query).is_multiple_of(4) {
                return Err(format!("`rope` turns a multiple of 4 channels, not the {} of stage {stage}", groups * query));
            }
        }
        Ok(())
    }
}
