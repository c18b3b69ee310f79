//! MambaVision (Hatamizadeh and Kautz, CVPR 2025): two convolutional stages, then two of Mamba mixers and windowed attention.
//!
//! Written from the paper's equations. What the paper leaves open is as in the published checkpoints: the bias of `dt_proj` acts
//! twice (in the projection and before the softplus), the 1-D convolutions are centred and have no bias, and the branch without
//! a scan is concatenated instead of being a gate.

mod graph;

use serde_json::Value as Json;

use crate::{
    error::{Error, Result},
    graph::{Builder, Value},
    image::{CropMode, Preprocess},
    models::{
        Architecture, Backbone, Family, Preset,
        family::{blocks, rows, rows_over},
        keys::{required, said},
    },
    weights::{Gains, Reader, Weights},
};

/// Sizes of a MambaVision.
#[derive(Debug, Clone, PartialEq)]
pub struct MambaVision {
    /// Channels of the first stage; they double from stage to stage.
    pub dim: usize,
    /// Channels inside the stem.
    pub in_dim: usize,
    /// Blocks of the four stages.
    pub depths: [usize; 4],
    /// Attention heads of the four stages (the first two have none and ignore it).
    pub num_heads: [usize; 4],
    /// Side of a window in the four stages (the first two have none and ignore it).
    pub window_size: [usize; 4],
    /// Hidden channels of an MLP over its channels.
    pub mlp_ratio: f64,
    /// Vectors `gamma_1` and `gamma_2` scale the branches of the blocks of stages 3 and 4.
    pub layer_scale: bool,
    /// A vector `gamma` scales the branches of the convolution blocks.
    pub layer_scale_conv: bool,
    /// States of a scan (8 in all published models).
    pub d_state: usize,
    /// Width of the 1-D convolutions (3).
    pub d_conv: usize,
    /// Inner channels of a mixer over its channels (1).
    pub expand: usize,
    /// Attention projections have a bias (true).
    pub qkv_bias: bool,
}

impl MambaVision {
    /// Channels of stage `i`.
    fn channels(&self, i: usize) -> usize {
        self.dim << i
    }

    /// The first half of a stage's blocks are Mamba mixers (of an odd number the larger half), the rest attention.
    fn is_mamba(&self, stage: usize, block: usize) -> bool {
        block < self.depths[stage].div_ceil(2)
    }
}

