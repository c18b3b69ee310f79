//! `webmamba convert`: any checkpoint to one safetensors file.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use indicatif::HumanBytes;
use webmamba::{Weights, low_level::tensor::DType};

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
    /// Type to store weights in, rounded to the nearest [default: as they are]
    #[arg(long, value_enum, value_name = "DTYPE")]
    dtype: Option<Float>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Float {
    F32,
    F16,
    Bf16,
}

impl Convert {
    pub(crate) fn run(self) -> Outcome {
        let dtype = self.dtype.map(|dtype| match dtype {
            Float::F32 => DType::F32,
            Float::F16 => DType::F16,
            Float::Bf16 => DType::BF16,
        });
        let input = find_model(&self.input)?;
        let (weights, choice) = Weights::open(&input)?.state(self.state.as_deref())?;
        choice.iter().for_each(|choice| note(&format!("note: {choice}")));
        warn_non_finite(&weights);
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

/// The configuration that counts for a checkpoint: the one in its folder.
fn config_beside(checkpoint: &Path) -> Option<PathBuf> {
    let config = if checkpoint.is_dir() { checkpoint.join("config.json") } else { checkpoint.with_file_name("config.json") };
    config.is_file().then_some(config)
}
