//! Whole models against the official implementations' outputs, on every device there is to test with.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::{ops::Range, sync::Arc};

use common::{
    devices,
    manifest::{Manifest, rel_err},
};
use webmamba::{
    cpu::CpuExecutor,
    gpu::{GpuDevice, GpuExecutor},
    graph::{Graph, Kind, Layout, Output, Value, arrange},
    models::{BuildOptions, Model, ModelOptions},
    passes, plan,
    program::{AdapterClass, Caps},
    tensor::Tensor,
    weights::Weights,
};

/// Largest error of logits and pooled features over the standard deviation of the expected tensor.
const LOGITS: f64 = 1e-4;
/// The same for feature maps of whole models.
const STAGES: f64 = 3e-4;

fn model(manifest: &Manifest) -> Model {
    let weights = Weights::from_tensors(&manifest.name, manifest.weights());
    let mut config = manifest.config.clone();
    config["model_type"] = manifest.family.clone().into();
    Model::new(weights, Some(&config.to_string()), &ModelOptions::default()).unwrap()
}

/// `[B, 3, H, W]` as the graph's `[B, H, W, 3]`.
fn channels_last(input: &Tensor) -> Tensor {
    let &[b, c, h, w] = input.shape().dims() else { panic!("input {}", input.shape()) };
    let (src, mut out) = (input.to_f32(), vec![0.0; input.shape().len()]);
    for (i, v) in src.iter().enumerate() {
        let (image, channel, at) = (i / (c * h * w), i / (h * w) % c, i % (h * w));
        out[(image * h * w + at) * c + channel] = *v;
    }
    Tensor::from_f32([b, h, w, c], out).unwrap()
}

fn graph_for(model: &Model, input: &Tensor) -> Graph {
    let dims = input.shape().dims();
    model.graph(&BuildOptions { batch: dims[0], size: [dims[2], dims[3]], top_k: None, class_activation: false }).unwrap()
}

/// Runs every case of a manifest on `run` and compares all outputs that it expects.
fn check_cases(name: &str, run: impl Fn(&Graph, &Tensor) -> Vec<Tensor>) {
    let manifest = Manifest::load(name);
    let model = model(&manifest);
    for case in &manifest.cases {
        let input = manifest.input(&case.id);
        let graph = passes::optimise(&graph_for(&model, &input)).unwrap();
        let results = run(&graph, &channels_last(&input));
        let mut wanted = vec![("logits", case.expect.logits.clone()), ("pooled", case.expect.pooled.clone())];
        wanted.extend(case.expect.stem.clone().map(|name| ("stem", name)));
        wanted.extend(["stage0", "stage1", "stage2", "stage3"].into_iter().zip(case.expect.stages.iter().cloned()));
        for (output, expected) in wanted {
            let at = graph.outputs().iter().position(|o| o.name == output).unwrap();
            let want = manifest.expected(&expected);
            assert_eq!(results[at].shape(), want.shape(), "{name} {expected}");
            let error = rel_err(&results[at].to_f32(), &want.to_f32());
            println!("{name} {expected}: {error:.1e}");
            let limit = if output.starts_with('s') { STAGES } else { LOGITS };
            assert!(error <= limit, "{name} {expected}: error {error:.2e} of the std");
        }
    }
}

/// The node that computes a traced module's output: the one of its name, else the last one below it. `elu#0` and its like are
/// halves of one node here, and operands of scans are parts of what computes them: `(node, part of its channels)`.
fn node_of(graph: &Graph, traced: &str) -> (Value, Range<usize>) {
    let (mut name, mut part) = (traced.to_owned(), 0..1);
    let states = |name: &str| graph.iter().find(|(_, n)| n.name == format!("-exp({}A_log)", name)).unwrap().1.shape().last();
    if let Some((base, half)) = traced.split_once('#').filter(|(base, _)| !base.ends_with(".act")) {
        name = base.to_owned();
        let half: usize = half.parse().unwrap();
        part = half..half + 1;
    } else if let Some(mixer) = traced.strip_suffix("scan.delta_raw") {
        name = format!("{mixer}dt_proj");
    } else if let Some(mixer) = traced.strip_suffix("scan.B").or(traced.strip_suffix("scan.C")) {
        name = format!("{mixer}x_proj");
        part = if traced.ends_with('B') { states(mixer) * 2..states(mixer) } else { states(mixer)..0 };
    }
    let below = format!("{name}.");
    let ops = || graph.iter().filter(|(_, n)| matches!(n.kind, Kind::Op(..)));
    let exact = ops().filter(|(_, n)| n.name == name).last();
    let found = exact.or_else(|| ops().filter(|(_, n)| n.name.starts_with(&below)).last());
    (found.unwrap_or_else(|| panic!("no node computes {traced}")).0, part)
}

/// Holds every traced sub-module of a micro model against the graph before any pass.
fn check_trace(name: &str, run: impl Fn(&Graph, &Tensor) -> Vec<Tensor>) {
    let manifest = Manifest::load(name);
    let model = model(&manifest);
    let case = &manifest.cases[0];
    let input = manifest.input(&case.id);
    let graph = graph_for(&model, &input);
    assert!(case.expect.trace.len() > 100, "{} traced tensors", case.expect.trace.len());
    let found: Vec<(Value, Range<usize>)> =
        case.expect.trace.iter().map(|t| node_of(&graph, t.strip_prefix(&format!("{}.trace.", case.id)).unwrap())).collect();
    let outputs = found.iter().zip(&case.expect.trace);
    let outputs = outputs.map(|((value, _), name)| Output { name: name.clone(), value: *value, layout: Layout::Plain }).collect();
    let results = run(&graph.with_outputs(outputs), &channels_last(&input));
    for ((traced, (_, part)), got) in case.expect.trace.iter().zip(&found).zip(&results) {
        let want = manifest.expected(traced);
        let mut got = arranged(got, part, &want, traced);
        if traced.contains(".elu#") {
            // Upstream adds the one of ELU + 1 outside the module.
            got.iter_mut().for_each(|v| *v -= 1.0);
        }
        let error = rel_err(&got, &want.to_f32());
        assert!(error <= LOGITS, "{name} {traced}: error {error:.2e} of the std");
    }
}

