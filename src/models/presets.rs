//! The published variants.

use crate::{
    error::{Error, Result},
    image::{CropMode, Preprocess},
    models::{Architecture, MambaVision, Mila},
};

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

/// One line of the table of MambaVisions.
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
const MAMBA_VISIONS: [Row; 11] = [
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

const MILAS: [(&str, usize, [usize; 4], [usize; 4]); 3] = [
    ("mila_t", 64, [2, 4, 8, 4], [2, 4, 8, 16]),
    ("mila_s", 64, [3, 6, 21, 6], [2, 4, 8, 16]),
    ("mila_b", 96, [3, 6, 21, 6], [3, 6, 12, 24]),
];

/// All published variants.
pub(super) fn presets() -> impl Iterator<Item = Preset> {
    let mamba_visions = MAMBA_VISIONS.into_iter().map(|row| Preset {
        name: row.name,
        architecture: Architecture::MambaVision(MambaVision {
            dim: row.dim,
            in_dim: row.in_dim,
            depths: row.depths,
            num_heads: row.heads,
            window_size: row.windows,
            mlp_ratio: 4.0,
            layer_scale: row.layer_scale,
            layer_scale_conv: false,
            num_classes: 1000,
            d_state: 8,
            d_conv: 3,
            expand: 1,
            qkv_bias: true,
        }),
        preprocess: Preprocess { crop_pct: row.crop_pct, crop_mode: row.crop_mode, ..Preprocess::imagenet([row.size, row.size]) },
    });
    let milas = MILAS.into_iter().map(|(name, embed_dim, depths, num_heads)| Preset {
        name,
        architecture: Architecture::Mila(Mila {
            embed_dim,
            depths,
            num_heads,
            mlp_ratio: 4.0,
            qkv_bias: true,
            num_classes: 1000,
        }),
        preprocess: Preprocess { crop_pct: 0.875, ..Preprocess::imagenet([224, 224]) },
    });
    mamba_visions.chain(milas)
}

/// Names of all published variants.
pub fn preset_names() -> Vec<String> {
    presets().map(|p| p.name.to_owned()).collect()
}

/// The variant of this name; `mlla_*` is accepted for `mila_*`, and dashes for underscores.
///
/// # Errors
/// [`Error::UnknownArch`], which lists the names that there are.
pub fn preset(name: &str) -> Result<Preset> {
    let wanted = name.to_ascii_lowercase().replace('-', "_").replace("mlla_", "mila_");
    let found = presets().find(|p| p.name == wanted);
    found.ok_or_else(|| Error::UnknownArch { name: name.to_owned(), known: preset_names() })
}
