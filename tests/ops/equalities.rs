//! Where linear attention and Mamba meet: scans with their switches on and off against the formulas at either end, written as plain loops
//! of their own, on every device.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use libtest_mimic::Trial;
use webmamba::{
    Tensor,
    low_level::{
        cpu::CpuExecutor,
        graph::{Graph, Layout},
        ops::{Gates, LinearAttention, Op, SelectiveScan},
        weights::fill_uniform,
    },
};

use crate::{common::runtimes, error, run, trial};

/// Tokens, heads or groups, keys and values of each.
const SIZES: [[usize; 4]; 4] = [[1, 1, 4, 4], [63, 2, 4, 8], [197, 1, 16, 20], [1100, 3, 8, 4]];

/// Largest difference between two ways to the same result, over its standard deviation.
const LIMIT: f64 = 1e-5;

fn values(name: &str, shape: &[usize], lo: f64, hi: f64) -> Vec<f32> {
    fill_uniform(name, &shape.to_vec().into(), lo, hi)
}

/// An operator's inputs, each with its shape and whether it is a constant.
type Inputs = Vec<(Vec<usize>, Vec<f32>, bool)>;

/// Trials that hold an operator against what a plain loop makes of the same numbers.
fn equality(name: &str, size: [usize; 4], op: impl Into<Op>, inputs: &Inputs, want: Vec<f32>) -> Vec<Trial> {
    let (mut graph, mut given, mut of) = (Graph::new(), Vec::new(), Vec::new());
    for (i, (shape, values, constant)) in inputs.iter().enumerate() {
        let tensor = Tensor::from_f32(shape.clone(), values.clone()).unwrap();
        of.push(if *constant {
            graph.constant(format!("c{i}"), tensor.clone())
        } else {
            graph.input(format!("x{i}"), shape.clone())
        });
        given.extend((!constant).then_some(tensor));
    }
    let y = graph.op("y", op, of).unwrap();
    graph.output("y", y, Layout::Plain);
    let [tokens, groups, _, head] = size;
    let want = Tensor::from_f32([1, tokens, groups * head], want).unwrap();
    let hold = move |got: &Tensor, want: &Tensor| {
        let error = error(got, want);
        assert!(error <= LIMIT, "error {error:.1e}");
    };
    let title = format!("{name} of {size:?}");
    let mut trials: Vec<Trial> = runtimes::classes()
        .into_iter()
        .map(|runtime| {
            let (graph, given, want) = (graph.clone(), given.clone(), want.clone());
            trial(format!("{title} on {}", runtime.name), move || hold(&run(&runtime, &graph, &given).0, &want))
        })
        .collect();
    trials.push(trial(format!("{title} on the CPU"), move || {
        let got = CpuExecutor::new(&graph).unwrap().run(&given.iter().collect::<Vec<_>>()).unwrap().remove(0);
        hold(&got, &want);
    }));
    trials
}

pub(crate) fn trials() -> Vec<Trial> {
    SIZES.into_iter().flat_map(|size| [mamba(size), causal(size), parallel(size)]).flatten().collect()
}

