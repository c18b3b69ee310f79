//! `config.json`: MambaVision's keys as on Hugging Face, and ours for MILA, for which no format exists.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value as Json;

use crate::{
    error::{Error, Result},
    image::{CropMode, Preprocess},
    labels::Labels,
    models::{Architecture, MambaVision, Mila, detect, presets},
    weights::Weights,
};

/// The largest config that is read; real ones with 21,841 labels have 1 MB.
const MAX_CONFIG_BYTES: u64 = 64 << 20;

/// The text of the config that belongs to a checkpoint: in the folder, or beside a file with Hugging Face's name.
pub(super) fn beside(path: &Path) -> Result<Option<String>> {
    let file = if path.is_dir() {
        path.join("config.json")
    } else {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.starts_with("model") && !name.starts_with("pytorch_model") {
            return Ok(None);
        }
        path.with_file_name("config.json")
    };
    let metadata = match std::fs::metadata(&file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(file, error)),
    };
    if metadata.len() > MAX_CONFIG_BYTES {
        return Err(Error::config(file.display(), format!("{} bytes are too many for a configuration", metadata.len())));
    }
    std::fs::read_to_string(&file).map(Some).map_err(|error| Error::io(file, error))
}

/// The keys of interest; all others are left alone.
#[derive(Debug, Deserialize)]
struct Keys {
    model_type: Option<String>,
    // MambaVision
    dim: Option<usize>,
    in_dim: Option<usize>,
    window_size: Option<[usize; 4]>,
    #[serde(default)]
    layer_scale: Json,
    #[serde(default)]
    layer_scale_conv: Json,
    d_state: Option<usize>,
    d_conv: Option<usize>,
    expand: Option<usize>,
    // MILA
    embed_dim: Option<usize>,
    // both
    depths: Option<[usize; 4]>,
    num_heads: Option<[usize; 4]>,
    mlp_ratio: Option<f64>,
    qkv_bias: Option<bool>,
    num_classes: Option<usize>,
    id2label: Option<Json>,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    crop_mode: Option<CropMode>,
    crop_pct: Option<f64>,
    resolution: Option<Json>,
    input_resolution: Option<Json>,
    temperature: Option<f32>,
    licence: Option<String>,
}

/// A parsed `config.json`.
#[derive(Debug)]
pub(super) struct Config {
    what: String,
    keys: Keys,
    /// From `id2label`.
    pub(super) labels: Option<Labels>,
}

impl Config {
    pub(super) fn parse(what: &str, text: &str) -> Result<Self> {
        let what = format!("config.json of {what}");
        let keys: Keys = serde_json::from_str(text).map_err(|error| Error::config(&what, error))?;
        let labels = match &keys.id2label {
            Some(map) => Some(Labels::parse(&what, &map.to_string())?),
            None => None,
        };
        Ok(Self { what, keys, labels })
    }

    /// Variant name, sizes and preprocessing.
    pub(super) fn architecture(
        &self,
        what: &str,
        weights: &Weights,
        assumptions: &mut Vec<String>,
    ) -> Result<(String, Architecture, Preprocess)> {
        let keys = &self.keys;
        let model_type = keys.model_type.as_deref().unwrap_or_default().to_ascii_lowercase();
        let mila = model_type.contains("mila") || model_type.contains("mlla");
        let mamba_vision = model_type.contains("mambavision") || model_type.contains("mamba_vision");
        let architecture = if mila || (model_type.is_empty() && keys.embed_dim.is_some()) {
            Architecture::Mila(self.mila(weights, assumptions)?)
        } else if mamba_vision || (model_type.is_empty() && keys.in_dim.is_some()) {
            Architecture::MambaVision(self.mamba_vision(weights, assumptions)?)
        } else {
            let reason = format!("its config.json says `model_type: {model_type}`, which is neither mambavision nor mila");
            return Err(Error::Unrecognised { what: what.to_owned(), reason, known: presets::preset_names() });
        };
        let mut preprocess = Preprocess::imagenet([224, 224]);
        if matches!(architecture, Architecture::Mila(_)) {
            preprocess.crop_pct = 0.875;
        }
        self.apply_preprocess(&mut preprocess)?;
        Ok((detect::name_of(&architecture, &preprocess), architecture, preprocess))
    }

