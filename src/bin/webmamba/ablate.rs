//! `webmamba ablate`: what each difference between linear attention and Mamba costs on this device, beside the figures of the paper that
//! lists them (Han et al., NeurIPS 2024, "Demystify Mamba in Vision").

use std::{num::NonZeroUsize, process::ExitCode, time::Duration};

use clap::Args;
use serde_json::{Value, json};
use webmamba::{
    Device, Error, Model, Result, Tensor,
    low_level::session::{Session, Timing},
};

use crate::{
    args::{DeviceArgs, adapter_name, parse_size},
    bench::{noise, timed},
    terminal::{Outcome, note, print, print_json, progress, rounded},
};

const EXAMPLES: &str = "Examples:
  webmamba ablate --device cpu
  webmamba ablate --adapter llvmpipe --only forget_gate,rope --rounds 3
  webmamba ablate --json > ablation.json";

/// Measure what each difference between linear attention and Mamba costs on this device
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Ablate {
    /// Images a run
    #[arg(long, value_name = "N", default_value = "1")]
    batch: NonZeroUsize,
    /// Input size instead of the paper's 224: N or HEIGHTxWIDTH in pixels
    #[arg(long, value_name = "HxW", value_parser = parse_size)]
    size: Option<[usize; 2]>,
    /// Rounds, each of one run of the baseline and one of the row
    #[arg(long, value_name = "N", default_value = "9")]
    rounds: NonZeroUsize,
    /// Only these rows, such as forget_gate,rope
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What the paper says of a network: millions of parameters, billions of operations, images a second on its authors' GPU, top-1.
type Paper = (f64, f64, Option<f64>, f64);

/// Rows of the paper's tables by the last part of their preset's name, as the paper calls them.
const ROWS: [(&str, &str, Paper); 12] = [
    ("baseline", "baseline: linear attention", (28.0, 4.5, Some(1152.0), 77.6)),
    ("input_gate", "+ input gate", (29.0, 4.5, Some(1069.0), 77.8)),
    ("forget_gate", "+ forget gate", (29.0, 4.8, Some(743.0), 78.4)),
    ("shortcut", "+ shortcut", (28.0, 4.5, Some(1066.0), 77.8)),
    ("no_normalization", "- normalisation", (28.0, 4.5, Some(1215.0), 72.4)),
    ("single_head", "- multi-head", (24.0, 3.9, Some(1540.0), 73.5)),
    ("block", "+ block design", (31.0, 4.8, Some(1010.0), 80.9)),
    ("ape", "+ APE", (30.0, 4.5, Some(1132.0), 80.0)),
    ("lepe", "+ LePE", (28.0, 4.5, Some(1074.0), 81.6)),
    ("cpe", "+ CPE", (28.0, 4.5, Some(1099.0), 81.7)),
    ("rope", "+ RoPE", (28.0, 4.5, Some(1113.0), 80.0)),
    ("mila", "MILA-T", (25.0, 4.2, None, 83.5)),
];

/// The throughput that the paper compares with.
const PAPER_BASELINE: f64 = 1152.0;

const BASELINE: &str = "unified_t";

/// A network, ready to run.
struct Network {
    session: Session,
    input: Tensor,
    parameters: u64,
    macs: u64,
}

/// What was measured of one.
struct Measured {
    name: &'static str,
    title: &'static str,
    paper: Paper,
    parameters: u64,
    macs: u64,
    images_per_s: f64,
    /// Images a second over the baseline's of the same round, the median of the rounds.
    ratio: f64,
    /// Share of scans or attention, where the device can tell.
    share: Option<f64>,
}

impl Ablate {
    async fn network(&self, arch: &str, device: &Device) -> Result<Network> {
        let model = Model::synthetic(arch, self.size)?;
        let batch = self.batch.get();
        let graph = model.graph(&model.options(batch))?.select(&["logits"])?;
        let [h, w] = model.preprocess.size;
        let input = noise("input.bench", [batch, h, w, 3], 2.0)?;
        let (parameters, macs) = (model.parameter_count()?, graph.macs() / batch as u64);
        let mut session = Session::new(&graph, device).await?;
        timed(&mut session, &input).await?;
        Ok(Network { session, input, parameters, macs })
    }

    pub(crate) async fn run(self) -> Outcome {
        let wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        if let Some(name) = self.only.iter().find(|only| !ROWS.iter().any(|(name, ..)| name == only)) {
            let names: Vec<&str> = ROWS.iter().map(|(name, ..)| *name).collect();
            return Err(Error::InvalidArgument(format!("there is no row `{name}`; there are {}", names.join(", "))).into());
        }
        let (device, reason) = self.device.open().await?;
        note(&format!("on {reason}"));
        let mut baseline = self.network(BASELINE, &device).await?;
        let mut rows = Vec::new();
        let bar = progress(ROWS.len() as u64, "{bar:24} {msg}", !self.json);
        for (name, title, paper) in ROWS.into_iter().filter(|(name, ..)| wanted(name)) {
            bar.set_message(title);
            let mut own = match name {
                "baseline" => None,
                _ => Some(self.network(&format!("{BASELINE}_{name}"), &device).await?),
            };
            let (mut times, mut ratios) = (Vec::new(), Vec::new());
            for round in 0..self.rounds.get() {
                let [base, time] = self.round(&mut baseline, own.as_mut(), round).await?;
                times.push(time.as_secs_f64());
                ratios.push(base.as_secs_f64() / time.as_secs_f64());
            }
            let network = own.as_mut().unwrap_or(&mut baseline);
            rows.push(Measured {
                name,
                title,
                paper,
                parameters: network.parameters,
                macs: network.macs,
                images_per_s: self.batch.get() as f64 / median(&mut times),
                ratio: median(&mut ratios),
                share: share(network).await?,
            });
            bar.inc(1);
        }
        bar.finish_and_clear();
        if self.json {
            let rows: Vec<Value> = rows.iter().map(Measured::json).collect();
            print_json(&json!({
                "device": device.name(),
                "adapter": adapter_name(&device),
                "batch": self.batch,
                "rounds": self.rounds,
                "rows": rows,
            }))?;
        } else {
            print(&table(&rows))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Times of the baseline and of a row, first the one, then the other; of the baseline alone twice the same.
    async fn round(&self, baseline: &mut Network, own: Option<&mut Network>, round: usize) -> Result<[Duration; 2]> {
        let Some(own) = own else { return Ok([timed(&mut baseline.session, &baseline.input).await?; 2]) };
        let mut times = [Duration::ZERO; 2];
        for turn in 0..2 {
            let which = (round + turn) % 2;
            let network = if which == 0 { &mut *baseline } else { &mut *own };
            times[which] = timed(&mut network.session, &network.input).await?;
        }
        Ok(times)
    }
}

/// The share of scans and linear attention in one run; `None` where the adapter has no clock.
async fn share(network: &mut Network) -> Result<Option<f64>> {
    let timings = match network.session.profile(&network.input).await {
        Ok((_, timings)) => timings,
        Err(Error::InvalidArgument(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let sum = |of: &dyn Fn(&Timing) -> bool| timings.iter().filter(|t| of(t)).map(|t| t.time.as_secs_f64()).sum::<f64>();
    let mixing = sum(&|t| ["selective_scan", "linear_attention"].contains(&t.op));
    Ok(Some(mixing / sum(&|_| true).max(f64::MIN_POSITIVE)))
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

impl Measured {
    fn json(&self) -> Value {
        let (parameters, flops, images, top1) = self.paper;
        json!({
            "name": self.name,
            "parameters": self.parameters,
            "macs": self.macs,
            "images_per_s": rounded(self.images_per_s, 3),
            "of_baseline": rounded(self.ratio, 4),
            "scan_share": self.share.map(|share| rounded(share, 4)),
            "paper": {
                "parameters": parameters * 1e6,
                "flops": flops * 1e9,
                "images_per_s": images,
                "of_baseline": images.map(|images| rounded(images / PAPER_BASELINE, 4)),
                "top1": top1,
            },
        })
    }
}

fn table(rows: &[Measured]) -> String {
    let width = rows.iter().map(|row| row.title.len()).max().unwrap_or_default();
    let mut text = format!(
        "{:width$}                                              scan or |                          paper\n\
         {:width$}  params   MACs  images/s  of baseline  attention | params  FLOPs  images/s  of baseline  top-1",
        "", ""
    );
    for row in rows {
        let (parameters, flops, images, top1) = row.paper;
        let share = row.share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", share * 100.0));
        let images_of_paper = images.map_or_else(|| "-".to_owned(), |images| format!("{images:.0}"));
        let ratio_of_paper = images.map_or_else(|| "-".to_owned(), |images| format!("{:.1} %", images / PAPER_BASELINE * 100.0));
        text += &format!(
            "\n{:width$}  {:5.2}M  {:4.2}G  {:8.2}  {:9.1} %  {share:>9} |   {parameters:.0}M   {flops:.1}G  {images_of_paper:>8}  \
             {ratio_of_paper:>11}  {top1:.1}",
            row.title,
            row.parameters as f64 / 1e6,
            row.macs as f64 / 1e9,
            row.images_per_s,
            row.ratio * 100.0,
        );
    }
    text
}
