//! `webmamba convert`: any checkpoint to one safetensors file.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use indicatif::HumanBytes;
use webmamba::{tensor::DType, weights::Weights};

use crate::{
    args::warn_non_finite,
    output,
    terminal::{Outcome, note, progress},
};

/// Write any checkpoint as one safetensors file
#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// The checkpoint: a folder, or a .safetensors, .pth or .pth.tar file
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The safetensors file to write, or `-` for standard output
    #[arg(value_name = "OUT")]
    output: PathBuf,
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
        let weights = Weights::open(&self.input)?;
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
        if let (Some(config), None) = (config_of(&self.input), config_of(&self.output)) {
            let config = config.display();
            note(&format!("note: {config} was not copied; to use it, copy it beside the new file, called model.safetensors"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The configuration that counts for a checkpoint: in its folder, or beside a file of Hugging Face's name.
fn config_of(checkpoint: &Path) -> Option<PathBuf> {
    let name = checkpoint.file_name().unwrap_or_default().to_string_lossy();
    let config = match checkpoint.is_dir() {
        true => checkpoint.join("config.json"),
        false if name.starts_with("model") || name.starts_with("pytorch_model") => checkpoint.with_file_name("config.json"),
        false => return None,
    };
    config.is_file().then_some(config)
}
