//! `webmamba bench`: how fast a model is, beside what a plain matrix product reaches in the same run.

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use indicatif::HumanBytes;
use serde_json::json;
use webmamba::{
    Device, Error, Model, ModelOptions, Result, Tensor,
    low_level::{
        models::preset_names,
        session::{Session, SessionStats},
        tensor::Shape,
        weights::fill_uniform,
    },
};

use crate::{
    args::{DeviceArgs, adapter_name, default_model, note_assumptions, open_model, parse_size, warn_non_finite},
    bench_scan,
    profile::Profile,
    rates,
    roofline::Roofline,
    terminal::{Outcome, ms, note, pairs, print, print_json, rounded},
};

/// Runs that a profile is the average of.
const PROFILE_RUNS: usize = 3;

const EXAMPLES: &str = "Examples:
  webmamba bench --synthetic --arch mamba_vision_t
  webmamba bench MambaVision-T-1K/ --batch 8 --profile
  webmamba bench --synthetic --arch mila_t --size 256x192 --device cpu --json
  webmamba bench --synthetic --arch vmamba_t_s1l8 --roofline
  webmamba bench --ops scan --device cpu";

/// Measure how fast a model is, without decoding and preprocessing
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Bench {
    /// The checkpoint: a folder with config.json and model.safetensors, or a .safetensors, .pth or .pth.tar file
    #[arg(value_name = "MODEL", conflicts_with = "synthetic")]
    model: Option<PathBuf>,
    /// Which published variant it is: for --synthetic, or where the checkpoint does not tell
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,
    /// Make up weights for the variant named by --arch: no file is needed
    #[arg(long)]
    synthetic: bool,
    /// Images a run
    #[arg(long, value_name = "N", default_value = "1")]
    batch: NonZeroUsize,
    /// Input size instead of the model's own: N or HEIGHTxWIDTH in pixels
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    size: Option<[usize; 2]>,
    /// Measured runs, after the first and one more to warm up
    #[arg(long, value_name = "N", default_value = "10")]
    iters: NonZeroUsize,
    #[command(flatten)]
    device: DeviceArgs,
    /// Add the time per operator and kernel
    #[arg(long)]
    profile: bool,
    /// Add the time per operator beside the least that its bytes and multiply-adds take, at the rates of a copy and of the best matrix
    /// product that are measured in the same run
    #[arg(long)]
    roofline: bool,
    /// Measure operators instead of a model: selective scans over lengths, states and directions
    #[arg(long, value_enum, value_name = "OPS", conflicts_with_all = ["model", "arch", "synthetic", "batch", "size", "iters", "profile", "roofline"])]
    ops: Option<Ops>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Operators that can be measured alone.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ops {
    /// Selective scans.
    Scan,
}

/// What was measured.
struct Report {
    model: Model,
    device: Device,
    batch: usize,
    load: Duration,
    first: Duration,
    /// Sorted.
    runs: Vec<Duration>,
    stats: SessionStats,
    gemm_gflops: f64,
    profile: Option<Profile>,
    roofline: Option<Roofline>,
}

impl Bench {
    fn model(&self) -> Result<Model> {
        match (&self.model, &self.arch) {
            (_, Some(arch)) if self.synthetic => Model::synthetic(arch, self.size),
            (path, arch) if !self.synthetic && (path.is_some() || arch.is_none()) => {
                let path = path.clone().map_or_else(default_model, Ok)?;
                open_model(&path, &ModelOptions { arch: self.arch.clone(), size: self.size, ..ModelOptions::default() })
            }
            _ => {
                let names = preset_names().join(", ");
                let reason = format!("`--synthetic` and `--arch NAME` go together without a file; NAME is one of {names}");
                Err(Error::InvalidArgument(reason))
            }
        }
    }

    pub(crate) async fn run(self) -> Outcome {
        if let Some(Ops::Scan) = self.ops {
            let (device, reason) = self.device.open().await?;
            note(&format!("on {reason}"));
            return bench_scan::run(&device, self.json).await;
        }
        let start = Instant::now();
        let model = self.model()?;
        let (device, reason) = self.device.open().await?;
        let batch = self.batch.get();
        let graph = model.graph(&model.options(batch))?;
        let output = if model.architecture.num_classes() > 0 { "logits" } else { "pooled" };
        let graph = graph.select(&[output])?;
        let mut session = Session::new(&graph, &device).await?;
        let load = start.elapsed();
        note(&format!("{} on {reason}", model.name));
        note_assumptions(&model);

        let input = noise("input.bench", model.input_shape(batch), 2.0)?;
        let first = timed(&mut session, &input).await?;
        timed(&mut session, &input).await?;
        let mut runs = Vec::with_capacity(self.iters.get());
        for _ in 0..self.iters.get() {
            runs.push(timed(&mut session, &input).await?);
        }
        runs.sort();
        let mut profile = match () {
            () if self.roofline => Some(profile(&mut session, &input).await?),
            () if self.profile => profile_or_note(&mut session, &input).await?,
            () => None,
        };
        let stats = session.stats();
        // Its memory is free for the product.
        drop(session);
        let gemm_gflops = rates::best_product(&device, self.roofline).await?;
        let roofline = match self.roofline {
            true => {
                let rates = rates::measure(&device, gemm_gflops).await?;
                Some(Roofline::new(&rates::costs(&graph, &device)?, Some(rates), profile.as_ref()))
            }
            false => None,
        };
        profile = profile.filter(|_| self.profile);
        if !self.synthetic {
            warn_non_finite(&model.weights);
        }

        let report = Report { model, device, batch, load, first, runs, stats, gemm_gflops, profile, roofline };
        report.print(self.json)
    }
}

pub(crate) async fn timed(session: &mut Session, input: &Tensor) -> Result<Duration> {
    let start = Instant::now();
    session.run(input).await?;
    Ok(start.elapsed())
}

async fn profile(session: &mut Session, input: &Tensor) -> Result<Profile> {
    let mut runs = Vec::new();
    for _ in 0..PROFILE_RUNS {
        runs.push(session.profile(input).await?.1);
    }
    Ok(Profile::new(&runs))
}

/// `None`, with a note, where the adapter cannot tell.
async fn profile_or_note(session: &mut Session, input: &Tensor) -> Result<Option<Profile>> {
    match profile(session, input).await {
        Err(Error::InvalidArgument(reason)) => {
            note(&format!("note: no profile: {reason}"));
            Ok(None)
        }
        profile => profile.map(Some),
    }
}

/// Values that are the same in every run, within `-bound..bound`.
pub(crate) fn noise(name: &str, shape: impl Into<Shape>, bound: f64) -> Result<Tensor> {
    let shape = shape.into();
    let values = fill_uniform(name, &shape, -bound, bound);
    Tensor::from_f32(shape, values)
}

impl Report {
    fn median(&self) -> Duration {
        let middle = self.runs.len() / 2;
        if self.runs.len() % 2 == 1 { self.runs[middle] } else { (self.runs[middle - 1] + self.runs[middle]) / 2 }
    }

    fn print(&self, json: bool) -> Outcome {
        let (model, stats) = (&self.model, &self.stats);
        let (median, [min, .., max]) = (self.median(), [self.runs[0], self.runs[self.runs.len() - 1]]);
        let images_per_s = self.batch as f64 / median.as_secs_f64();
        let gflops = 2.0 * stats.macs as f64 / median.as_secs_f64() / 1e9;
        if json {
            let mut object = json!({
                "model": model.name,
                "device": self.device.name(),
                "adapter": adapter_name(&self.device),
                "batch": self.batch,
                "size": model.preprocess.size,
                "frames": model.architecture.frames(),
                // What activations are on the device, whatever the file holds.
                "dtype": self.device.dtype(),
                "load_ms": ms(self.load),
                "first_ms": ms(self.first),
                "median_ms": ms(median),
                "min_ms": ms(min),
                "max_ms": ms(max),
                "iters": self.runs.len(),
                "images_per_s": rounded(images_per_s, 3),
                "gflops": rounded(gflops, 3),
                "dispatches": stats.dispatches,
                "weights_bytes": stats.weights_bytes,
                "activation_bytes": stats.activation_bytes,
                "gemm_gflops": rounded(self.gemm_gflops, 3),
            });
            if let Some(profile) = &self.profile {
                object["profile"] = profile.json();
            }
            if let Some(roofline) = &self.roofline {
                object["roofline"] = roofline.json();
            }
            print_json(&object)?;
            return Ok(ExitCode::SUCCESS);
        }
        let [h, w] = model.preprocess.size;
        let frames = model.architecture.frames();
        let images = match (self.batch, frames) {
            (1, 1) => "1 image".to_owned(),
            (batch, 1) => format!("{batch} images"),
            (1, frames) => format!("1 clip of {frames} frames"),
            (batch, frames) => format!("{batch} clips of {frames} frames"),
        };
        let rate = if frames == 1 { "images a second" } else { "clips a second" };
        let (weights, activations) = (HumanBytes(stats.weights_bytes), HumanBytes(stats.activation_bytes));
        let runs = if self.runs.len() == 1 { "1 run".to_owned() } else { format!("{} runs", self.runs.len()) };
        print(&format!(
            "{}, {images} of {h} x {w}, {}, on the {}",
            model.name,
            self.device.dtype(),
            self.device.name().to_uppercase()
        ))?;
        print(&pairs(&[
            ("load", format!("{:9.1} ms", ms(self.load))),
            ("first run", format!("{:9.1} ms", ms(self.first))),
            ("median", format!("{:9.1} ms   ({:.1} to {:.1} over {runs})", ms(median), ms(min), ms(max))),
            (rate, format!("{images_per_s:9.1}")),
            ("GFLOP/s", format!("{gflops:9.1}      (a plain matrix product: {:.1})", self.gemm_gflops)),
            ("dispatches", format!("{:7}", stats.dispatches)),
            ("memory", format!("{weights} of weights, {activations} of activations")),
        ]))?;
        if let Some(profile) = &self.profile {
            print(&format!("\n{}", profile.text()))?;
        }
        if let Some(roofline) = &self.roofline {
            print(&format!("\n{}", roofline.text()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
