//! `webmamba run`: a tensor in, tensors out, for scripts and comparisons.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use safetensors::{Dtype, SafeTensors};
use webmamba::{
    Error, Model, ModelOptions, Result, Tensor, Weights,
    low_level::{graph::Graph, models::BuildOptions, session::Session},
};

use crate::{
    args::{DeviceArgs, note_assumptions, open_model, warn_non_finite},
    output,
    terminal::{Outcome, note},
};

/// Run a model on a tensor and write its outputs as tensors
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The checkpoint: a folder with config.json and model.safetensors, or a .safetensors, .pth or .pth.tar file
    #[arg(long, value_name = "PATH")]
    model: PathBuf,
    /// Which published variant the checkpoint is, where its config or tensors do not tell (mamba_vision_t, mila_b, ..)
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,
    /// Path of the weights in a checkpoint with several states (state_dict, model_ema, ..)
    #[arg(long, value_name = "KEY")]
    state: Option<String>,
    /// A safetensors file with one F32 tensor `input` [B, 3, H, W], of a model of clips [B, 3, T, H, W]: images, normalised already
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The safetensors file to write, or `-` for standard output
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// What to compute, by commas: stem, stage0, stage1, stage2, stage3, pooled, logits [default: logits,pooled]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    outputs: Option<Vec<String>>,
    #[command(flatten)]
    device: DeviceArgs,
}

impl Run {
    pub(crate) async fn run(self) -> Outcome {
        let model = open_model(&self.model, &ModelOptions { arch: self.arch, state: self.state, ..ModelOptions::default() })?;
        warn_non_finite(&model.weights);
        let (device, reason) = self.device.open().await?;

        let (input, options) = read_input(&self.input, &model)?;
        let graph = model.graph(&options)?;
        let names = names(&graph, self.outputs.as_deref())?;
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut session = Session::new(&graph.select(&wanted)?, &device).await?;
        note(&format!("{} on {reason}", model.name));
        note_assumptions(&model);

        let tensors = session.run(&input).await?;
        let outputs = Weights::from_tensors("the outputs", names.into_iter().zip(tensors));
        let inputs: Vec<&Path> = model.weights.files().iter().map(PathBuf::as_path).chain([&*self.input]).collect();
        output::write(&outputs, &self.output, None, &inputs, |_, _| {})?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The outputs to compute: those of these names, each once, else the usual ones.
fn names(graph: &Graph, wanted: Option<&[String]>) -> Result<Vec<String>> {
    let known: Vec<&str> = graph.outputs().iter().map(|output| output.name.as_str()).collect();
    let Some(wanted) = wanted else {
        // A model without a head has no logits: that is only wrong when they were asked for.
        return Ok(["logits", "pooled"].into_iter().filter(|name| known.contains(name)).map(str::to_owned).collect());
    };
    let mut names: Vec<String> = Vec::new();
    for name in wanted.iter().map(|name| name.trim()).filter(|name| !name.is_empty()) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    if names.is_empty() {
        return Err(Error::InvalidArgument(format!("no output is named; there are: {}", known.join(", "))));
    }
    Ok(names)
}

/// The tensor `input` of a file, `[B, 3, H, W]` or `[B, 3, T, H, W]`, as `(B * T, H, W, 3)`, and what to build for it.
fn read_input(path: &Path, model: &Model) -> Result<(Tensor, BuildOptions)> {
    let bad = |reason: String| Error::InvalidArgument(format!("{}: {reason}", path.display()));
    let bytes = fs::read(path).map_err(|error| Error::io(path, error))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|error| bad(format!("not a usable safetensors file: {error}")))?;
    let names = || file.names().into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let view = file.tensor("input").map_err(|_| bad(format!("there is no tensor `input` in it; there are: {}", names())))?;
    let frames = model.architecture.frames();
    let (batch, h, w) = match *view.shape() {
        [batch, 3, h, w] if frames == 1 => (batch, h, w),
        [batch, 3, count, h, w] if count == frames => (batch, h, w),
        _ => {
            let wanted = if frames == 1 { "[B, 3, H, W]".to_owned() } else { format!("[B, 3, {frames}, H, W]") };
            return Err(bad(format!("`input` must be {wanted}, found {:?}", view.shape())));
        }
    };
    if view.dtype() != Dtype::F32 || view.data().is_empty() {
        return Err(bad(format!("`input` must be F32 and not empty, found {:?} {:?}", view.dtype(), view.shape())));
    }
    let plane = h * w;
    let mut values = vec![0.0; batch * frames * plane * 3];
    for (i, value) in view.data().as_chunks().0.iter().enumerate() {
        let (channel, at) = (i / (frames * plane) % 3, i % (frames * plane));
        let sample = i / (3 * frames * plane);
        values[(sample * frames * plane + at) * 3 + channel] = f32::from_le_bytes(*value);
    }
    let options = BuildOptions { batch, size: [h, w], top_k: None, class_activation: false };
    Ok((Tensor::from_f32(model.architecture.input_shape(&options), values)?, options))
}
