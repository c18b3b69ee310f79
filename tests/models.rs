//! Whole models against the official implementations' outputs, on every device there is to test with: a test a model, input and runtime.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "models/maps.rs"]
mod maps;

use std::sync::Arc;

use common::{
    manifest::{self, Case, Manifest, channels_last, rel_err},
    runtimes::{self, Runtime},
};
use libtest_mimic::{Arguments, Trial};
use webmamba::{
    Model, ModelOptions, Tensor, Weights,
    low_level::{
        cpu::CpuExecutor,
        gpu::GpuExecutor,
        graph::{Graph, Kind, Layout, Output, Value, arrange},
        models::BuildOptions,
        ops::{ArgMax, Op, Resize},
        passes, plan,
        tensor::DType,
    },
};

/// Largest error of logits and pooled features over the standard deviation of the expected tensor.
const LOGITS: f64 = 1e-4;
/// The same for feature maps of whole models.
const STAGES: f64 = 3e-4;
/// The same of logits where activations are stored in f16; of feature maps twice as much.
const HALF: f64 = 1e-2;

/// Small models of every form of every family, of which the official implementations' traces are there too.
const MICRO: [&str; 26] = [
    "mambavision_micro",
    "mila_micro",
    "mambaout_micro",
    "mambaout_micro_rw",
    "vim_micro",
    "vim_micro_s8",
    "vmamba_micro",
    "vmamba_micro_s2",
    "vmamba_micro_v0",
    "videomamba_micro",
    "unified_baseline",
    "unified_input_gate",
    "unified_forget_gate",
    "unified_shortcut",
    "unified_no_normalization",
    "unified_single_head",
    "unified_block_mila",
    "unified_block_mamba",
    "unified_ape",
    "unified_lepe",
    "unified_cpe",
    "unified_rope",
    "unified_causal",
    "unified_mamba",
    "unified_gates_heads_rope",
    "unified_single_head_mila",
];
/// Small models that tell the classes of pixels, with traces.
const DENSE: [&str; 1] = ["upernet_micro"];
/// Published variants, and a small model without a trace.
const WHOLE: [&str; 6] = ["mambavision_t", "mila_t", "mambaout_femto", "vim_t", "vmamba_t", "videomamba_micro_image"];

fn model(manifest: &Manifest) -> Model {
    let weights = Weights::from_tensors(&manifest.name, manifest.weights());
    // A dense model's is that of its backbone.
    let (mut config, family) = match manifest.config.get("backbone") {
        Some(backbone) => (backbone.clone(), backbone["family"].clone()),
        None => (manifest.config.clone(), manifest.family.clone().into()),
    };
    config["model_type"] = family;
    Model::new(weights, Some(&config.to_string()), &ModelOptions::default()).unwrap()
}

fn graph_for(model: &Model, input: &Tensor) -> Graph {
    let &[batch, .., height, width] = input.shape().dims() else { panic!("{}", input.shape()) };
    model.graph(&BuildOptions { batch, size: [height, width], top_k: None, class_activation: false }).unwrap()
}

/// The graph of a dense model with what becomes of its logits: at the input's size, at the image's, and the classes of its pixels.
fn dense_graph(model: &Model, input: &Tensor, image: [usize; 2]) -> Graph {
    let mut graph = graph_for(model, input);
    let (logits, dims) = (graph.outputs().iter().find(|o| o.name == "logits").unwrap().value, input.shape().dims());
    let through = [dims[2], dims[3]];
    let once = graph.op("logits_input", Resize { size: through, nearest: false }, vec![logits]).unwrap();
    let twice = graph.op("logits_original", Resize { size: image, nearest: false }, vec![once]).unwrap();
    let map = graph.op("class_map", ArgMax { through, size: image }, vec![logits]).unwrap();
    graph.output("logits_input", once, Layout::Nchw);
    graph.output("logits_original", twice, Layout::Nchw);
    graph.output("class_map", map, Layout::Plain);
    graph
}

type Run = dyn Fn(&Graph, &Tensor) -> Vec<Tensor> + Send + Sync;

/// What models run on: the CPU, and every adapter with the kernels of both classes.
struct Place {
    name: String,
    run: Arc<Run>,
    /// It has the kernels of another class: it takes a minute for what those of its own class do in seconds.
    foreign: bool,
}

