//! Every operator against its evaluation in f64: on the CPU with every instruction set it has, and on both software adapters (and
//! hardware where there is some) with every kernel that can do its work; with NaN in everything that is not written, and guard values
//! behind every buffer of a GPU. A test a case and runtime.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "ops/equalities.rs"]
mod equalities;
#[path = "ops/lengths.rs"]
mod lengths;

use std::sync::{Arc, OnceLock};

use common::{
    cases::{Case, Tolerance, cases},
    devices,
    runtimes::{self, Runtime},
};
use libtest_mimic::{Arguments, Trial};
use webmamba::{
    Tensor,
    low_level::{
        cpu::{self, CpuExecutor},
        gpu::GpuExecutor,
        graph::{Graph, Layout},
        ops::{Linear, TopK, choices},
        oracle,
        plan::{self, Plan},
        program::{self, Gpu},
    },
};

/// Bytes watched behind every buffer.
const GUARD: u64 = 1024;

fn main() {
    let cases: Vec<Arc<Expected>> =
        cases().into_iter().map(|case| Arc::new(Expected { case, output: OnceLock::new() })).collect();
    let mut trials = Vec::new();
    for expected in &cases {
        let name = &expected.case.name;
        for runtime in runtimes::candidates(&expected.case) {
            let expected = expected.clone();
            if expected.case.has_half() && runtime.name.starts_with("lavapipe") {
                let (expected, runtime) = (expected.clone(), runtime.clone());
                trials.push(trial(format!("{name} in f16 on {}", runtime.name), move || check_half(runtime, &expected)));
            }
            trials.push(trial(format!("{name} on {}", runtime.name), move || check(&runtime, &expected)));
        }
        for caps in processors() {
            let expected = expected.clone();
            let runtime = format!("{:?} with {} threads", caps.isa, caps.threads);
            trials.push(trial(format!("{name} on {runtime}"), move || check_cpu(caps, &expected)));
        }
        if SPREADING.iter().any(|chosen| name.contains(chosen)) {
            for runtime in runtimes::classes() {
                let expected = expected.clone();
                trials.push(trial(format!("NaN in {name} on {}", runtime.name), move || check_nan(&runtime, &expected.case)));
            }
            let expected = expected.clone();
            trials.push(trial(format!("NaN in {name} on the CPU"), move || check_nan_on_cpu(&expected.case)));
        }
    }
    for name in SPREADING {
        assert!(cases.iter().any(|expected| expected.case.name.contains(name)), "no case is called {name}");
    }
    trials.push(trial("every candidate is forced on every software adapter".into(), every_candidate_is_forced));
    trials.push(trial("top_k breaks ties by index".into(), top_k_breaks_ties_by_index));
    trials.push(trial("large weights are split over bindings".into(), large_weights_are_split_over_bindings));
    trials.extend(equalities::trials());
    trials.extend(lengths::trials());
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial(name: String, run: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        run();
        Ok(())
    })
}

/// A case with what its evaluation gives, which is computed once.
struct Expected {
    case: Case,
    output: OnceLock<Tensor>,
}

impl Expected {
    fn output(&self) -> &Tensor {
        self.output.get_or_init(|| {
            let (graph, inputs) = self.case.graph();
            oracle::run(&graph, &inputs.iter().collect::<Vec<_>>()).unwrap().remove(0)
        })
    }

    fn hold(&self, got: &Tensor) {
        let (error, limit) = (error(got, self.output()), self.case.tolerance.limit());
        assert!(error <= limit, "error {error:.1e}, {:?} allows {limit:.0e}", self.case.tolerance);
    }
}

/// Every instruction set of this processor, with one thread and with several.
fn processors() -> Vec<program::cpu::Caps> {
    let sets = cpu::instruction_sets();
    sets.into_iter().flat_map(|isa| [1, 3].map(|threads| program::cpu::Caps { isa, threads })).collect()
}

