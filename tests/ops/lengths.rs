//! Scans of lengths from 1 to 20,000, in every direction: what a scan gives for its first tokens does not depend on how many follow, so
//! one evaluation of the longest is the answer to all of them, wherever a direction puts the tokens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::{Arc, OnceLock};

use libtest_mimic::Trial;
use webmamba::{
    Tensor,
    low_level::{
        cpu::CpuExecutor,
        graph::{Graph, Layout},
        ops::{Direction, SelectiveScan},
        oracle,
        weights::fill_uniform,
    },
};

use crate::{common::runtimes, error, run, trial};

const LONGEST: usize = 20_000;
const CHANNELS: usize = 5;
/// As [`super::common::cases::Tolerance::Accumulated`].
const LIMIT: f64 = 2e-5;

/// The tokens of the longest scan in its order, and what it gives.
struct Longest {
    states: usize,
    /// u, delta, and B with C, each with its channels.
    operands: [(usize, Vec<f32>); 3],
    y: Vec<f32>,
}

impl Longest {
    fn new(states: usize) -> Self {
        let of = |name: &str, width: usize, lo: f64, hi: f64| (width, fill_uniform(name, &vec![LONGEST, width].into(), lo, hi));
        let operands = [of("u", CHANNELS, -1.0, 1.0), of("delta", CHANNELS, -2.0, 1.0), of("bc", 2 * states, -1.0, 1.0)];
        let mut longest = Self { states, operands, y: Vec::new() };
        let (graph, inputs, _) = longest.scan(LONGEST, Direction::FORWARD);
        longest.y = oracle::run(&graph, &inputs.iter().collect::<Vec<_>>()).unwrap()[0].to_f32().into_owned();
        longest
    }

    /// A scan of the first tokens, which a direction puts elsewhere, and what it must give.
    fn scan(&self, length: usize, direction: Direction) -> (Graph, Vec<Tensor>, Tensor) {
        let width = length / direction.height;
        let place = |i: usize| {
            let i = if direction.reversed { length - 1 - i } else { i };
            if direction.height == 1 { i } else { i % direction.height * width + i / direction.height }
        };
        let put = |values: &[f32], width: usize| {
            let mut put = vec![0.0; length * width];
            for (i, token) in values.chunks_exact(width).take(length).enumerate() {
                put[place(i) * width..][..width].copy_from_slice(token);
            }
            Tensor::from_f32([1, length, width], put).unwrap()
        };
        let mut graph = Graph::new();
        let mut of: Vec<_> =
            self.operands.iter().enumerate().map(|(i, (width, _))| graph.input(format!("x{i}"), [1, length, *width])).collect();
        for (name, shape, lo, hi) in [
            ("a", vec![CHANNELS, self.states], -4.0, -0.05),
            ("d", vec![CHANNELS], -1.0, 1.0),
            ("bias", vec![CHANNELS], -2.0, 0.0),
        ] {
            let values = fill_uniform(name, &shape.clone().into(), lo, hi);
            of.push(graph.constant(name, Tensor::from_f32(shape, values).unwrap()));
        }
        let y = graph.op("y", SelectiveScan { direction, ..SelectiveScan::default() }, of).unwrap();
        graph.output("y", y, Layout::Plain);
        let inputs = self.operands.iter().map(|(width, values)| put(values, *width)).collect();
        (graph, inputs, put(&self.y, CHANNELS))
    }
}

/// By rows and by columns, forwards and backwards; of a prime number of tokens the map has one column.
fn directions(length: usize) -> [Direction; 4] {
    let height = (2..=length).find(|height| length.is_multiple_of(*height)).unwrap_or(1);
    [(1, false), (1, true), (height, false), (height, true)].map(|(height, reversed)| Direction { height, reversed })
}

/// Lengths around those at which runs, blocks and workgroups are full, and some between.
fn awkward() -> Vec<usize> {
    let around = |n: usize| [n - 1, n, n + 1];
    let mut lengths: Vec<usize> =
        (1..=40).chain([64, 128, 256, 512, 768, 1024, 2048, 4096, 8192, 16_384].into_iter().flat_map(around)).collect();
    lengths.extend([197, 784, 1757, 3136, 6007, 12_544, 19_999, LONGEST]);
    lengths
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for states in [1, 16] {
        let longest: Arc<OnceLock<Longest>> = Arc::default();
        let of = longest.clone();
        trials.push(trial(format!("selective_scan of many lengths, {states} states, on the CPU"), move || {
            let longest = of.get_or_init(|| Longest::new(states));
            // Each one of the short, and beyond those in steps that no block divides.
            for length in (1..=700).chain((701..=LONGEST).step_by(449)).chain([LONGEST]) {
                for direction in directions(length) {
                    let (graph, inputs, want) = longest.scan(length, direction);
                    let got = CpuExecutor::new(&graph).unwrap().run(&inputs.iter().collect::<Vec<_>>()).unwrap().remove(0);
                    assert!(error(&got, &want) <= LIMIT, "{length} tokens, {direction:?}: {:.1e}", error(&got, &want));
                }
            }
        }));
        for runtime in runtimes::classes() {
            let longest = longest.clone();
            trials.push(trial(format!("selective_scan of awkward lengths, {states} states, on {}", runtime.name), move || {
                let longest = longest.get_or_init(|| Longest::new(states));
                for length in awkward() {
                    let [rows, backwards, columns, upwards] = directions(length);
                    for direction in if length.is_multiple_of(2) { [rows, upwards] } else { [backwards, columns] } {
                        let (graph, inputs, want) = longest.scan(length, direction);
                        let (got, clean) = run(&runtime, &graph, &inputs);
                        assert!(
                            clean && error(&got, &want) <= LIMIT,
                            "{length} tokens, {direction:?}: {:.1e}",
                            error(&got, &want)
                        );
                    }
                }
            }));
        }
    }
    trials
}