fn places() -> Vec<Place> {
    let gpus = runtimes::classes().into_iter().map(|runtime| Place {
        name: runtime.name.clone(),
        foreign: runtime.caps.class != runtime.device.caps().class,
        run: Arc::new(move |graph: &Graph, input: &Tensor| on_gpu(&runtime, graph, input)),
    });
    [Place { name: "the CPU".to_owned(), run: Arc::new(on_cpu), foreign: false }].into_iter().chain(gpus).collect()
}

/// Nothing would be missed in silence: the CPU, and every adapter with its own kernels and those of the other class.
fn check_places(places: &[Place]) {
    for adapter in ["lavapipe", "swiftshader"] {
        let of = |foreign: bool| places.iter().filter(|p| p.name.starts_with(adapter) && p.foreign == foreign).count();
        assert_eq!([of(false), of(true)], [1, 1], "{adapter} with the kernels of both classes");
    }
    assert_eq!(places.iter().filter(|place| place.name == "the CPU").count(), 1);
}

/// The small models with activations stored in f16, which lavapipe can: with the kernels of both classes.
fn trials_in_f16() -> Vec<Trial> {
    let mut trials = Vec::new();
    for mut runtime in runtimes::classes().into_iter().filter(|runtime| runtime.name.starts_with("lavapipe")) {
        runtime.caps.half = true;
        for name in MICRO {
            for case in Manifest::load(name).cases {
                let runtime = runtime.clone();
                let title = format!("{name} {} in f16 on {}", case.id, runtime.name);
                trials.push(Trial::test(title.clone(), move || {
                    let run = move |graph: &Graph, input: &Tensor| on_gpu(&runtime, graph, input);
                    let error = check_case(name, &case, &run, [HALF, 2.0 * HALF]);
                    println!("{title}: logits off by {error:.1e} of their standard deviation");
                    Ok(())
                }));
            }
        }
    }
    trials
}