impl Family for MambaVision {
    const NAME: &'static str = "mambavision";
    const CALLED: &'static [&'static str] = &["mambavision"];
    const TERMS: &'static str = "published MambaVision weights: CC BY-NC-SA 4.0 (NVIDIA), non-commercial; a fine-tune may differ";
    const ANCHORS: &'static [&'static str] = &["patch_embed.conv_down.0.weight", "levels.0.blocks.0.conv1.weight"];
    const UNSEEN: &'static str = "heads and windows";
    const GAINS: &'static Gains = &Gains {
        ranges: &[],
        layers: &[
            ("conv_down.3.weight", 1.4),
            ("conv1.weight", 1.2),
            ("conv2.weight", 1.5),
            ("reduction.0.weight", 0.6),
            ("mixer.in_proj.weight", 1.0),
            ("mixer.x_proj.weight", 2.0),
            ("mixer.dt_proj.weight", 0.6),
            ("mixer.out_proj.weight", 1.5),
            ("mixer.qkv.weight", 1.3),
            ("mixer.proj.weight", 1.5),
            ("mlp.fc1.weight", 1.2),
            ("mlp.fc2.weight", 1.5),
            ("head.weight", 0.6),
        ],
    };

    fn presets() -> Vec<Preset> {
        let dense = DENSE.iter().map(|row| row.preset().upernet(row.name, row.size));
        PUBLISHED.iter().map(Row::preset).chain(dense).collect()
    }

    fn recognise(weights: &Weights) -> Option<Self> {
        let depths = [0, 1, 2, 3].map(|stage| blocks(weights, &format!("levels.{stage}.blocks"), "norm1.weight"));
        let (dim, in_dim) = (rows(weights, "levels.0.blocks.0.conv1.weight")?, rows(weights, "patch_embed.conv_down.0.weight")?);
        let mixer = |key: &str| weights.shape(&format!("levels.2.blocks.0.mixer.{key}")).map(|shape| shape.last());
        let unbiased = |stage: usize| {
            let qkv = format!("levels.{stage}.blocks.{}.mixer.qkv", depths[stage].saturating_sub(1));
            weights.contains(&format!("{qkv}.weight")) && !weights.contains(&format!("{qkv}.bias"))
        };
        Some(Self {
            dim,
            in_dim,
            depths,
            num_heads: [0; 4],
            window_size: [0; 4],
            mlp_ratio: rows_over(weights, "levels.2.blocks.0.mlp.fc1.weight", dim * 4).unwrap_or(4.0),
            layer_scale: weights.contains("levels.2.blocks.0.gamma_1"),
            layer_scale_conv: weights.contains("levels.0.blocks.0.gamma"),
            d_state: mixer("A_log").unwrap_or(8),
            d_conv: mixer("conv1d_x.weight").unwrap_or(3),
            expand: rows_over(weights, "levels.2.blocks.0.mixer.in_proj.weight", dim * 4).map_or(1, |ratio| ratio as usize),
            qkv_bias: !unbiased(2) && !unbiased(3),
        })
    }

    fn seen(&self) -> Self {
        Self { num_heads: [0; 4], window_size: [0; 4], ..self.clone() }
    }

    fn config(config: &Json, known: Option<&Self>) -> std::result::Result<Self, String> {
        macro_rules! optional {
            ($key:ident, $usual:expr) => {
                said(config, stringify!($key))?.unwrap_or_else(|| known.map_or($usual, |known| known.$key))
            };
        }
        Ok(Self {
            dim: required("dim", said(config, "dim")?, known.map(|known| known.dim))?,
            in_dim: required("in_dim", said(config, "in_dim")?, known.map(|known| known.in_dim))?,
            depths: required("depths", said(config, "depths")?, known.map(|known| known.depths))?,
            num_heads: required("num_heads", said(config, "num_heads")?, known.map(|known| known.num_heads))?,
            window_size: required("window_size", said(config, "window_size")?, known.map(|known| known.window_size))?,
            mlp_ratio: optional!(mlp_ratio, 4.0),
            layer_scale: switch(config.get("layer_scale"), known.is_some_and(|known| known.layer_scale)),
            layer_scale_conv: switch(config.get("layer_scale_conv"), known.is_some_and(|known| known.layer_scale_conv)),
            d_state: optional!(d_state, 8),
            d_conv: optional!(d_conv, 3),
            expand: optional!(expand, 1),
            qkv_bias: optional!(qkv_bias, true),
        })
    }

    fn validate(&self) -> Result<()> {
        let bad = |reason: String| Err(Error::config("MambaVision", reason));
        if self.dim == 0 || self.in_dim == 0 || self.depths.contains(&0) {
            return bad(format!("dim {}, in_dim {} and depths {:?} must be positive", self.dim, self.in_dim, self.depths));
        }
        if self.dim > 1 << 14 || self.in_dim > 1 << 14 || self.depths.iter().any(|d| *d > 1000) {
            return bad(format!("dim {}, in_dim {} or depths {:?} are beyond all reason", self.dim, self.in_dim, self.depths));
        }
        for stage in 2..4 {
            let (channels, heads) = (self.channels(stage), self.num_heads[stage]);
            if heads == 0 || channels % heads != 0 {
                return bad(format!("num_heads[{stage}] = {heads} does not divide {channels} channels"));
            }
            if !(1..=1024).contains(&self.window_size[stage]) {
                return bad(format!("window_size[{stage}] = {} is not in 1..=1024", self.window_size[stage]));
            }
        }
        if !(1..=64).contains(&self.d_state)
            || self.expand == 0
            || self.expand > 16
            || !(self.channels(2) * self.expand).is_multiple_of(2)
        {
            return bad(format!("d_state {} or expand {} is not supported", self.d_state, self.expand));
        }
        if self.d_conv.is_multiple_of(2) || self.d_conv > 31 {
            return bad(format!("d_conv {} must be odd: the convolution is centred", self.d_conv));
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
}

/// Layer scale is written as its initial value, a flag, or nothing.
fn switch(value: Option<&Json>, known: bool) -> bool {
    match value {
        Some(Json::Bool(on)) => *on,
        Some(Json::Number(initial)) => initial.as_f64() != Some(0.0),
        _ => known,
    }
}

/// One line of the table of published variants.
struct Row {
    name: &'static str,
    depths: [usize; 4],
    dim: usize,
    in_dim: usize,
    heads: [usize; 4],
    windows: [usize; 4],
    layer_scale: bool,
    size: usize,
    crop_pct: f64,
    crop_mode: CropMode,
}

impl Row {
    fn preset(&self) -> Preset {
        let sizes = MambaVision {
            dim: self.dim,
            in_dim: self.in_dim,
            depths: self.depths,
            num_heads: self.heads,
            window_size: self.windows,
            mlp_ratio: 4.0,
            layer_scale: self.layer_scale,
            layer_scale_conv: false,
            d_state: 8,
            d_conv: 3,
            expand: 1,
            qkv_bias: true,
        };
        let square = Preprocess::imagenet([self.size, self.size]);
        Preset {
            name: self.name,
            architecture: Architecture::new(sizes, 1000),
            preprocess: Preprocess { crop_pct: self.crop_pct, crop_mode: self.crop_mode, ..square },
        }
    }
}

const HEADS: [usize; 4] = [2, 4, 8, 16];
const LARGE_HEADS: [usize; 4] = [4, 8, 16, 32];
const WINDOWS: [usize; 4] = [8, 8, 14, 7];
const LARGE_WINDOWS: [usize; 4] = [8, 8, 32, 16];

/// A tiny one, of which the others differ in some fields.
const T: Row = Row {
    name: "mamba_vision_t",
    depths: [1, 3, 8, 4],
    dim: 80,
    in_dim: 32,
    heads: HEADS,
    windows: WINDOWS,
    layer_scale: false,
    size: 224,
    crop_pct: 1.0,
    crop_mode: CropMode::Center,
};
const B: Row = Row { name: "mamba_vision_b", depths: [3, 3, 10, 5], dim: 128, in_dim: 64, layer_scale: true, ..T };
const L: Row = Row { name: "mamba_vision_l", dim: 196, heads: LARGE_HEADS, ..B };
const L2: Row = Row { name: "mamba_vision_l2", depths: [3, 3, 12, 5], ..L };
const L3: Row = Row { name: "mamba_vision_l3_256_21k", depths: [3, 3, 20, 10], dim: 256, windows: [8, 8, 16, 8], size: 256, ..L };

/// In this order a shape that fits several is taken for the first.
const PUBLISHED: [Row; 11] = [
    T,
    Row { name: "mamba_vision_t2", depths: [1, 3, 11, 4], crop_pct: 0.98, ..T },
    Row { name: "mamba_vision_s", depths: [3, 3, 7, 5], dim: 96, in_dim: 64, crop_pct: 0.93, ..T },
    B,
    L,
    L2,
    Row { name: "mamba_vision_b_21k", ..B },
    Row { name: "mamba_vision_l_21k", ..L },
    Row { name: "mamba_vision_l2_512_21k", windows: LARGE_WINDOWS, size: 512, crop_pct: 0.93, crop_mode: CropMode::Squash, ..L2 },
    L3,
    Row { name: "mamba_vision_l3_512_21k", windows: LARGE_WINDOWS, size: 512, crop_pct: 0.93, crop_mode: CropMode::Squash, ..L3 },
];

/// Backbones of dense models, whose windows span whole maps.
const DENSE: [Row; 4] = [
    Row { name: "mamba_vision_t_upernet", windows: DENSE_WINDOWS, size: 512, ..T },
    Row { name: "mamba_vision_s_upernet", depths: [3, 3, 7, 5], dim: 96, in_dim: 64, windows: [8, 8, 160, 56], size: 512, ..T },
    Row { name: "mamba_vision_b_upernet", windows: DENSE_WINDOWS, size: 512, ..B },
    Row { name: "mamba_vision_l3_upernet", windows: DENSE_WINDOWS, size: 640, ..L3 },
];
const DENSE_WINDOWS: [usize; 4] = [8, 8, 64, 32];