/// The output of a graph, and whether its padding holds zeros.
fn run(runtime: &Runtime, graph: &Graph, inputs: &[Tensor]) -> (Tensor, bool) {
    pollster::block_on(async {
        let program = plan::lower_tuned(graph, &runtime.caps, &runtime.tuning).unwrap();
        let plan = Plan::guarded(&program, GUARD);
        let executor = GpuExecutor::with_plan(runtime.device.clone(), program, Arc::default(), plan, |_, _| {}).await;
        let mut executor = executor.unwrap();
        executor.poison();
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let mut outputs = executor.run(&inputs).await.unwrap();
        assert_eq!(executor.overruns().await.unwrap(), Vec::<String>::new(), "written past the end");
        (outputs.remove(0), executor.dirty_padding().await.unwrap().is_empty())
    })
}

/// Largest error over the standard deviation of the expected values, which counts as at least a tenth of their size.
fn error(got: &Tensor, want: &Tensor) -> f64 {
    assert_eq!(got.shape(), want.shape());
    let (got, want) = (got.to_f32(), want.to_f32());
    assert!(want.iter().all(|v| v.is_finite()), "the evaluation is not finite");
    let mean = want.iter().map(|v| f64::from(*v)).sum::<f64>() / want.len() as f64;
    let std = (want.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / want.len() as f64).sqrt();
    let size = want.iter().fold(0.0, |m: f64, v| m.max(f64::from(v.abs())));
    let unit = std.max(size * 0.1).max(1e-30);
    got.iter().zip(want.iter()).fold(0.0, |m: f64, (g, w)| {
        assert!(g.is_finite(), "{g} instead of {w}");
        m.max((f64::from(*g) - f64::from(*w)).abs() / unit)
    })
}

fn check(runtime: &Runtime, expected: &Expected) {
    let (graph, inputs) = expected.case.graph();
    let (got, clean) = run(runtime, &graph, &inputs);
    assert!(clean, "the padding is not zero");
    expected.hold(&got);
}

/// With operands and result stored in f16 where kernels have them so.
fn check_half(mut runtime: Runtime, expected: &Expected) {
    runtime.caps.half = true;
    let (graph, inputs) = expected.case.enclosed();
    let program = plan::lower_tuned(&graph, &runtime.caps, &runtime.tuning).unwrap();
    assert!(program.dispatches().iter().any(|dispatch| dispatch.kernel.constant("HALF").is_some()), "nothing is in f16");
    let (got, clean) = run(&runtime, &graph, &inputs);
    assert!(clean, "the padding is not zero");
    let want = oracle::run(&graph, &inputs.iter().collect::<Vec<_>>()).unwrap().remove(0);
    let (error, limit) = (error(&got, &want), Tolerance::Half.limit());
    assert!(error <= limit, "error {error:.1e}, f16 allows {limit:.0e}");
}

/// Twice, as the second run finds what the first one left.
fn check_cpu(caps: program::cpu::Caps, expected: &Expected) {
    let (graph, inputs) = expected.case.graph();
    let inputs: Vec<&Tensor> = inputs.iter().collect();
    let mut executor = CpuExecutor::with_caps(&graph, caps).unwrap();
    executor.poison();
    for _ in 0..2 {
        expected.hold(&executor.run(&inputs).unwrap().remove(0));
    }
}

/// A kernel that nothing forces is not tested on its own: hardware takes it, software adapters never do.
fn every_candidate_is_forced() {
    let forced: Vec<String> = cases().iter().flat_map(runtimes::candidates).map(|runtime| runtime.name).collect();
    for (work, names) in choices() {
        for name in names {
            for adapter in ["lavapipe", "swiftshader"] {
                assert!(forced.contains(&format!("{adapter}, {work} by {name}")), "{work} by {name} on {adapter}");
            }
        }
    }
}

/// Names of cases that hold what becomes of NaN: everything with a comparison, a maximum or a sum on its way.
const SPREADING: [&str; 15] = [
    " to 6",
    "linear relu",
    "linear gelu",
    "linear elu",
    "conv2d 2 x 9 x 13 x 20",
    "depthwise_conv2d 2 x 9 x 7",
    "layer_norm 63",
    "attention 2 x 63",
    "linear_attention 1 x 7 x 7",
    "selective_scan 1 x 63",
    "selective_scan 1 x 1025",
    "selective_scan 1 x 197 x 33",
    "rms_norm 63",
    "embed_tokens 2",
    "global_avg_pool 3",
];