    fn required<T>(&self, key: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| Error::config(&self.what, format!("the key `{key}` is missing")))
    }

    /// `num_classes`, else the number of labels, else what the head says.
    fn classes(&self, weights: &Weights, assumptions: &mut Vec<String>) -> usize {
        let labels = self.labels.as_ref().map(Labels::len);
        let in_file = detect::classes(weights);
        if let Some(said) = self.keys.num_classes.or(labels) {
            // Hugging Face writes two placeholder labels where nobody set any.
            let placeholder = self.keys.num_classes.is_none() && labels == Some(2);
            match in_file {
                Some(found) if placeholder && found != said => {}
                _ => return said,
            }
        }
        let classes = in_file.unwrap_or(0);
        assumptions.push(format!("the config names no classes; the head has {classes}"));
        classes
    }

    fn mamba_vision(&self, weights: &Weights, assumptions: &mut Vec<String>) -> Result<MambaVision> {
        let keys = &self.keys;
        Ok(MambaVision {
            dim: self.required("dim", keys.dim)?,
            in_dim: self.required("in_dim", keys.in_dim)?,
            depths: self.required("depths", keys.depths)?,
            num_heads: self.required("num_heads", keys.num_heads)?,
            window_size: self.required("window_size", keys.window_size)?,
            mlp_ratio: keys.mlp_ratio.unwrap_or(4.0),
            layer_scale: switch(&keys.layer_scale),
            layer_scale_conv: switch(&keys.layer_scale_conv),
            num_classes: self.classes(weights, assumptions),
            d_state: keys.d_state.unwrap_or(8),
            d_conv: keys.d_conv.unwrap_or(3),
            expand: keys.expand.unwrap_or(1),
            qkv_bias: keys.qkv_bias.unwrap_or(true),
        })
    }

    fn mila(&self, weights: &Weights, assumptions: &mut Vec<String>) -> Result<Mila> {
        let keys = &self.keys;
        Ok(Mila {
            embed_dim: self.required("embed_dim", keys.embed_dim)?,
            depths: self.required("depths", keys.depths)?,
            num_heads: self.required("num_heads", keys.num_heads)?,
            mlp_ratio: keys.mlp_ratio.unwrap_or(4.0),
            qkv_bias: keys.qkv_bias.unwrap_or(true),
            num_classes: self.classes(weights, assumptions),
        })
    }

    /// Overrides what the config says of preprocessing.
    pub(super) fn apply_preprocess(&self, preprocess: &mut Preprocess) -> Result<()> {
        let keys = &self.keys;
        if let Some(resolution) = keys.resolution.as_ref().or(keys.input_resolution.as_ref()) {
            preprocess.size = self.size(resolution)?;
        }
        preprocess.mean = keys.mean.unwrap_or(preprocess.mean);
        preprocess.std = keys.std.unwrap_or(preprocess.std);
        preprocess.crop_pct = keys.crop_pct.unwrap_or(preprocess.crop_pct);
        preprocess.crop_mode = keys.crop_mode.unwrap_or(preprocess.crop_mode);
        Ok(())
    }

    /// What calibrates the scores.
    pub(super) fn temperature(&self) -> Result<f32> {
        match self.keys.temperature.unwrap_or(1.0) {
            t if t > 0.0 && t.is_finite() => Ok(t),
            t => Err(Error::config(&self.what, format!("temperature {t} must be positive"))),
        }
    }

    /// The terms of the weights.
    pub(super) fn licence(&self) -> Option<&str> {
        self.keys.licence.as_deref()
    }

    /// `224`, `[224, 192]` or `[3, 224, 192]`.
    fn size(&self, resolution: &Json) -> Result<[usize; 2]> {
        let extents: Vec<usize> = match resolution {
            Json::Array(values) => values.iter().filter_map(Json::as_u64).map(|v| v as usize).collect(),
            other => other.as_u64().map(|v| vec![v as usize, v as usize]).unwrap_or_default(),
        };
        match extents[..] {
            [h, w] | [_, h, w] => Ok([h, w]),
            _ => Err(Error::config(&self.what, format!("resolution {resolution} is neither a number nor height and width"))),
        }
    }
}

/// Layer scale is written as its initial value, a flag, or nothing.
fn switch(value: &Json) -> bool {
    match value {
        Json::Bool(on) => *on,
        Json::Number(initial) => initial.as_f64() != Some(0.0),
        _ => false,
    }
}
