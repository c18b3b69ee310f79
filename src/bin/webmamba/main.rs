//! The command line: Mamba-family vision models from published checkpoints, on any GPU or on the CPU.
//!
//! One file a subcommand. What others may script is on standard output; notes, warnings, errors and progress are on standard
//! error. Exit codes: 0 all fine, 1 some images failed, 2 usage or model error.

mod ablate;
mod args;
mod bench;
mod bench_scan;
mod classify;
mod convert;
mod devices;
mod eval;
mod explain;
mod heat;
mod info;
mod inputs;
mod output;
mod pattern;
mod prepare;
mod profile;
mod rates;
mod roofline;
mod run;
mod segment;
mod signals;
mod terminal;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use terminal::{Failure, note};

const EXAMPLES: &str = "Examples:
  webmamba classify cat.jpg
  webmamba classify cat.jpg --model MambaVision-T-1K/
  webmamba classify photos/ 'more/*.png' --model mila_tiny.pth --json > labels.jsonl
  webmamba segment street.jpg --model mamba_vision_160k_ade20k-512x512_tiny.pth --out maps/
  webmamba eval --data imagenet/val --model MambaVision-T-1K/
  webmamba explain cat.jpg --model vmamba_t.pth --out maps/
  webmamba info MambaVision-T-1K/
  webmamba bench --synthetic --arch mamba_vision_t
  webmamba convert checkpoint.pth.tar model.safetensors --dtype f16

A model is a folder with config.json and model.safetensors, a .safetensors, .pth or .pth.tar file, or a built-in one.
Exit codes: 0 all fine, 1 some images failed, 2 usage or model error.";

/// Mamba-family vision models (MambaVision, MILA, MambaOut, Vim, VMamba, VideoMamba) from their published checkpoints, on any GPU or on
/// the CPU.
#[derive(Debug, Parser)]
#[command(name = "webmamba", version, after_help = EXAMPLES, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Classify(classify::Classify),
    Segment(segment::Segment),
    Eval(eval::Eval),
    Explain(explain::Explain),
    Run(run::Run),
    Info(info::Info),
    Devices(devices::Devices),
    Convert(convert::Convert),
    Bench(bench::Bench),
    Ablate(ablate::Ablate),
}

/// Mesa's device-selection layer prints an error of its own where there is no desktop session, which looks like one of ours.
fn quiet_driver() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the first thing the program does, before there is a second thread.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

fn main() -> ExitCode {
    quiet_driver();
    signals::remove_unfinished_files();
    let outcome = match Cli::parse().command {
        Command::Classify(command) => pollster::block_on(command.run()),
        Command::Segment(command) => pollster::block_on(command.run()),
        Command::Eval(command) => pollster::block_on(command.run()),
        Command::Explain(command) => pollster::block_on(command.run()),
        Command::Run(command) => pollster::block_on(command.run()),
        Command::Info(command) => command.run(),
        Command::Devices(command) => pollster::block_on(command.run()),
        Command::Convert(command) => command.run(),
        Command::Bench(command) => pollster::block_on(command.run()),
        Command::Ablate(command) => pollster::block_on(command.run()),
    };
    match outcome {
        Ok(code) => code,
        // Whoever read the output has seen enough, as with `| head`: no reason to complain.
        Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(Failure::Error(error)) => {
            note(&format!("error: {error}"));
            ExitCode::from(2)
        }
    }
}
