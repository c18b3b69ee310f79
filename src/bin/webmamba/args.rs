//! Arguments that several subcommands share, and what they stand for.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};
use webmamba::{
    Device, DeviceKind, Error, Labels, Model, ModelOptions, Precision, Result, Weights,
    low_level::{
        hub::HubModel,
        models::{embedded_names, preset},
    },
};

use crate::terminal::note;

/// Where to compute.
#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    /// Where to compute; `auto` takes a hardware GPU if there is one, else the CPU
    #[arg(long, value_enum, default_value = "auto", value_name = "DEVICE")]
    device: Kind,
    /// Take the GPU adapter whose line in `webmamba devices` contains this; the only way to a software adapter
    #[arg(long, value_name = "SUBSTRING")]
    adapter: Option<String>,
    /// What a GPU stores activations in; arithmetic stays in f32, and `auto` takes f16 where it is known to pay: nowhere so far
    #[arg(long, value_enum, default_value = "f32", value_name = "PRECISION")]
    precision: Stored,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stored {
    F32,
    F16,
    Auto,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Auto,
    Gpu,
    Cpu,
}

impl DeviceArgs {
    /// Opens the device; with it comes the reason for the choice.
    pub(crate) async fn open(&self) -> Result<(Device, String)> {
        let kind = match self.device {
            Kind::Auto => DeviceKind::Auto,
            Kind::Gpu => DeviceKind::Gpu,
            Kind::Cpu => DeviceKind::Cpu,
        };
        let precision = match self.precision {
            Stored::F32 => Precision::F32,
            Stored::F16 => Precision::F16,
            Stored::Auto => Precision::Auto,
        };
        Device::open_with(kind, self.adapter.as_deref(), precision).await
    }
}

/// Which model, and what the user says of it.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// A folder with config.json and model.safetensors, a .safetensors, .pth, .ckpt or .bin file, an id or page of the Hugging Face
    /// hub that is in the local cache, or the name of a built-in model; the default is the built-in mamba_vision_nano
    #[arg(long, value_name = "DIR|FILE|NAME")]
    model: Option<PathBuf>,
    /// Which published variant the checkpoint is, where its config or tensors do not tell (mamba_vision_t, mila_b, ..)
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,
    /// Path of the weights in a checkpoint with several states (state_dict, model_ema, ..) [default: averaged weights, if any]
    #[arg(long, value_name = "KEY")]
    state: Option<String>,
    /// Class names: text with one a line, or JSON
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Input size of the model instead of its own: N or HEIGHTxWIDTH in pixels
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    size: Option<[usize; 2]>,
}

impl ModelArgs {
    /// Opens the model; warns of weights that are not numbers.
    pub(crate) fn open(&self) -> Result<Model> {
        let labels = self.labels.as_deref().map(read_labels).transpose()?;
        let options = ModelOptions { arch: self.arch.clone(), labels, size: self.size, state: self.state.clone() };
        let path = self.model.clone().map_or_else(default_model, Ok)?;
        let model = open_model(&path, &options)?;
        warn_non_finite(&model.weights);
        Ok(model)
    }
}

/// The name of a GPU's adapter, for JSON.
pub(crate) fn adapter_name(device: &Device) -> Option<&str> {
    device.adapter().map(|adapter| adapter.name.as_str())
}

/// Reads `224` or `256x192` (height x width).
pub(crate) fn parse_size(text: &str) -> std::result::Result<[usize; 2], String> {
    let side = |text: &str| match text.trim().parse::<usize>() {
        Ok(n) if n > 0 => Ok(n),
        _ => Err("expected N or HxW in pixels, such as 224 or 256x192".to_owned()),
    };
    match text.split_once(['x', 'X']) {
        Some((h, w)) => Ok([side(h)?, side(w)?]),
        None => side(text).map(|n| [n, n]),
    }
}

/// What can be given as a model.
pub(crate) const MODELS: &str = "a built-in model's name, a folder with config.json and model.safetensors, a .safetensors, .pth, .ckpt or .bin file, or an id \
                                 of the Hugging Face hub (owner/name) that is in the local cache";

/// Opens the checkpoint that the user named, or the built-in model of that name.
pub(crate) fn open_model(path: &Path, options: &ModelOptions) -> Result<Model> {
    let name = path.to_string_lossy();
    if !path.exists() && embedded_names().any(|embedded| embedded == name) {
        return Model::embedded(&name, options);
    }
    Model::open(&find_model(path)?, options)
}

/// The file or folder that the user named: a path, or what the local cache has of a model of the hub.
pub(crate) fn find_model(path: &Path) -> Result<PathBuf> {
    if path.exists() {
        return Ok(path.to_owned());
    }
    let name = path.to_string_lossy();
    if let Some(model) = HubModel::parse(&name) {
        return model.cached();
    }
    Err(Error::InvalidArgument(match preset(&name) {
        Ok(_) => format!("`{name}` is a published variant, but its weights are not built in: download them and give {MODELS}"),
        Err(_) => format!("there is no file, folder or built-in model `{name}`; a model is {MODELS}"),
    }))
}

/// The model that is taken where none is named: the first built-in one.
///
/// # Errors
/// [`Error::InvalidArgument`], which says what to give, where none is built in.
pub(crate) fn default_model() -> Result<PathBuf> {
    let none = || Error::InvalidArgument(format!("which model? None is built in here; give {MODELS}"));
    embedded_names().next().map(PathBuf::from).ok_or_else(none)
}

/// Labels are class names: a megabyte for 21,841 of them, and nothing needs more than this.
const MAX_LABEL_BYTES: u64 = 64 << 20;

/// Reads a file of labels.
pub(crate) fn read_labels(path: &Path) -> Result<Labels> {
    let length = fs::metadata(path).map_err(|error| Error::io(path, error))?.len();
    if length > MAX_LABEL_BYTES {
        return Err(Error::config(path.display(), format!("{length} bytes are too many for labels")));
    }
    let bytes = fs::read(path).map_err(|error| Error::io(path, error))?;
    Labels::decode(&path.display().to_string(), &bytes)
}

/// Tells what was assumed of a model.
pub(crate) fn note_assumptions(model: &Model) {
    for assumption in &model.assumptions {
        note(&format!("note: {assumption}"));
    }
}

/// Warns of weights that are not numbers. Reads all of them.
pub(crate) fn warn_non_finite(weights: &Weights) {
    const SHOWN: usize = 10;
    let bad = weights.non_finite();
    if !bad.is_empty() {
        let more = if bad.len() > SHOWN { format!(" and {} more", bad.len() - SHOWN) } else { String::new() };
        let names = bad[..bad.len().min(SHOWN)].join(", ");
        note(&format!("warning: {} has NaN or infinite values in {names}{more}", weights.name()));
    }
}
