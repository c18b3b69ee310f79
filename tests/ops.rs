//! Every operator against its evaluation in f64: on the CPU with every instruction set it has, and on both software adapters (and hardware where there is some), in the kernel variants of
//! both classes: with NaN in everything that is not written, and guard values behind every buffer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;

use common::{
    cases::{Case, cases},
    devices,
};
use webmamba::{
    cpu::{self, CpuExecutor},
    gpu::{GpuDevice, GpuExecutor},
    graph::{Graph, Layout},
    ops::{Linear, TopK},
    oracle,
    plan::{self, Plan},
    program::{self, AdapterClass, Caps, Gpu},
    tensor::Tensor,
};

/// Bytes watched behind every buffer.
const GUARD: u64 = 1024;

/// The output of a graph, and whether its padding holds zeros.
fn run(device: &Arc<GpuDevice>, graph: &Graph, inputs: &[Tensor], what: &str) -> (Tensor, bool) {
    pollster::block_on(async {
        let program = plan::lower::<Gpu>(graph, device.caps()).unwrap_or_else(|e| panic!("{what}: {e}"));
        let plan = Plan::guarded(&program, GUARD);
        let executor = GpuExecutor::with_plan(device.clone(), program, Arc::default(), plan, |_, _| {}).await;
        let mut executor = executor.unwrap_or_else(|e| panic!("{what}: {e}"));
        executor.poison();
        let inputs: Vec<&Tensor> = inputs.iter().collect();
        let mut outputs = executor.run(&inputs).await.unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(executor.overruns().await.unwrap(), Vec::<String>::new(), "{what} writes past the end");
        (outputs.remove(0), executor.dirty_padding().await.unwrap().is_empty())
    })
}

/// Largest error over the standard deviation of the expected values, which counts as at least a tenth of their size.
fn error(got: &Tensor, want: &Tensor, what: &str) -> f64 {
    assert_eq!(got.shape(), want.shape(), "{what}");
    let (got, want) = (got.to_f32(), want.to_f32());
    assert!(want.iter().all(|v| v.is_finite()), "{what}: the evaluation is not finite");
    let mean = want.iter().map(|v| f64::from(*v)).sum::<f64>() / want.len() as f64;
    let std = (want.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / want.len() as f64).sqrt();
    let size = want.iter().fold(0.0, |m: f64, v| m.max(f64::from(v.abs())));
    let unit = std.max(size * 0.1).max(1e-30);
    got.iter().zip(want.iter()).fold(0.0, |m: f64, (g, w)| {
        assert!(g.is_finite(), "{what}: {g} instead of {w}");
        m.max((f64::from(*g) - f64::from(*w)).abs() / unit)
    })
}

fn check(device: &Arc<GpuDevice>, case: &Case) {
    let what = format!("{} on {} as {:?}", case.name, device.summary().name, device.caps());
    let (graph, inputs) = case.graph();
    let refs: Vec<&Tensor> = inputs.iter().collect();
    let want = oracle::run(&graph, &refs).unwrap().remove(0);
    let (got, clean) = run(device, &graph, &inputs, &what);
    assert!(clean, "{what} leaves padding that is not zero");
    let error = error(&got, &want, &what);
    assert!(
        error <= case.tolerance.limit(),
        "{what}: error {error:.1e}, {:?} allows {:.0e}",
        case.tolerance,
        case.tolerance.limit()
    );
}

fn check_all(adapter: &str, change: impl FnOnce(Caps) -> Caps) {
    let device = devices::open(adapter, change);
    for case in cases() {
        check(&device, &case);
    }
}

fn direct(caps: Caps) -> Caps {
    Caps { class: AdapterClass::Software, subgroup: None, ..caps }
}

fn with_subgroups(caps: Caps) -> Caps {
    assert!(caps.subgroup.is_some(), "the adapter has no subgroups of one size");
    Caps { class: AdapterClass::Software, ..caps }
}

fn hardware(caps: Caps) -> Caps {
    Caps { class: AdapterClass::Hardware, ..caps }
}

#[test]
fn direct_kernels_on_lavapipe() {
    check_all("llvmpipe", direct);
}

#[test]
fn subgroup_kernels_on_lavapipe() {
    check_all("llvmpipe", with_subgroups);
}

#[test]
fn hardware_kernels_on_lavapipe() {
    check_all("llvmpipe", hardware);
}

#[test]
fn direct_kernels_on_swiftshader() {
    check_all("SwiftShader", direct);
}

#[test]
fn subgroup_kernels_on_swiftshader() {
    check_all("SwiftShader", with_subgroups);
}

#[test]
fn hardware_kernels_on_swiftshader() {
    check_all("SwiftShader", hardware);
}

