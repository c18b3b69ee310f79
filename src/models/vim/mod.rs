//! Vim (Zhu et al., ICML 2024): tokens of patches with a class token in their middle, scanned forwards and backwards in every layer.

mod graph;
mod mixer;

use serde_json::Value as Json;

use crate::{
    error::{Error, Result},
    graph::Builder,
    image::Preprocess,
    models::{
        Architecture, Backbone, Family, Preset,
        family::{blocks, rows},
        keys::{required, said},
    },
    weights::{Gains, Reader, Weights},
};

use mixer::Mixer;

/// Sizes of a Vim.
#[derive(Debug, Clone, PartialEq)]
pub struct Vim {
    /// Channels of a token.
    pub embed_dim: usize,
    /// Layers.
    pub depth: usize,
    /// Side of a patch.
    pub patch_size: usize,
    /// Pixels from one patch to the next; patches overlap where it is less than their side. No tensor tells it: 0 where only the
    /// positions are known, and these are not those of 224 x 224.
    pub stride: usize,
    /// Tokens that have a position, the class token among them: the input has as many.
    pub positions: usize,
    /// Channels that are scanned.
    pub inner: usize,
    /// States of a scan (16).
    pub d_state: usize,
    /// Rank of the step sizes.
    pub dt_rank: usize,
    /// Taps of the convolutions (4).
    pub d_conv: usize,
}

impl Vim {
    fn mixer(&self, form: Form) -> Mixer {
        Mixer {
            channels: self.embed_dim,
            inner: self.inner,
            states: self.d_state,
            rank: self.dt_rank,
            taps: self.d_conv,
            halved: form.halved,
        }
    }

    /// The sizes that a `config.json` tells, completed from `known` and what is usual.
    ///
    /// # Errors
    /// The key and what is wrong with it.
    pub(in crate::models) fn said(
        config: &Json,
        known: Option<&Self>,
        form: Form,
        stride: Option<usize>,
    ) -> std::result::Result<Self, String> {
        check(config, form)?;
        macro_rules! size {
            ($key:ident, $usual:expr) => {{
                let usual = if known.is_none() { $usual } else { None };
                required(stringify!($key), said(config, stringify!($key))?.or(usual), known.map(|known| known.$key))
            }};
        }
        let embed_dim = size!(embed_dim, None)?;
        let patch_size = size!(patch_size, Some(16))?;
        let stride = size!(stride, stride)?;
        let grid = |side: u64| {
            usize::try_from(side)
                .ok()?
                .checked_sub(patch_size)?
                .checked_div(stride)?
                .checked_add(1)?
                .checked_pow(2)?
                .checked_add(1)
        };
        let positions = config.get("resolution").and_then(Json::as_u64).and_then(grid);
        let expand = said(config, "expand")?.or(known.is_none().then_some(2));
        let inner = expand.and_then(|ratio: usize| ratio.checked_mul(embed_dim));
        Ok(Self {
            embed_dim,
            depth: size!(depth, None)?,
            patch_size,
            stride,
            positions: required("resolution", positions, known.map(|known| known.positions))?,
            inner: required("expand", inner, known.map(|known| known.inner))?,
            d_state: size!(d_state, Some(16))?,
            dt_rank: size!(dt_rank, Some(embed_dim.div_ceil(16)))?,
            d_conv: size!(d_conv, Some(4))?,
        })
    }

    /// The sizes of a model of patches of this side that the tensors show.
    pub(in crate::models) fn of_patches(weights: &Weights, patch_size: usize) -> Option<Self> {
        let last = |key: &str| weights.shape(key).map(|shape| shape.last());
        let positions = weights.shape("pos_embed")?.rows();
        Some(Self {
            embed_dim: rows(weights, "patch_embed.proj.weight")?,
            depth: blocks(weights, "layers", "mixer.A_log"),
            patch_size,
            stride: Self::usual_stride(positions, patch_size),
            positions,
            inner: rows(weights, "layers.0.mixer.A_log")?,
            d_state: last("layers.0.mixer.A_log")?,
            dt_rank: last("layers.0.mixer.dt_proj.weight")?,
            d_conv: last("layers.0.mixer.conv1d.weight")?,
        })
    }

    /// The stride with which an image of 224 x 224 has so many positions; 0 where none has.
    fn usual_stride(positions: usize, patch: usize) -> usize {
        let steps = positions.saturating_sub(1).isqrt().saturating_sub(1);
        match SIDE.checked_sub(patch) {
            Some(rest) if steps > 0 && (steps + 1).pow(2) + 1 == positions && rest % steps == 0 && rest / steps <= patch => {
                rest / steps
            }
            _ => 0,
        }
    }
}

/// What no tensor tells of a model with these tensors.
#[derive(Debug, Clone, Copy)]
pub(in crate::models) struct Form {
    /// The class token stands in the middle of the patches, not before them.
    pub(in crate::models) middle: bool,
    /// The two directions are averaged rather than summed.
    pub(in crate::models) halved: bool,
    /// Frames of a clip; `None` for models of images.
    pub(in crate::models) frames: Option<usize>,
}

