//! VideoMamba (Li et al., ECCV 2024), its image models: Vim's layers with the class token before the patches, and the two directions
//! summed. Their tensors are those of a Vim: a config, or the name of the file, tells them apart.

use serde_json::Value as Json;

use crate::{
    error::Result,
    graph::Builder,
    image::Preprocess,
    models::{Architecture, Backbone, Family, Preset, Vim, vim::Form},
    weights::{Gains, Reader, Weights},
};

const FORM: Form = Form { middle: false, halved: false };

/// Sizes of a VideoMamba for images.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoMamba {
    /// Those of a Vim whose patches do not overlap.
    pub tokens: Vim,
}

impl Family for VideoMamba {
    const NAME: &'static str = "videomamba";
    const CALLED: &'static [&'static str] = &["videomamba"];
    const TERMS: &'static str = "published VideoMamba weights: Apache-2.0; a fine-tune may differ";
    const ANCHORS: &'static [&'static str] = Vim::ANCHORS;
    const GAINS: &'static Gains = Vim::GAINS;

    fn presets() -> Vec<Preset> {
        let preset = |(name, embed_dim, depth, side): (_, usize, usize, usize)| {
            let tokens = Vim {
                embed_dim,
                depth,
                patch_size: 16,
                stride: 16,
                positions: (side / 16).pow(2) + 1,
                inner: 2 * embed_dim,
                d_state: 16,
                dt_rank: embed_dim.div_ceil(16),
                d_conv: 4,
            };
            let preprocess = Preprocess { size: [side, side], ..Self::preprocess() };
            Preset { name, architecture: Architecture::new(Self { tokens }, 1000), preprocess }
        };
        PUBLISHED.into_iter().map(preset).collect()
    }

    fn preprocess() -> Preprocess {
        Preprocess { crop_pct: 0.875, ..Preprocess::imagenet([224, 224]) }
    }

    fn recognise(weights: &Weights) -> Option<Self> {
        let tokens = Vim::recognise(weights)?;
        Some(Self { tokens: Vim { stride: tokens.patch_size, ..tokens } })
    }

    fn config(config: &Json, known: Option<&Self>) -> std::result::Result<Self, String> {
        if config.get("num_frames").and_then(Json::as_u64).is_some_and(|frames| frames > 0) {
            return Err("`num_frames`: models of clips are not run here, only those of images".to_owned());
        }
        let known = known.map(|known| &known.tokens);
        Vim::said(config, known, FORM, known.is_none().then_some(16)).map(|tokens| Self { tokens })
    }

    fn validate(&self) -> Result<()> {
        self.tokens.validate()
    }

    fn build(&self, g: &mut Builder, r: &Reader) -> Result<Backbone> {
        self.tokens.graph(g, r, FORM)
    }
}

/// Names, channels, layers and sides of images.
const PUBLISHED: [(&str, usize, usize, usize); 10] = [
    ("videomamba_t", 192, 24, 224),
    ("videomamba_s", 384, 24, 224),
    ("videomamba_m", 576, 32, 224),
    ("videomamba_b", 768, 24, 224),
    ("videomamba_t_448", 192, 24, 448),
    ("videomamba_s_448", 384, 24, 448),
    ("videomamba_m_448", 576, 32, 448),
    ("videomamba_t_576", 192, 24, 576),
    ("videomamba_s_576", 384, 24, 576),
    ("videomamba_m_576", 576, 32, 576),
];