#[test]
fn kernels_on_hardware_where_there_is_some() {
    match devices::hardware() {
        Some(device) => cases().iter().for_each(|case| check(&device, case)),
        None => println!("there is no hardware adapter here"),
    }
}

/// Every case with an instruction set and a number of threads: NaN in everything that is not written.
fn check_cpu(isa: program::cpu::Isa, threads: usize) {
    for case in cases() {
        let what = format!("{} on {isa:?} with {threads} threads", case.name);
        let (graph, inputs) = case.graph();
        let refs: Vec<&Tensor> = inputs.iter().collect();
        let want = oracle::run(&graph, &refs).unwrap().remove(0);
        let mut executor = CpuExecutor::with_caps(&graph, program::cpu::Caps { isa, threads }).unwrap();
        executor.poison();
        for _ in 0..2 {
            let error = error(&executor.run(&refs).unwrap().remove(0), &want, &what);
            assert!(error <= case.tolerance.limit(), "{what}: error {error:.1e}, {:?}", case.tolerance);
        }
    }
}

/// One input that is not a number: what comes of it is no number either, in the very places where the evaluation has none.
#[test]
fn what_is_not_a_number_stays_so_on_every_device() {
    let chosen = [
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
        "global_avg_pool 3",
    ];
    let cases: Vec<Case> = cases().into_iter().filter(|case| chosen.iter().any(|name| case.name.contains(name))).collect();
    assert!(cases.len() > 20, "{} cases", cases.len());
    let software = ["llvmpipe", "SwiftShader"].into_iter();
    let devices = software.flat_map(|name| [devices::open(name, direct), devices::open(name, hardware)]);
    let devices: Vec<Arc<GpuDevice>> = devices.chain(devices::hardware()).collect();
    for case in &cases {
        let (graph, inputs) = case.graph();
        for (which, sign) in (0..inputs.len()).flat_map(|i| [(i, 0u32), (i, 1 << 31)]) {
            let mut inputs = inputs.clone();
            let mut values = inputs[which].to_f32().into_owned();
            let middle = values.len() / 2;
            values[middle] = f32::from_bits(f32::NAN.to_bits() & 0x7fff_ffff | sign);
            inputs[which] = Tensor::from_f32(inputs[which].shape().clone(), values).unwrap();
            let refs: Vec<&Tensor> = inputs.iter().collect();
            let places = |t: &Tensor| t.to_f32().iter().map(|v| v.is_nan()).collect::<Vec<_>>();
            let want = places(&oracle::run(&graph, &refs).unwrap()[0]);
            assert!(want.contains(&true), "{}: input {which} does not matter", case.name);
            let on_cpu = CpuExecutor::new(&graph).unwrap().run(&refs).unwrap().remove(0);
            assert!(places(&on_cpu) == want, "{} with NaN in input {which} on the CPU", case.name);
            for device in &devices {
                let what = format!("{} with NaN in input {which} on {} as {:?}", case.name, device.summary().name, device.caps());
                assert!(places(&run(device, &graph, &inputs, &what).0) == want, "{what}");
            }
        }
    }
}

/// One test an instruction set; those that the processor lacks say so.
macro_rules! cpu_kernels {
    ($($name:ident: $isa:ident;)*) => {
        $(#[test]
        fn $name() {
            let isa = program::cpu::Isa::$isa;
            if !cpu::instruction_sets().contains(&isa) {
                println!("this processor does not run {isa:?}");
                return;
            }
            for threads in [1, 3] {
                check_cpu(isa, threads);
            }
        })*
    };
}

cpu_kernels! {
    cpu_kernels_without_vectors: Scalar;
    cpu_kernels_with_avx2: Avx2;
    cpu_kernels_with_avx512: Avx512;
    cpu_kernels_with_neon: Neon;
}

/// Of equal logits the lower index comes first, on every device.
#[test]
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
    for device in [devices::lavapipe(), devices::swiftshader()] {
        assert_eq!(indices(&run(&device, &graph, &inputs, "top_k").0), indices(&want));
    }
}

/// A weight beyond one binding is split over several dispatches, each with a slice of the columns.
#[test]
fn large_weights_are_split_over_bindings() {
    let (k, n) = (200, 100);
    let mut graph = Graph::new();
    let x = graph.input("x", [5, k]);
    let values = |n: usize| (0..n).map(|i| (i * 31 % 97) as f32 * 0.01 - 0.4).collect::<Vec<f32>>();
    let weight = graph.constant("w", Tensor::from_f32([n, k], values(n * k)).unwrap());
    let bias = graph.constant("b", Tensor::from_f32([n], values(n)).unwrap());
    let op = Linear { epilogue: webmamba::ops::Epilogue::biased(true) };
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
        assert!(error(&got, &want, "split linear") < 2e-5);
    }
}
