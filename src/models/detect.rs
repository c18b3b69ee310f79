//! What a checkpoint without a config is: from the names and shapes of its tensors.

use crate::{
    error::{Error, Result},
    image::Preprocess,
    models::{Architecture, presets},
    weights::Weights,
};

/// The published variant whose tensors have these shapes; what the shapes cannot tell goes to `assumptions`.
///
/// # Errors
/// [`Error::Unrecognised`] when no variant fits.
pub(super) fn from_shapes(weights: &Weights, assumptions: &mut Vec<String>) -> Result<(String, Architecture, Preprocess)> {
    let unrecognised =
        |reason: String| Error::Unrecognised { what: weights.name().to_owned(), reason, known: presets::preset_names() };
    let Some(found) = Sizes::of(weights) else {
        let some: Vec<&str> = weights.keys().take(4).collect();
        return Err(unrecognised(format!(
            "its tensors are not those of MambaVision or MILA (they start with {})",
            some.join(", ")
        )));
    };
    let mut fitting = presets::presets().filter(|p| Sizes::of_preset(&p.architecture) == found);
    let Some(first) = fitting.next() else {
        return Err(unrecognised(format!(
            "{} with {} channels and depths {:?} is no published variant, and tensors do not tell heads and windows; \
             a config.json beside the weights would",
            found.family, found.dim, found.depths
        )));
    };
    let others: Vec<&str> = fitting.map(|p| p.name).collect();
    if !others.is_empty() {
        assumptions.push(format!(
            "the tensors also fit {}; {} with windows for {} x {} was assumed",
            others.join(", "),
            first.name,
            first.preprocess.size[0],
            first.preprocess.size[1]
        ));
    }
    let mut architecture = first.architecture;
    architecture.set_num_classes(classes(weights).unwrap_or(0));
    Ok((first.name.to_owned(), architecture, first.preprocess))
}

/// Rows of the head, if there is one.
pub(super) fn classes(weights: &Weights) -> Option<usize> {
    weights.shape("head.weight").and_then(|shape| shape.dims().first().copied())
}

/// What tensors tell of a variant.
#[derive(Debug, PartialEq)]
struct Sizes {
    family: &'static str,
    dim: usize,
    in_dim: usize,
    depths: [usize; 4],
    layer_scale: bool,
}

impl Sizes {
    fn of(weights: &Weights) -> Option<Self> {
        let rows = |key: &str| weights.shape(key).and_then(|shape| shape.dims().first().copied());
        let depths = |stages: &str, probe: &str| {
            [0, 1, 2, 3]
                .map(|stage| (0..1000).take_while(|i| weights.contains(&format!("{stages}.{stage}.blocks.{i}.{probe}"))).count())
        };
        if let (Some(dim), Some(in_dim)) = (rows("levels.0.blocks.0.conv1.weight"), rows("patch_embed.conv_down.0.weight")) {
            let depths = depths("levels", "norm1.weight");
            return Some(Self {
                family: "mambavision",
                dim,
                in_dim,
                depths,
                layer_scale: weights.contains("levels.2.blocks.0.gamma_1"),
            });
        }
        let (dim, in_dim) = (rows("patch_embed.conv3.1.conv.weight")?, rows("patch_embed.conv1.conv.weight")?);
        let depths = depths("layers", "cpe1.weight");
        Some(Self { family: "mila", dim, in_dim, depths, layer_scale: false })
    }

    fn of_preset(architecture: &Architecture) -> Self {
        let family = architecture.family();
        match architecture {
            Architecture::MambaVision(m) => {
                Self { family, dim: m.dim, in_dim: m.in_dim, depths: m.depths, layer_scale: m.layer_scale }
            }
            Architecture::Mila(m) => {
                Self { family, dim: m.embed_dim, in_dim: m.embed_dim / 2, depths: m.depths, layer_scale: false }
            }
        }
    }
}

/// The published variant with exactly these sizes, whatever its head, to give a configured model its usual name.
pub(super) fn name_of(architecture: &Architecture, preprocess: &Preprocess) -> String {
    let same = |p: &presets::Preset| {
        let mut candidate = p.architecture.clone();
        candidate.set_num_classes(architecture.num_classes());
        candidate == *architecture
    };
    let mut fitting: Vec<presets::Preset> = presets::presets().filter(same).collect();
    // Variants of equal sizes differ in their input size, if in anything.
    fitting.sort_by_key(|p| p.preprocess.size != preprocess.size);
    fitting.first().map_or_else(|| architecture.family().to_owned(), |p| p.name.to_owned())
}
