//! VideoMamba (Li et al., ECCV 2024): Vim's layers with the class token before the patches, and the two directions summed. Models of clips
//! have the patches of all frames as tokens, one frame after the other. The tensors of its image models are those of a Vim: a config, or
//! the name of the file, tells them apart.

use serde_json::Value as Json;

use crate::{
    error::{Error, Result},
    graph::Builder,
    image::{Filter, Preprocess},
    models::{Architecture, Backbone, Family, Preset, Vim, keys::said, vim::Form},
    weights::{Gains, Reader, Weights},
};

/// Sizes of a VideoMamba.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoMamba {
    /// Those of a Vim whose patches do not overlap.
    pub tokens: Vim,
    /// Frames of a clip; 0 for models of images.
    pub frames: usize,
}

fn form(frames: usize) -> Form {
    Form { middle: false, halved: false, frames: (frames > 0).then_some(frames) }
}

impl Family for VideoMamba {
    const NAME: &'static str = "videomamba";
    const CALLED: &'static [&'static str] = &["videomamba"];
    const TERMS: &'static str = "published VideoMamba weights: Apache-2.0; a fine-tune may differ";
    const ANCHORS: &'static [&'static str] = Vim::ANCHORS;
    const GAINS: &'static Gains = Vim::GAINS;

    fn presets() -> Vec<Preset> {
        let preset = |(name, [embed_dim, depth], side, frames): (_, [usize; 2], usize, usize)| {
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
            let sizes = Self { tokens, frames };
            let (preprocess, classes) = (Self::usual(&sizes), if frames > 0 { KINETICS } else { 1000 });
            Preset { name, architecture: Architecture::new(sizes, classes), preprocess }
        };
        PUBLISHED.into_iter().map(preset).collect()
    }

    /// At the size that the positions are for; the shorter side of a frame becomes that, as OpenCV resizes it.
    fn usual(&self) -> Preprocess {
        let side = self.tokens.positions.saturating_sub(1).isqrt() * self.tokens.patch_size;
        let size = Preprocess::imagenet([side, side]);
        match self.frames {
            0 => Preprocess { crop_pct: 0.875, ..size },
            _ => Preprocess { filter: Filter::Bilinear, ..size },
        }
    }

    fn frames(&self) -> usize {
        self.frames.max(1)
    }

    fn recognise(weights: &Weights) -> Option<Self> {
        let (side, frames) = match *weights.shape("patch_embed.proj.weight")?.dims() {
            [_, 3, side, other] if side == other => (side, 0),
            [_, 3, 1, side, other] if side == other => (side, weights.shape("temporal_pos_embedding")?.rows()),
            _ => return None,
        };
        let tokens = Vim::of_patches(weights, side)?;
        Some(Self { tokens: Vim { stride: side, ..tokens }, frames })
    }

    fn config(config: &Json, known: Option<&Self>) -> std::result::Result<Self, String> {
        if let Some(frames) = said::<usize>(config, "tubelet_size")?.filter(|frames| *frames != 1) {
            return Err(format!("`tubelet_size`: patches of {frames} frames are of a variant that is not run here"));
        }
        let frames = said(config, "num_frames")?.or(known.map(|known| known.frames)).unwrap_or_default();
        let known = known.map(|known| &known.tokens);
        let tokens = Vim::said(config, known, form(frames), known.is_none().then_some(16))?;
        Ok(Self { tokens, frames })
    }

    fn validate(&self) -> Result<()> {
        if self.frames > MAX_FRAMES {
            return Err(Error::config("VideoMamba", format!("num_frames {} must be in 0..={MAX_FRAMES}", self.frames)));
        }
        self.tokens.validate()
    }

    fn build(&self, g: &mut Builder, r: &Reader) -> Result<Backbone> {
        self.tokens.graph(g, r, form(self.frames))
    }
}

/// More would be a mistake: the published models take 64.
const MAX_FRAMES: usize = 4096;
/// Classes of Kinetics-400; models for other sets of classes have the same sizes.
const KINETICS: usize = 400;
const TINY: [usize; 2] = [192, 24];
const SMALL: [usize; 2] = [384, 24];
const MIDDLE: [usize; 2] = [576, 32];

/// Names, channels and layers, sides of images, and frames.
const PUBLISHED: [(&str, [usize; 2], usize, usize); 22] = [
    ("videomamba_t", TINY, 224, 0),
    ("videomamba_s", SMALL, 224, 0),
    ("videomamba_m", MIDDLE, 224, 0),
    ("videomamba_b", [768, 24], 224, 0),
    ("videomamba_t_448", TINY, 448, 0),
    ("videomamba_s_448", SMALL, 448, 0),
    ("videomamba_m_448", MIDDLE, 448, 0),
    ("videomamba_t_576", TINY, 576, 0),
    ("videomamba_s_576", SMALL, 576, 0),
    ("videomamba_m_576", MIDDLE, 576, 0),
    ("videomamba_t_f8", TINY, 224, 8),
    ("videomamba_s_f8", SMALL, 224, 8),
    ("videomamba_m_f8", MIDDLE, 224, 8),
    ("videomamba_t_f16", TINY, 224, 16),
    ("videomamba_s_f16", SMALL, 224, 16),
    ("videomamba_m_f16", MIDDLE, 224, 16),
    ("videomamba_t_f32", TINY, 224, 32),
    ("videomamba_s_f32", SMALL, 224, 32),
    ("videomamba_m_f32", MIDDLE, 224, 32),
    ("videomamba_t_f64", TINY, 224, 64),
    ("videomamba_s_f64", SMALL, 224, 64),
    ("videomamba_m_f64", MIDDLE, 224, 64),
];