fn main() {
    let mut trials = trials_in_f16();
    let places = places();
    check_places(&places);
    for Place { name: runtime, run, foreign } in places {
        for name in MICRO.into_iter().chain(WHOLE).chain(DENSE) {
            // Of the published sizes one input is enough where it takes long: the small models have all kinds of inputs.
            let cases = if foreign && WHOLE.contains(&name) { 1 } else { usize::MAX };
            for case in Manifest::load(name).cases.into_iter().take(cases) {
                let run = run.clone();
                let title = format!("{name} {} on {runtime}", case.id);
                trials.push(Trial::test(title.clone(), move || {
                    let error = check_case(name, &case, &*run, [LOGITS, STAGES]);
                    println!("{title}: logits off by {error:.1e} of their standard deviation");
                    Ok(())
                }));
            }
        }
        for name in MICRO.into_iter().chain(DENSE) {
            let run = run.clone();
            trials.push(Trial::test(format!("{name} module by module on {runtime}"), move || {
                check_trace(name, &*run);
                Ok(())
            }));
        }
        for (name, widths) in maps::BACKBONES {
            let run = run.clone();
            trials.push(Trial::test(format!("{name} below a dense head on {runtime}"), move || {
                maps::check(name, widths, &*run);
                Ok(())
            }));
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Compares all outputs that a case of a manifest expects: the error of its logits.
fn check_case(name: &str, case: &Case, run: &Run, [logits, stages]: [f64; 2]) -> f64 {
    let manifest = Manifest::load(name);
    let model = model(&manifest);
    let input = manifest.input(&case.id);
    let graph = match case.ori_shape {
        Some(image) => dense_graph(&model, &input, image),
        None => graph_for(&model, &input),
    };
    let graph = passes::optimise(&graph).unwrap();
    let results = run(&graph, &channels_last(&input));
    let mut wanted = vec![("logits", case.expect.logits.clone())];
    wanted.extend(case.expect.pooled.clone().map(|name| ("pooled", name)));
    wanted.extend(case.expect.logits_input.clone().map(|name| ("logits_input", name)));
    wanted.extend(case.expect.logits_original.clone().map(|name| ("logits_original", name)));
    wanted.extend(case.expect.stem.clone().map(|name| ("stem", name)));
    wanted.extend(["stage0", "stage1", "stage2", "stage3"].into_iter().zip(case.expect.stages.iter().cloned()));
    let mut of_logits = 0.0;
    for (output, expected) in wanted {
        let at = graph.outputs().iter().position(|o| o.name == output).unwrap();
        let want = manifest.expected(&expected);
        // One image may stand without a batch.
        assert!(results[at].shape().dims().ends_with(want.shape().dims()), "{name} {expected}: {}", results[at].shape());
        let error = rel_err(&results[at].to_f32(), &want.to_f32());
        let limit = if output.starts_with('s') { stages } else { logits };
        assert!(error <= limit, "{name} {expected}: error {error:.2e} of the std");
        if output == "logits" {
            of_logits = error;
        }
    }
    if let (Some(map), Some(logits)) = (&case.expect.class_map, &case.expect.logits_original) {
        check_class_map(results.last().unwrap(), &manifest.expected(map), &manifest.expected(logits));
    }
    of_logits
}

/// Classes of pixels, of which only those may be others whose two best logits are as good as equal.
fn check_class_map(got: &Tensor, want: &Tensor, logits: &Tensor) {
    assert_eq!((got.dtype(), got.shape()), (DType::U8, want.shape()));
    let (pixels, values) = (want.shape().len(), logits.to_f32());
    let at = |class: u8, pixel: usize| values[usize::from(class) * pixels + pixel];
    for (pixel, (got, want)) in got.bytes().iter().zip(want.bytes()).enumerate() {
        let apart = at(*want, pixel) - at(*got, pixel);
        assert!(apart.abs() < 2e-5, "pixel {pixel}: class {got} instead of {want}, whose logit is {apart} larger");
    }
}

/// A part of the channels of a node, as wide as what it is compared with.
#[derive(Clone, Copy)]
enum Part {
    /// The one of this number.
    Nth(usize),
    /// Where it starts, in its own widths, before the end.
    End(usize),
}

impl Part {
    /// The first of its `count` channels, of `width`.
    fn start(self, width: usize, count: usize) -> usize {
        match self {
            Self::Nth(i) => i * count,
            Self::End(parts) => width - parts * count,
        }
    }
}

/// Nodes that compute a traced tensor side by side, and what of their channels it is.
struct Found {
    values: Vec<Value>,
    part: Part,
    /// Rows of the map, where the nodes are those of scans in four directions, each with the tokens as they lie.
    rows: Option<usize>,
}

/// The nodes that compute a traced module's output: the one of its name, else the parts of it, else the last one below it. `elu#0` and
/// its like are halves of one node here, and operands of scans and convolutions behind channels that pass through are parts of what
/// computes them.
fn nodes_of(graph: &Graph, traced: &str) -> Found {
    if let Some((op, operand)) = traced.split_once(".op.scan.") {
        return cross_scan(graph, &format!("{op}.op"), operand);
    }
    if let Some(found) = unified_attention(graph, traced) {
        return found;
    }
    let (mut name, mut part) = (traced.to_owned(), Part::Nth(0));
    if let Some((base, half)) = traced.split_once('#').filter(|(base, _)| !base.ends_with(".act")) {
        name = base.to_owned();
        part = Part::Nth(half.parse().unwrap());
    } else if let Some(mixer) = traced.strip_suffix("scan.delta_raw") {
        name = projection(mixer, "dt_proj");
    } else if let Some(mixer) = traced.strip_suffix("scan.B").or(traced.strip_suffix("scan.C")) {
        name = projection(mixer, "x_proj");
        part = Part::End(if traced.ends_with('B') { 2 } else { 1 });
    } else if let Some(layer) = traced.strip_suffix(".hidden") {
        name = format!("{layer}.mixer");
    } else if let Some((_, node)) = MOVED.iter().find(|(upstream, _)| *upstream == traced) {
        name = (*node).to_owned();
    } else if let Some(names) = upernet(traced) {
        let last = |name: &String| graph.iter().filter(|(_, n)| n.name == *name).last().map(|(value, _)| value);
        let values = names.iter().map(|name| last(name).unwrap_or_else(|| panic!("no node is called {name}"))).collect();
        return Found { values, part, rows: None };
    }
    let ops = || graph.iter().filter(|(_, n)| matches!(n.kind, Kind::Op(..)));
    let called = |name: &str| ops().filter(|(_, n)| n.name == name).last().map(|(value, _)| value);
    if let Kind::Op(Op::DepthwiseConv2d(conv), _) = called(&name).map_or(&Kind::Input, |value| &graph.node(value).kind)
        && conv.passed > 0
    {
        part = Part::End(1);
    }
    let parts = || {
        let mut parts = vec![called(&format!("{name}.gate"))?, called(&format!("{name}.values"))?];
        parts.sort();
        Some(parts)
    };
    let below = || ops().filter(|(_, n)| n.name.starts_with(&format!("{name}."))).last().map(|(value, _)| vec![value]);
    let found = called(&name).map(|value| vec![value]).or_else(parts).or_else(below);
    Found { values: found.unwrap_or_else(|| panic!("no node computes {traced}")), part, rows: None }
}

/// The nodes of what the trace of a dense model calls otherwise; maps that upstream puts side by side are several.
fn upernet(traced: &str) -> Option<Vec<String>> {
    let after = |prefix: &str| traced.strip_prefix(prefix);
    let activate = |path: String| Some(vec![format!("decode_head.{path}.activate")]);
    let resized = |layer: &str, first: &str, count: usize| {
        let others = (1..count).map(|i| format!("decode_head.{layer}.conv.resized.{i}"));
        Some(std::iter::once(first.to_owned()).chain(others).collect())
    };
    match traced {
        "bottleneck.input" => return resized("bottleneck", "outnorm3", 5),
        "fpn_bottleneck.input" => return resized("fpn_bottleneck", "decode_head.fpn_convs.0.activate", 4),
        "bottleneck" | "fpn_bottleneck" => return activate(traced.to_owned()),
        _ => {}
    }
    if let Some(level) = after("psp").and_then(|rest| rest.strip_suffix(".pooled_conv")) {
        return activate(format!("psp_modules.{level}.1"));
    }
    if let Some(stage) = after("backbone.out") {
        return Some(vec![format!("outnorm{stage}")]);
    }
    if let Some(stage) = after("lateral").and_then(|rest| rest.strip_suffix(".top_down")) {
        return Some(vec![format!("decode_head.top_down.{stage}")]);
    }
    let layer = |prefix: &str, path: &str| after(prefix).map(|stage| format!("{path}.{stage}"));
    layer("lateral", "lateral_convs").or_else(|| layer("fpn", "fpn_convs")).and_then(activate)
}

/// An operand of an attention between linear attention and Mamba, of which queries and keys are halves of one node.
fn unified_attention(graph: &Graph, traced: &str) -> Option<Found> {
    let (block, operand) = traced.split_once(".attn.")?;
    let last = |name: &str| graph.iter().filter(|(_, n)| n.name == format!("{block}.{name}")).last().map(|(value, _)| value);
    let (candidates, half) = match operand {
        "q" | "k" => (vec!["attn.elu", "attn.qk"], usize::from(operand == "k")),
        "q_rope" | "k_rope" => (vec!["attn.rope"], usize::from(operand == "k_rope")),
        // A block with a convolution before its attention has what that gives as its values.
        "v" => (vec!["attn.v", "act#1"], 0),
        _ => return None,
    };
    let half = if operand != "v" && keys_first(graph, block) { 1 - half } else { half };
    Some(Found { values: vec![candidates.into_iter().find_map(last)?], part: Part::Nth(half), rows: None })
}

/// Whether a block's attention is a scan, which has keys before queries, as Mamba has B before C.
fn keys_first(graph: &Graph, block: &str) -> bool {
    graph.nodes().iter().any(|node| node.name == format!("{block}.attn.scan"))
}

/// Whether a traced tensor exists inside of a kernel only: sums before they are divided, and step sizes of a scan.
fn is_inside(graph: &Graph, traced: &str) -> bool {
    let Some((block, operand)) = traced.split_once(".attn.") else { return false };
    ["numerator", "denominator"].contains(&operand) || (operand == "delta" && keys_first(graph, block))
}

/// `got` as the reference has it, where a scan has its operands otherwise: queries before keys, and step sizes with their bias.
fn as_in_reference(got: &mut [f32], manifest: &Manifest, graph: &Graph, traced: &str, width: usize) {
    let Some((block, operand)) = traced.split_once(".attn.").filter(|(block, _)| keys_first(graph, block)) else { return };
    for row in got.chunks_exact_mut(width) {
        match operand {
            "qk" => row.rotate_left(width / 2),
            "dt_proj" => {
                let key = format!("{block}.attn.dt_proj.bias");
                let bias = manifest.tensors.iter().find(|filled| filled.name == key).unwrap().tensor();
                row.iter_mut().zip(bias.to_f32().iter()).for_each(|(v, b)| *v += b);
            }
            _ => {}
        }
    }
}

/// Modules upstream that only move data, and the node that has them.
const MOVED: [(&str, &str); 4] = [
    ("patch_embed.1", "patch_embed.0"),
    ("classifier.permute", "classifier.norm"),
    ("classifier.avgpool", "avgpool"),
    ("classifier.flatten", "avgpool"),
];

/// An operand of the scans of VMamba's mixer `op`: four nodes.
fn cross_scan(graph: &Graph, op: &str, operand: &str) -> Found {
    let last = |name: &str| graph.iter().filter(|(_, n)| n.name == name).last();
    let called = |name: &str| last(&format!("{op}.{name}"));
    let of = |name: &str, k: usize| called(&format!("{name}.{k}")).unwrap_or_else(|| panic!("no {op}.{name}.{k}")).0;
    let (name, part) = match operand {
        "u" => ("", Part::Nth(0)),
        "delta_raw" => ("dt_projs", Part::Nth(0)),
        "B" => ("x_proj", Part::End(2)),
        "C" => ("x_proj", Part::End(1)),
        "y" => ("scan", Part::Nth(0)),
        other => panic!("{op}.scan.{other}"),
    };
    let values = match operand {
        "u" => vec![called("act").or(called("act#1")).unwrap().0; 4],
        _ => (0..4).map(|k| of(name, k)).collect(),
    };
    Found { values, part, rows: Some(called("conv2d").unwrap().1.shape().dims()[1]) }
}

/// The tokens in the order in which upstream hands them to the scan of this number: by rows, by columns, and both backwards.
fn order(k: usize, rows: usize, tokens: usize) -> Vec<usize> {
    let columns = tokens / rows;
    let mut order: Vec<usize> = match k % 2 {
        0 => (0..tokens).collect(),
        _ => (0..columns).flat_map(|column| (0..rows).map(move |row| row * columns + column)).collect(),
    };
    if k >= 2 {
        order.reverse();
    }
    order
}

/// Scans of one image in four directions as upstream stacks them, channels first.
fn crossed(parts: &[Tensor], part: Part, want: &Tensor, rows: usize) -> Vec<f32> {
    let &[1, ref stacked @ .., tokens] = want.shape().dims() else { panic!("{}", want.shape()) };
    let count = stacked.iter().product::<usize>() / 4;
    let mut values = Vec::with_capacity(want.shape().len());
    for (k, scan) in parts.iter().enumerate() {
        let (width, scan) = (scan.shape().last(), scan.to_f32());
        let start = part.start(width, count);
        let order = order(k, rows, tokens);
        values.extend((start..start + count).flat_map(|c| order.iter().map(|t| scan[t * width + c]).collect::<Vec<_>>()));
    }
    values
}

/// A mixer's layer of this name, of the direction in question.
fn projection(mixer: &str, name: &str) -> String {
    match mixer.strip_suffix("backward.") {
        Some(mixer) => format!("{mixer}{name}_b"),
        None => format!("{mixer}{name}"),
    }
}

/// Holds every traced sub-module of a micro model against the graph before any pass.
fn check_trace(name: &str, run: &Run) {
    let manifest = Manifest::load(name);
    let model = model(&manifest);
    let case = &manifest.cases[0];
    let input = manifest.input(&case.id);
    let graph = graph_for(&model, &input);
    assert!(case.expect.trace.len() > 8, "{} traced tensors", case.expect.trace.len());
    let traced: Vec<&str> = case.expect.trace.iter().map(|t| t.strip_prefix(&format!("{}.trace.", case.id)).unwrap()).collect();
    let traced: Vec<&str> = traced.into_iter().filter(|t| !is_inside(&graph, t)).collect();
    let found: Vec<Found> = traced.iter().map(|t| nodes_of(&graph, t)).collect();
    let outputs = found.iter().flat_map(|found| &found.values);
    let outputs = outputs.map(|value| Output { name: value.index().to_string(), value: *value, layout: Layout::Plain }).collect();
    let mut results = run(&graph.clone().with_outputs(outputs), &channels_last(&input)).into_iter();
    for (traced, found) in traced.iter().zip(&found) {
        let parts: Vec<Tensor> = results.by_ref().take(found.values.len()).collect();
        let want = manifest.expected(&format!("{}.trace.{traced}", case.id));
        let mut got = match found.rows {
            Some(rows) => crossed(&parts, found.part, &want, rows),
            None => arranged(&side_by_side(&parts), found.part, &want, traced),
        };
        if traced.contains(".elu#") {
            // Upstream adds the one of ELU + 1 outside the module.
            got.iter_mut().for_each(|v| *v -= 1.0);
        }
        as_in_reference(&mut got, &manifest, &graph, traced, want.shape().last());
        let error = rel_err(&got, &want.to_f32());
        assert!(error <= LOGITS, "{name} {traced}: error {error:.2e} of the std");
    }
    assert!(results.next().is_none());
}

/// Tensors that differ in their channels only as one.
fn side_by_side(parts: &[Tensor]) -> Tensor {
    let [first, ..] = parts else { panic!("nothing to compare") };
    let width = parts.iter().map(|part| part.shape().last()).sum();
    let row =
        |i: usize| parts.iter().flat_map(move |part| part.to_f32()[i * part.shape().last()..][..part.shape().last()].to_vec());
    Tensor::from_f32(first.shape().with_last(width), (0..first.shape().rows()).flat_map(row).collect()).unwrap()
}

/// `got`, which is channels-last, as upstream has it: a part of the channels, and channels first in most feature maps and in scans.
fn arranged(got: &Tensor, part: Part, want: &Tensor, name: &str) -> Vec<f32> {
    let (width, values, batch) = (got.shape().last(), got.to_f32(), want.shape().dims()[0]);
    if got.shape().rank() == 2 && got.shape().len() == want.shape().len() {
        return values.into_owned();
    }
    // Of cubes the shape tells nothing; those are of models with channels first.
    let is_map = want.shape().rank() == 4 && got.shape().rank() == 4;
    let cube = want.shape().dims().windows(2).skip(1).all(|pair| pair[0] == pair[1]);
    let last = is_map && !cube && got.shape().dims()[..3] == want.shape().dims()[..3];
    let is_merged = name.starts_with("layers.") && name.ends_with(".reduction");
    let first = name.contains(".scan.") || (want.shape().rank() >= 4 && !name.contains(".rope") && !is_merged && !last);
    let count = if first { want.shape().dims()[1] } else { want.shape().last() };
    let start = part.start(width, count);
    let rows: Vec<&[f32]> = values.chunks_exact(width).map(|row| &row[start..start + count]).collect();
    if !first {
        return rows.concat();
    }
    // Upstream turns the tokens round for a scan backwards.
    let reversed = name.contains(".backward.");
    let images = rows.chunks_exact(rows.len() / batch);
    images
        .flat_map(|image| {
            let order: Vec<&[f32]> = if reversed { image.iter().rev().copied().collect() } else { image.to_vec() };
            (0..count).flat_map(move |c| order.clone().into_iter().map(move |row| row[c]))
        })
        .collect()
}

fn on_cpu(graph: &Graph, input: &Tensor) -> Vec<Tensor> {
    let results = CpuExecutor::new(graph).unwrap().run(&[input]).unwrap();
    graph.outputs().iter().zip(results).map(|(o, t)| arrange(&t, o.layout).unwrap()).collect()
}

/// Runs a graph, already optimised or not, on a GPU.
fn on_gpu(runtime: &Runtime, graph: &Graph, input: &Tensor) -> Vec<Tensor> {
    pollster::block_on(async {
        let program = plan::lower_tuned(graph, &runtime.caps, &runtime.tuning).unwrap();
        let mut executor = GpuExecutor::new(runtime.device.clone(), program, Arc::default()).await.unwrap();
        let results = executor.run(&[input]).await.unwrap();
        graph.outputs().iter().zip(results).map(|(o, t)| arrange(&t, o.layout).unwrap()).collect()
    })
}