/// All switches on: Mamba's recurrence, as its paper has it.
fn mamba([tokens, groups, states, head]: [usize; 4]) -> Vec<Trial> {
    let (channels, n) = (groups * head, states);
    let u = values("u", &[tokens, channels], -1.0, 1.0);
    let delta = values("delta", &[tokens, channels], -2.0, 1.0);
    let bc = values("bc", &[tokens, 2 * n], -1.0, 1.0);
    let a = values("a", &[channels, n], -4.0, -0.05);
    let d = values("d", &[channels], -1.0, 1.0);
    let bias = values("bias", &[channels], -2.0, 0.0);
    let mut want = vec![0.0; tokens * channels];
    for c in 0..channels {
        let mut h = vec![0.0f64; n];
        for t in 0..tokens {
            let (u, dt) = (f64::from(u[t * channels + c]), f64::from(delta[t * channels + c]) + f64::from(bias[c]));
            let dt = (1.0 + dt.exp()).ln();
            let mut y = f64::from(d[c]) * u;
            for i in 0..n {
                let [b, out_of] = [0, n].map(|part| f64::from(bc[t * 2 * n + part + i]));
                h[i] = (dt * f64::from(a[c * n + i])).exp() * h[i] + dt * b * u;
                y += out_of * h[i];
            }
            want[t * channels + c] = y as f32;
        }
    }
    let of = |width: usize| vec![1, tokens, width];
    let inputs = vec![
        (of(channels), u, false),
        (of(channels), delta, false),
        (of(2 * n), bc, false),
        (vec![channels, n], a, true),
        (vec![channels], d, true),
        (vec![channels], bias, true),
    ];
    let gates = Gates { groups: 1, input: true, forget: true, shortcut: true, normalised: false, rotated: false };
    let op = SelectiveScan { gates, ..SelectiveScan::default() };
    equality("all gates on is Mamba's scan", [tokens, 1, states, channels], op, &inputs, want)
}

/// Weighted means of values over the tokens `0..visible(t)`, by the products of queries and keys.
fn attention(
    [tokens, groups, d, e]: [usize; 4],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    visible: impl Fn(usize) -> usize,
    eps: f64,
) -> Vec<f32> {
    let mut want = vec![0.0; tokens * groups * e];
    for (t, g) in (0..tokens).flat_map(|t| (0..groups).map(move |g| (t, g))) {
        let weight = |j: usize| -> f64 {
            let at = |x: &[f32], t: usize, i: usize| f64::from(x[t * groups * d + g * d + i]);
            (0..d).map(|i| at(q, t, i) * at(k, j, i)).sum()
        };
        let weights: Vec<f64> = (0..visible(t)).map(weight).collect();
        let sum: f64 = weights.iter().sum::<f64>() + eps;
        for c in 0..e {
            let at = |j: usize| f64::from(v[j * groups * e + g * e + c]);
            want[t * groups * e + g * e + c] = (weights.iter().enumerate().map(|(j, w)| w * at(j)).sum::<f64>() / sum) as f32;
        }
    }
    want
}

fn queries([tokens, groups, d, e]: [usize; 4]) -> [Vec<f32>; 3] {
    let positive = |name| values(name, &[tokens, groups * d], 0.05, 2.0);
    [positive("q"), positive("k"), values("v", &[tokens, groups * e], -1.0, 1.0)]
}

/// Rows of one beside rows of the other.
fn beside(a: &[f32], b: &[f32], width: usize) -> Vec<f32> {
    a.chunks(width).zip(b.chunks(width)).flat_map(|(a, b)| [a, b].concat()).collect()
}

/// The forget gate off: causal linear attention.
fn causal(size @ [tokens, groups, d, e]: [usize; 4]) -> Vec<Trial> {
    let [q, k, v] = queries(size);
    let want = attention(size, &q, &k, &v, |t| t + 1, 1e-6);
    let gates = Gates { groups, input: false, forget: false, shortcut: false, normalised: true, rotated: false };
    let inputs =
        vec![(vec![1, tokens, groups * e], v, false), (vec![1, tokens, 2 * groups * d], beside(&k, &q, groups * d), false)];
    let op = SelectiveScan { gates, ..SelectiveScan::default() };
    equality("no forget gate is causal linear attention", size, op, &inputs, want)
}

/// The order off: every token sees all tokens.
fn parallel(size @ [tokens, groups, d, e]: [usize; 4]) -> Vec<Trial> {
    let [q, k, v] = queries(size);
    let want = attention(size, &q, &k, &v, |_| tokens, 1e-6 * tokens as f64);
    let qk = (vec![1, tokens, 2 * groups * d], beside(&q, &k, groups * d), false);
    let inputs = vec![qk.clone(), (vec![1, tokens, groups * e], v, false), qk];
    let op = LinearAttention { heads: groups, fused_rope: false, normalised: true };
    equality("no order is linear attention", size, op, &inputs, want)
}
