//! Files that commands write: `-` is standard output, and no input is overwritten.

use std::{
    io::{self, ErrorKind, IsTerminal},
    path::Path,
};

use webmamba::{
    Error, Weights,
    low_level::{
        tensor::DType,
        weights::{same_file, write_safetensors, write_safetensors_to},
    },
};

use crate::terminal::Failure;

/// Writes tensors as safetensors to `out`, which must be none of `inputs` and no file that the tensors are read from.
pub(crate) fn write(
    weights: &Weights,
    out: &Path,
    dtype: Option<DType>,
    inputs: &[&Path],
    progress: impl FnMut(u64, u64),
) -> Result<(), Failure> {
    if out == Path::new("-") {
        if io::stdout().is_terminal() {
            let reason = "standard output is a terminal; lead it into a file or a program, or name a file";
            return Err(Error::InvalidArgument(reason.into()).into());
        }
        let written = write_safetensors_to(weights, Path::new("standard output"), &mut io::stdout().lock(), dtype, progress);
        return written.map_err(|error| match error {
            Error::Io { source, .. } if source.kind() == ErrorKind::BrokenPipe => Failure::Closed,
            error => error.into(),
        });
    }
    if inputs.iter().any(|input| same_file(input, out)) {
        return Err(Error::InvalidArgument(format!("{} is an input; write to another file", out.display())).into());
    }
    Ok(write_safetensors(weights, out, dtype, progress)?)
}
