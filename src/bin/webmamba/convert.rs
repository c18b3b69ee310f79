//! `webmamba convert`: any checkpoint to one safetensors file, and to smaller weights.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use indicatif::HumanBytes;
use webmamba::{
    Error, Model, ModelOptions, Result, Tensor, Weights,
    low_level::{
        cpu::CpuExecutor,
        models::Documents,
        quantise::{layers, quantised, relative_error, small, with_layers},
        tensor::DType,
        weights::fill_uniform,
    },
};

use crate::{
    args::{find_model, warn_non_finite},
    output,
    terminal::{Outcome, note, progress},
};

/// Write any checkpoint as one safetensors file
#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// The checkpoint: a folder, a .safetensors, .pth, .ckpt or .bin file, or a model of the Hugging Face hub in the local cache
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The safetensors file to write, or `-` for standard output
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// Path of the weights in a checkpoint with several states (state_dict, model_ema, ..) [default: averaged weights, if any]
    #[arg(long, value_name = "KEY")]
    state: Option<String>,
    /// Type to store weights in, rounded to the nearest; q8 and q4 are for the filters of large layers, with all else in f16 [default: as
    /// they are]
    #[arg(long, value_enum, value_name = "DTYPE")]
    dtype: Option<Stored>,
    /// Tell of each layer in q8 or q4 how far its weights are from what they were, and the logits with it alone
    #[arg(long)]
    report: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stored {
    F32,
    F16,
    Bf16,
    Q8,
    Q4,
}

impl Convert {
    pub(crate) fn run(self) -> Outcome {
        let dtype = self.dtype.map(|dtype| match dtype {
            Stored::F32 => DType::F32,
            Stored::F16 => DType::F16,
            Stored::Bf16 => DType::BF16,
            Stored::Q8 => DType::Q8,
            Stored::Q4 => DType::Q4,
        });
        let wanted = dtype.filter(|dtype| dtype.is_quantised());
        if self.report && wanted.is_none() {
            return Err(Error::InvalidArgument("there is only something to report of --dtype q8 and q4".into()).into());
        }
        let input = find_model(&self.input)?;
        let (weights, choice) = Weights::open(&input)?.state(self.state.as_deref())?;
        choice.iter().for_each(|choice| note(&format!("note: {choice}")));
        warn_non_finite(&weights);
        // Which layers are large is known of a model, not of tensors; their types are then those that they are to have.
        let (weights, dtype) = match wanted {
            Some(wanted) => (quantise(&input, weights, wanted, self.report)?, None),
            None => (weights, dtype),
        };
        let bar = progress(0, "[{bar:30}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left", true);
        let mut total = 0;
        let written = output::write(&weights, &self.output, dtype, &[], |done, all| {
            total = all;
            bar.set_length(all);
            bar.set_position(done);
        });
        bar.finish_and_clear();
        written?;
        let dtype = dtype.or(weights.dtype()).map(|dtype| format!(", {dtype}")).unwrap_or_default();
        note(&format!("{}: {} tensors, {}{dtype}", self.output.display(), weights.len(), HumanBytes(total)));
        if let (Some(config), None) = (config_beside(&input), config_beside(&self.output)) {
            let config = config.display();
            note(&format!("note: {config} was not copied; to use it, copy it into the folder of the new file"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The weights of the model in `weights` with its large layers in `dtype`.
fn quantise(input: &Path, weights: Weights, dtype: DType, report: bool) -> Result<Weights> {
    let model = Model::of(weights, &Documents::beside(input)?, &ModelOptions::default())?;
    let layers = layers(&model, dtype)?;
    let smaller = small(&model, &layers)?;
    if report {
        let want = logits(&model, model.weights.clone())?;
        let error = |weights| Ok::<_, Error>(100.0 * relative_error(&logits(&model, weights)?, &want));
        note(&format!("{:48} {:20} {:5} {:>9} {:>9}", "layer", "shape", "type", "weights", "logits"));
        for (key, dtype) in &layers {
            let Some(tensor) = model.weights.stored(key) else { continue };
            let own = 100.0 * relative_error(&quantised(&tensor, *dtype)?.to_f32(), &tensor.to_f32());
            let alone = error(with_layers(&model, &[(key.clone(), *dtype)])?)?;
            note(&format!("{key:48} {:20} {dtype:5} {own:8.3}% {alone:8.3}%", tensor.shape().to_string()));
        }
        note(&format!("{:48} {:20} {:5} {:>9} {:8.3}%", "all others", "", "f16", "", error(small(&model, &[])?)?));
        note(&format!("{:48} {:20} {:5} {:>9} {:8.3}%", "all", "", "", "", error(smaller.clone())?));
    }
    Ok(smaller)
}

/// What a model with these weights makes of two inputs of noise, on the CPU: its first output.
fn logits(model: &Model, weights: Weights) -> Result<Vec<f32>> {
    let model = Model { weights, ..model.clone() };
    let shape = model.input_shape(2);
    let input = Tensor::from_f32(shape.clone(), fill_uniform("report", &shape, -2.0, 2.0))?;
    let graph = model.graph(&model.options(2))?;
    let name = if graph.outputs().iter().any(|output| output.name == "logits") { "logits" } else { "pooled" };
    let outputs = CpuExecutor::new(&graph.select(&[name])?)?.run(&[&input])?;
    Ok(outputs.iter().flat_map(|output| output.to_f32().into_owned()).collect())
}

/// The configuration that counts for a checkpoint: the one in its folder.
fn config_beside(checkpoint: &Path) -> Option<PathBuf> {
    let config = if checkpoint.is_dir() { checkpoint.join("config.json") } else { checkpoint.with_file_name("config.json") };
    config.is_file().then_some(config)
}