/// `got`, which is channels-last, as upstream has it: a part of the channels, and channels first in feature maps and scans.
fn arranged(got: &Tensor, part: &Range<usize>, want: &Tensor, name: &str) -> Vec<f32> {
    let (width, values, batch) = (got.shape().last(), got.to_f32(), want.shape().dims()[0]);
    if got.shape().rank() == 2 && got.shape().len() == want.shape().len() {
        return values.into_owned();
    }
    let first = name.contains(".scan.") || (want.shape().rank() == 4 && !name.contains(".rope"));
    let count = if first { want.shape().dims()[1] } else { want.shape().last() };
    // Ranges that run backwards count from the end.
    let start = if part.start > part.end { width - part.start } else { part.start * count };
    let rows: Vec<&[f32]> = values.chunks_exact(width).map(|row| &row[start..start + count]).collect();
    if !first {
        return rows.concat();
    }
    let images = rows.chunks_exact(rows.len() / batch);
    images.flat_map(|image| (0..count).flat_map(move |c| image.iter().map(move |row| row[c]))).collect()
}

fn on_cpu(graph: &Graph, input: &Tensor) -> Vec<Tensor> {
    let results = CpuExecutor::new(graph).unwrap().run(&[input]).unwrap();
    graph.outputs().iter().zip(results).map(|(o, t)| arrange(&t, o.layout).unwrap()).collect()
}

#[test]
fn micro_models_on_the_cpu() {
    for name in ["mambavision_micro", "mila_micro"] {
        check_cases(name, on_cpu);
    }
}

#[test]
fn tiny_models_on_the_cpu() {
    for name in ["mambavision_t", "mila_t"] {
        check_cases(name, on_cpu);
    }
}

#[test]
fn traces_on_the_cpu() {
    for name in ["mambavision_micro", "mila_micro"] {
        check_trace(name, on_cpu);
    }
}

/// Runs a graph, already optimised or not, on a GPU.
fn on_gpu(device: &Arc<GpuDevice>) -> impl Fn(&Graph, &Tensor) -> Vec<Tensor> {
    let device = device.clone();
    move |graph, input| {
        pollster::block_on(async {
            let program = plan::lower(graph, device.caps()).unwrap();
            let mut executor = GpuExecutor::new(device.clone(), program, Arc::default()).await.unwrap();
            let results = executor.run(&[input]).await.unwrap();
            graph.outputs().iter().zip(results).map(|(o, t)| arrange(&t, o.layout).unwrap()).collect()
        })
    }
}

/// A software adapter with the kernels of hardware.
fn as_hardware(name: &str) -> Arc<GpuDevice> {
    devices::open(name, |caps| Caps { class: AdapterClass::Hardware, ..caps })
}

fn micro_models_on(device: &Arc<GpuDevice>) {
    for name in ["mambavision_micro", "mila_micro"] {
        check_trace(name, on_gpu(device));
        check_cases(name, on_gpu(device));
    }
}

#[test]
fn micro_models_on_lavapipe() {
    micro_models_on(&devices::lavapipe());
}

#[test]
fn micro_models_on_swiftshader() {
    micro_models_on(&devices::swiftshader());
}

#[test]
fn micro_models_with_hardware_kernels_on_lavapipe() {
    micro_models_on(&as_hardware("llvmpipe"));
}

#[test]
fn micro_models_with_hardware_kernels_on_swiftshader() {
    micro_models_on(&as_hardware("SwiftShader"));
}

#[test]
fn mambavision_t_on_lavapipe() {
    check_cases("mambavision_t", on_gpu(&devices::lavapipe()));
}

#[test]
fn mambavision_t_on_swiftshader() {
    check_cases("mambavision_t", on_gpu(&devices::swiftshader()));
}

#[test]
fn mambavision_t_with_hardware_kernels_on_lavapipe() {
    check_cases("mambavision_t", on_gpu(&as_hardware("llvmpipe")));
}

#[test]
fn mambavision_t_with_hardware_kernels_on_swiftshader() {
    check_cases("mambavision_t", on_gpu(&as_hardware("SwiftShader")));
}

#[test]
fn mila_t_on_lavapipe() {
    check_cases("mila_t", on_gpu(&devices::lavapipe()));
}

#[test]
fn mila_t_on_swiftshader() {
    check_cases("mila_t", on_gpu(&devices::swiftshader()));
}

#[test]
fn mila_t_with_hardware_kernels_on_lavapipe() {
    check_cases("mila_t", on_gpu(&as_hardware("llvmpipe")));
}

#[test]
fn mila_t_with_hardware_kernels_on_swiftshader() {
    check_cases("mila_t", on_gpu(&as_hardware("SwiftShader")));
}

/// Everything above on a GPU, where there is one.
#[test]
fn all_models_on_hardware_where_there_is_some() {
    let Some(device) = devices::hardware() else { return println!("there is no hardware adapter here") };
    micro_models_on(&device);
    check_cases("mambavision_t", on_gpu(&device));
    check_cases("mila_t", on_gpu(&device));
}
