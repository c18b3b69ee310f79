//! `webmamba bench --ops scan`: selective scans of all lengths, numbers of states and directions, in bytes a second beside what a copy of as
//! many bytes reaches on the device.

use std::{process::ExitCode, time::Duration};

use serde_json::{Value, json};
use webmamba::{
    Device, Error, Result, Tensor,
    low_level::{
        graph::{Graph, Layout},
        ops::{Act, Activation, Direction, Linear, Scale, SelectiveScan},
        session::Session,
    },
};

use crate::{
    args::adapter_name,
    bench::noise,
    terminal::{Outcome, ms, note, print, print_json, rounded},
};

/// Tokens: windows of 7 x 7, and maps of 14 x 14 to 128 x 128.
const SIDES: [usize; 8] = [7, 14, 28, 32, 40, 56, 80, 128];

const STATES: [usize; 2] = [1, 16];

/// Channels that are scanned: those of a small model's second stage.
const CHANNELS: usize = 192;

/// Runs of which the fastest counts.
const RUNS: usize = 3;

/// Ways through a map, by whether they take its columns and whether they go backwards.
const WAYS: [(&str, bool, bool); 4] =
    [("by rows", false, false), ("backwards", false, true), ("by columns", true, false), ("backwards", true, true)];

/// A length and a number of states.
struct Line {
    tokens: usize,
    states: usize,
    /// Dispatches of a scan; more than one past what a workgroup scans at once.
    steps: usize,
    bytes: usize,
    /// In each direction.
    times: Vec<Duration>,
    copy: Duration,
}

pub(crate) async fn run(device: &Device, json: bool) -> Outcome {
    let mut lines = Vec::new();
    for states in STATES {
        for side in SIDES {
            lines.push(measure(device, side, states).await?);
            note(&format!("{} tokens, {states} states", side * side));
        }
    }
    if json {
        let lines: Vec<Value> = lines.iter().map(Line::json).collect();
        print_json(&json!({
            "device": device.name(), "adapter": adapter_name(device), "channels": CHANNELS, "scans": lines,
        }))?;
    } else {
        print(&table(&lines))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn measure(device: &Device, side: usize, states: usize) -> Result<Line> {
    let tokens = side * side;
    // u, delta and the result; B and C.
    let bytes = 4 * tokens * (3 * CHANNELS + 2 * states);
    let (mut times, mut steps) = (Vec::new(), 0);
    for (_, columns, reversed) in WAYS {
        let direction = Direction { height: if columns { side } else { 1 }, reversed };
        let (graph, input) = scan(tokens, states, direction)?;
        let (time, count) = best(&graph, &input, device, "selective_scan").await?;
        times.push(time);
        steps = count;
    }
    let copy = copy_time(device, [1, bytes / 8 / CHANNELS, CHANNELS]).await?;
    Ok(Line { tokens, states, steps, bytes, times, copy })
}

/// How long a copy of a value of this shape takes, without transfers.
pub(crate) async fn copy_time(device: &Device, shape: [usize; 3]) -> Result<Duration> {
    let mut graph = Graph::new();
    let x = graph.input("x", shape);
    let y = graph.op("copy", Activation(Act::Identity), vec![x])?;
    graph.output("y", y, Layout::Plain);
    Ok(best(&graph, &noise("input.copy", shape, 1.0)?, device, "activation").await?.0)
}

/// A scan whose operands are three tensors, made of the one input.
fn scan(tokens: usize, states: usize, direction: Direction) -> Result<(Graph, Tensor)> {
    let mut graph = Graph::new();
    let shape = [1, tokens, CHANNELS];
    let x = graph.input("x", shape);
    let constant = |graph: &mut Graph, name: &str, shape: &[usize], lo: f64, hi: f64| -> Result<_> {
        let values = noise(name, shape.to_vec(), (hi - lo) / 2.0)?;
        let middle = f64::midpoint(lo, hi) as f32;
        let values: Vec<f32> = values.to_f32().iter().map(|v| v + middle).collect();
        Ok(graph.constant(name, Tensor::from_f32(shape.to_vec(), values)?))
    };
    let gamma = constant(&mut graph, "gamma", &[CHANNELS], 0.5, 1.5)?;
    let delta = graph.op("delta", Scale, vec![x, gamma])?;
    let weight = constant(&mut graph, "weight", &[2 * states, CHANNELS], -0.1, 0.1)?;
    let bc = graph.op("bc", Linear::default(), vec![x, weight])?;
    let a = constant(&mut graph, "a", &[CHANNELS, states], -8.0, -0.2)?;
    let d = constant(&mut graph, "d", &[CHANNELS], 0.5, 1.5)?;
    let bias = constant(&mut graph, "bias", &[CHANNELS], -4.0, -1.0)?;
    let op = SelectiveScan { direction, ..SelectiveScan::default() };
    let y = graph.op("scan", op, vec![x, delta, bc, a, d, bias])?;
    graph.output("y", y, Layout::Plain);
    Ok((graph, noise("input.scan", shape, 1.0)?))
}

/// The shortest time of the steps of one operator, without transfers, and how many these are.
async fn best(graph: &Graph, input: &Tensor, device: &Device, op: &str) -> Result<(Duration, usize)> {
    let mut session = Session::new(graph, device).await?;
    session.run(input).await?;
    let (mut best, mut count) = (Duration::MAX, 0);
    for _ in 0..RUNS {
        let (_, timings) = session.profile(input).await?;
        let times: Vec<Duration> = timings.iter().filter(|timing| timing.op == op).map(|timing| timing.time).collect();
        count = times.len();
        let time: Duration = times.iter().sum();
        // A clock that stood still tells nothing.
        best = if time.is_zero() { best } else { best.min(time) };
    }
    if best == Duration::MAX {
        return Err(Error::InvalidArgument("the device's clock is too coarse to time an operator".to_owned()));
    }
    Ok((best, count))
}

impl Line {
    fn rate(&self, time: Duration) -> f64 {
        self.bytes as f64 / time.as_secs_f64() / 1e9
    }

    fn json(&self) -> Value {
        let ways: Vec<Value> = WAYS
            .iter()
            .zip(&self.times)
            .map(|((_, columns, reversed), time)| {
                json!({
                    "columns": columns, "reversed": reversed, "ms": ms(*time), "gb_per_s": rounded(self.rate(*time), 3),
                })
            })
            .collect();
        json!({
            "tokens": self.tokens, "states": self.states, "dispatches": self.steps, "bytes": self.bytes, "directions": ways,
            "copy_ms": ms(self.copy), "copy_gb_per_s": rounded(self.rate(self.copy), 3),
        })
    }
}

fn table(lines: &[Line]) -> String {
    let mut text = format!("{CHANNELS} channels; milliseconds, and GB/s of operands and result\n");
    text += "states  tokens  dispatches";
    for (way, ..) in WAYS {
        text += &format!("  {way:>17}");
    }
    text += "  a copy, GB/s";
    for line in lines {
        text += &format!("\n{:6}  {:6}  {:10}", line.states, line.tokens, line.steps);
        for time in &line.times {
            text += &format!("  {:9.3} {:7.2}", ms(*time), line.rate(*time));
        }
        text += &format!("  {:12.2}", line.rate(line.copy));
    }
    text
}
