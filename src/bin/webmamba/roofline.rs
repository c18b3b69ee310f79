//! What the operators of a model cost on paper, and beside it how long they took: `info --costs` and `bench --roofline`.

use std::time::Duration;

use serde_json::{Value, json};
use webmamba::low_level::plan::{Cost, Rates};

use crate::{
    profile::Profile,
    terminal::{ms, rounded},
};

/// All operators of one kind.
struct Line {
    op: &'static str,
    count: usize,
    macs: u64,
    weights: u64,
    activations: u64,
    /// With rates: the least time, and how much of it is that of operators that memory holds up.
    ideal: Duration,
    memory: Duration,
    measured: Option<Duration>,
}

/// Costs per kind of operator, those of the most multiply-adds first; the last line is the whole model.
pub(crate) struct Roofline {
    lines: Vec<Line>,
    rates: Option<Rates>,
}

impl Roofline {
    pub(crate) fn new(costs: &[Cost], rates: Option<Rates>, profile: Option<&Profile>) -> Self {
        let mut lines: Vec<Line> = Vec::new();
        for cost in costs {
            let place = lines.iter().position(|line| line.op == cost.op).unwrap_or_else(|| {
                lines.push(Line::new(cost.op, profile.map(|profile| profile.time_of(cost.op))));
                lines.len() - 1
            });
            lines[place].add(cost, rates);
        }
        lines.sort_by_key(|line| std::cmp::Reverse((line.macs, line.weights + line.activations)));
        let mut all = Line::new("all", profile.map(Profile::total));
        costs.iter().for_each(|cost| all.add(cost, rates));
        lines.push(all);
        Self { lines, rates }
    }

    pub(crate) fn json(&self) -> Value {
        let lines: Vec<Value> = self.lines.iter().map(|line| line.json(self.rates.is_some())).collect();
        match self.rates {
            Some(rates) => json!({
                "gb_per_s": rounded(rates.bytes / 1e9, 3), "gflops": rounded(rates.macs / 0.5e9, 3), "ops": lines,
            }),
            None => json!({ "ops": lines }),
        }
    }

    pub(crate) fn text(&self) -> String {
        let width = self.lines.iter().map(|line| line.op.len()).max().unwrap_or_default();
        let measured = self.lines.iter().any(|line| line.measured.is_some());
        let mut text = String::new();
        if let Some(Rates { bytes, macs }) = self.rates {
            text += &format!("at {:.1} GB/s and {:.1} GFLOP/s\n", bytes / 1e9, macs / 0.5e9);
        }
        text += &format!("{:width$}  count  million multiply-adds  MB of weights  MB of activations", "op");
        text += if self.rates.is_some() { "  ideal ms  memory" } else { "" };
        text += if measured { "        ms  of ideal" } else { "" };
        for line in &self.lines {
            let [macs, weights, activations] = [line.macs, line.weights, line.activations].map(|n| n as f64 / 1e6);
            text += &format!("\n{:width$}  {:5}  {macs:21.2}  {weights:13.3}  {activations:17.3}", line.op, line.count);
            if self.rates.is_some() {
                text += &format!("  {:8.3}  {:4.0} %", ms(line.ideal), line.share(line.memory) * 100.0);
            }
            if let Some(time) = line.measured {
                text += &format!("  {:8.3}  {:6.1} %", ms(time), line.reached(time) * 100.0);
            }
        }
        text
    }
}

impl Line {
    fn new(op: &'static str, measured: Option<Duration>) -> Self {
        let (ideal, memory) = Default::default();
        Self { op, count: 0, macs: 0, weights: 0, activations: 0, ideal, memory, measured }
    }

    fn add(&mut self, cost: &Cost, rates: Option<Rates>) {
        self.count += 1;
        self.macs += cost.macs;
        self.weights += cost.weights;
        self.activations += cost.reads + cost.writes;
        if let Some(rates) = rates {
            let time = cost.ideal(rates);
            self.ideal += time;
            self.memory += if cost.is_bound_by_memory(rates) { time } else { Duration::ZERO };
        }
    }

    /// A part of the least time.
    fn share(&self, part: Duration) -> f64 {
        part.as_secs_f64() / self.ideal.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The least time over the measured one; zero where the clock stood still.
    fn reached(&self, time: Duration) -> f64 {
        if time.is_zero() { 0.0 } else { self.ideal.as_secs_f64() / time.as_secs_f64() }
    }

    fn json(&self, timed: bool) -> Value {
        let mut line = json!({
            "op": self.op, "count": self.count, "macs": self.macs,
            "weights_bytes": self.weights, "activation_bytes": self.activations,
        });
        if timed {
            line["ideal_ms"] = json!(ms(self.ideal));
            line["memory_share"] = json!(rounded(self.share(self.memory), 4));
        }
        if let Some(time) = self.measured {
            line["ms"] = json!(ms(time));
            line["of_ideal"] = json!(rounded(self.reached(time), 4));
        }
        line
    }
}
