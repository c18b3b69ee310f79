//! Where the time goes: per operator and per kernel.

use std::time::Duration;

use serde_json::{Value, json};
use webmamba::low_level::session::Timing;

use crate::terminal::{ms, rounded};

/// One line of a profile.
struct Line {
    op: &'static str,
    kernel: &'static str,
    count: usize,
    time: Duration,
}

/// Times of one run, summed per operator and kernel, the longest first.
pub(crate) struct Profile(Vec<Line>);

impl Profile {
    /// From the average of several runs.
    pub(crate) fn new(runs: &[Vec<Timing>]) -> Self {
        let mut lines: Vec<Line> = Vec::new();
        for timing in runs.iter().flatten() {
            match lines.iter_mut().find(|line| (line.op, line.kernel) == (timing.op, timing.kernel)) {
                Some(line) => {
                    line.count += 1;
                    line.time += timing.time;
                }
                None => lines.push(Line { op: timing.op, kernel: timing.kernel, count: 1, time: timing.time }),
            }
        }
        for line in &mut lines {
            line.count /= runs.len().max(1);
            line.time /= runs.len().max(1) as u32;
        }
        lines.sort_by_key(|line| std::cmp::Reverse(line.time));
        Self(lines)
    }

    /// Of all kernels of an operator.
    pub(crate) fn time_of(&self, op: &str) -> Duration {
        self.0.iter().filter(|line| line.op == op).map(|line| line.time).sum()
    }

    pub(crate) fn total(&self) -> Duration {
        self.0.iter().map(|line| line.time).sum()
    }

    fn share(&self, line: &Line) -> f64 {
        line.time.as_secs_f64() / self.total().as_secs_f64().max(f64::MIN_POSITIVE)
    }

    pub(crate) fn json(&self) -> Value {
        let lines = self.0.iter().map(|line| {
            let share = rounded(self.share(line), 4);
            json!({ "op": line.op, "kernel": line.kernel, "count": line.count, "ms": ms(line.time), "share": share })
        });
        lines.collect()
    }

    pub(crate) fn text(&self) -> String {
        let width = |name: fn(&Line) -> &str, title: &str| {
            self.0.iter().map(|line| name(line).len()).max().unwrap_or_default().max(title.len())
        };
        let (op, kernel) = (width(|line| line.op, "op"), width(|line| line.kernel, "kernel"));
        let mut text = format!("{:op$}  {:kernel$}  count        ms   share", "op", "kernel");
        for line in &self.0 {
            let share = self.share(line) * 100.0;
            text +=
                &format!("\n{:op$}  {:kernel$}  {:5}  {:8.3}  {share:4.1} %", line.op, line.kernel, line.count, ms(line.time));
        }
        let count: usize = self.0.iter().map(|line| line.count).sum();
        text + &format!("\n{:op$}  {:kernel$}  {count:5}  {:8.3}", "all", "", ms(self.total()))
    }
}