const FORM: Form = Form { middle: true, halved: true, frames: None };

/// Side of the images that published models were trained for.
const SIDE: usize = 224;

impl Family for Vim {
    const NAME: &'static str = "vim";
    const CALLED: &'static [&'static str] = &["vim", "visionmamba"];
    const TERMS: &'static str = "published Vim weights: Apache-2.0; a fine-tune may differ";
    const ANCHORS: &'static [&'static str] = &["layers.0.mixer.A_b_log"];
    const UNSEEN: &'static str = "the stride";
    const GAINS: &'static Gains = &Gains {
        layers: &[
            ("mixer.in_proj.weight", 1.2),
            ("conv1d.weight", 1.3),
            ("conv1d_b.weight", 1.3),
            ("dt_proj.weight", 0.6),
            ("dt_proj_b.weight", 0.6),
            ("out_proj.weight", 0.8),
        ],
        ranges: &[
            ("dt_proj.bias", (-5.5, -2.0)),
            ("dt_proj_b.bias", (-5.5, -2.0)),
            ("conv1d.bias", (-0.3, 0.3)),
            ("conv1d_b.bias", (-0.3, 0.3)),
            ("A_b_log", (-1.6, 2.08)),
            ("cls_token", (-1.2, 1.2)),
            ("pos_embed", (-0.6, 0.6)),
            ("temporal_pos_embedding", (-0.6, 0.6)),
        ],
    };

    fn presets() -> Vec<Preset> {
        let preset = |(name, embed_dim, stride): (_, usize, usize)| {
            let side = (SIDE - 16) / stride + 1;
            let sizes = Self {
                embed_dim,
                depth: 24,
                patch_size: 16,
                stride,
                positions: side * side + 1,
                inner: 2 * embed_dim,
                d_state: 16,
                dt_rank: embed_dim.div_ceil(16),
                d_conv: 4,
            };
            Preset { name, architecture: Architecture::new(sizes, 1000), preprocess: Self::preprocess() }
        };
        PUBLISHED.into_iter().map(preset).collect()
    }

    fn preprocess() -> Preprocess {
        Preprocess { crop_pct: 0.875, ..Preprocess::imagenet([SIDE, SIDE]) }
    }

    fn recognise(weights: &Weights) -> Option<Self> {
        match *weights.shape("patch_embed.proj.weight")?.dims() {
            [_, 3, side, other] if side == other => Self::of_patches(weights, side),
            _ => None,
        }
    }

    fn seen(&self) -> Self {
        Self { stride: Self::usual_stride(self.positions, self.patch_size), ..self.clone() }
    }

    fn config(config: &Json, known: Option<&Self>) -> std::result::Result<Self, String> {
        Self::said(config, known, FORM, None)
    }

    fn validate(&self) -> Result<()> {
        let bad = |reason: String| Err(Error::config("Vim", reason));
        if [self.embed_dim, self.inner, self.dt_rank].iter().any(|n| !(1..=1 << 16).contains(n)) {
            return bad(format!(
                "embed_dim {}, inner width {} and dt_rank {} must be positive",
                self.embed_dim, self.inner, self.dt_rank
            ));
        }
        if !(1..=1000).contains(&self.depth) || !(1..=1 << 20).contains(&self.positions) {
            return bad(format!("depth {} must be in 1..=1000, and there must be positions, not {}", self.depth, self.positions));
        }
        if !(1..=64).contains(&self.d_state) || !(1..=31).contains(&self.d_conv) {
            return bad(format!("d_state {} must be in 1..=64 and d_conv {} in 1..=31", self.d_state, self.d_conv));
        }
        if !(1..=128).contains(&self.patch_size) || !(1..=self.patch_size).contains(&self.stride) {
            return bad(format!("stride {} must be in 1..={}, the side of a patch", self.stride, self.patch_size));
        }
        Ok(())
    }

    fn build(&self, g: &mut Builder, r: &Reader) -> Result<Backbone> {
        self.graph(g, r, FORM)
    }
}

/// Options that have another value in no published model.
fn check(config: &Json, form: Form) -> std::result::Result<(), String> {
    let refused = |key: &str, value: String| Err(format!("`{key}`: {value} is of a variant that is not run here"));
    for (key, wanted) in
        [("if_divide_out", form.halved), ("use_middle_cls_token", form.middle), ("if_rope", false), ("rms_norm", true)]
    {
        if let Some(value) = said::<bool>(config, key)?.filter(|value| *value != wanted) {
            return refused(key, value.to_string());
        }
    }
    match said::<&str>(config, "bimamba_type")? {
        Some("v2") | None => Ok(()),
        Some(other) => refused("bimamba_type", other.to_owned()),
    }
}

/// Names, channels and strides.
const PUBLISHED: [(&str, usize, usize); 5] =
    [("vim_t", 192, 16), ("vim_s", 384, 16), ("vim_b", 768, 16), ("vim_t_s8", 192, 8), ("vim_s_s8", 384, 8)];