/// One input that is not a number, by either sign: what comes of it is no number either, in the very places where the evaluation has
/// none.
fn check_spreading(case: &Case, run: impl Fn(&Graph, &[Tensor]) -> Tensor) {
    let (graph, inputs) = case.graph();
    let places = |t: &Tensor| t.to_f32().iter().map(|v| v.is_nan()).collect::<Vec<_>>();
    for (which, sign) in (0..inputs.len()).flat_map(|i| [(i, 0u32), (i, 1 << 31)]) {
        let mut inputs = inputs.clone();
        let mut values = inputs[which].to_f32().into_owned();
        let middle = values.len() / 2;
        values[middle] = f32::from_bits(f32::NAN.to_bits() & 0x7fff_ffff | sign);
        inputs[which] = Tensor::from_f32(inputs[which].shape().clone(), values).unwrap();
        let want = places(&oracle::run(&graph, &inputs.iter().collect::<Vec<_>>()).unwrap()[0]);
        assert!(want.contains(&true), "input {which} does not matter");
        assert!(places(&run(&graph, &inputs)) == want, "NaN in input {which}, sign {sign:#x}");
    }
}

fn check_nan(runtime: &Runtime, case: &Case) {
    // Padding may be no number either: only in rows that are none.
    check_spreading(case, |graph, inputs| run(runtime, graph, inputs).0);
}

fn check_nan_on_cpu(case: &Case) {
    check_spreading(case, |graph, inputs| {
        CpuExecutor::new(graph).unwrap().run(&inputs.iter().collect::<Vec<_>>()).unwrap().remove(0)
    });
}

/// Of equal logits the lower index comes first, on every device.
fn top_k_breaks_ties_by_index() {
    let mut graph = Graph::new();
    let x = graph.input("logits", [1, 70]);
    let y = graph.op("top_k", TopK::plain(6), vec![x]).unwrap();
    graph.output("y", y, Layout::Plain);
    let logits = (0..70).map(|i| if [3, 64, 66, 68].contains(&i) { 2.0 } else { (i % 7) as f32 * 0.1 }).collect();
    let inputs = [Tensor::from_f32([1, 70], logits).unwrap()];
    let want = oracle::run(&graph, &[&inputs[0]]).unwrap().remove(0);
    let indices = |t: &Tensor| t.to_f32().chunks_exact(2).map(|p| p[1] as usize).collect::<Vec<_>>();
    assert_eq!(indices(&want), [3, 64, 66, 68, 6, 13]);
    for runtime in runtimes::classes() {
        assert_eq!(indices(&run(&runtime, &graph, &inputs).0), indices(&want));
    }
}

/// A weight beyond one binding is split over several dispatches, each with a slice of the columns.
fn large_weights_are_split_over_bindings() {
    let (k, n) = (200, 100);
    let mut graph = Graph::new();
    let x = graph.input("x", [5, k]);
    let values = |n: usize| (0..n).map(|i| (i * 31 % 97) as f32 * 0.01 - 0.4).collect::<Vec<f32>>();
    let weight = graph.constant("w", Tensor::from_f32([n, k], values(n * k)).unwrap());
    let bias = graph.constant("b", Tensor::from_f32([n], values(n)).unwrap());
    let op = Linear { epilogue: webmamba::low_level::ops::Epilogue::biased(true) };
    let y = graph.op("y", op, vec![x, weight, bias]).unwrap();
    graph.output("y", y, Layout::Plain);
    let input = Tensor::from_f32([5, k], values(5 * k)).unwrap();
    let want = oracle::run(&graph, &[&input]).unwrap().remove(0);
    for device in [devices::lavapipe(), devices::swiftshader()] {
        let mut caps = *device.caps();
        // Room for four panels of eight columns.
        caps.max_storage_binding = (4 * 8 * k * 4) as u64;
        let program = plan::lower::<Gpu>(&graph, &caps).unwrap();
        assert_eq!(program.dispatches().len(), n.div_ceil(32));
        let got = pollster::block_on(async {
            let mut executor = GpuExecutor::new(device.clone(), program, Arc::default()).await.unwrap();
            executor.run(&[&input]).await.unwrap().remove(0)
        });
        assert!(error(&got, &want) < 2e-5);
    }
}
