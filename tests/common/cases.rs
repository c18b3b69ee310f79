//! Cases of single operators at awkward sizes: the tests hold them against the CPU twins, the benchmarks time them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use std::ops::Range;

use webmamba::{
    Tensor,
    low_level::{
        graph::{Graph, Input, Layout},
        ops::*,
        quantise::quantised,
        tensor::{Bytes, DType, Shape, TensorDesc},
        weights::fill_uniform,
    },
};

/// Largest error over the standard deviation of the expected values (over 1 where they hardly vary).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// Copies.
    Exact,
    /// A few roundings a value.
    Close,
    /// Sums of many terms and chains of exponentials.
    Accumulated,
    /// Operands that f16 holds as they are, and a result rounded to it.
    Half,
}

impl Tolerance {
    pub fn limit(self) -> f64 {
        match self {
            Self::Exact => 0.0,
            Self::Close => 2e-6,
            Self::Accumulated => 2e-5,
            Self::Half => 5e-3,
        }
    }
}

/// An operand: a shape, which of its channels are read, a range of values, and whether it is a constant of the graph.
#[derive(Clone)]
pub struct Operand {
    pub shape: Vec<usize>,
    pub channels: Option<Range<usize>>,
    pub range: [f64; 2],
    pub constant: bool,
}

impl Operand {
    /// The shape of what is read.
    pub fn read(&self) -> Shape {
        let whole = Shape::from(self.shape.clone());
        self.channels.as_ref().map_or(whole.clone(), |run| whole.with_last(run.len()))
    }
}

pub struct Case {
    pub name: String,
    pub op: Op,
    pub operands: Vec<Operand>,
    pub tolerance: Tolerance,
    /// What the second operand, a weight, is stored as.
    pub stored: DType,
}

impl Case {
    /// Whether kernels take the operator's operands, or give its result, in f16.
    pub fn has_half(&self) -> bool {
        #[rustfmt::skip]
        let has = matches!(
            self.op,
            Op::Linear(_) | Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::LayerNorm(_) | Op::RmsNorm(_) | Op::Activation(_)
                | Op::Mul(_) | Op::Scale(_) | Op::WindowPartition(_) | Op::WindowReverse(_) | Op::Attention(_)
                | Op::AdaptiveAvgPool(_) | Op::GlobalAvgPool(_) | Op::SelectiveScan(_) | Op::LinearAttention(_)
        );
        has
    }

    /// The operator alone in a graph, and the values of its inputs.
    pub fn graph(&self) -> (Graph, Vec<Tensor>) {
        self.graph_between(false)
    }

    /// The same between identities, so that neither its operands nor its result are inputs or results of the graph.
    pub fn enclosed(&self) -> (Graph, Vec<Tensor>) {
        self.graph_between(true)
    }

    fn graph_between(&self, identities: bool) -> (Graph, Vec<Tensor>) {
        let (mut graph, mut inputs, mut values) = (Graph::new(), Vec::new(), Vec::new());
        for (i, operand) in self.operands.iter().enumerate() {
            let name = format!("{}.{i}", self.name);
            let shape = Shape::from(operand.shape.clone());
            let tensor = match &self.op {
                Op::LinearAttention(a) if a.fused_rope && i >= 2 => self.rope_table(i - 2),
                Op::Rope(_) if i >= 1 => self.rope_table(i - 1),
                _ => Tensor::from_f32(shape.clone(), fill_uniform(&name, &shape, operand.range[0], operand.range[1])).unwrap(),
            };
            // What the identities store in f16 is the very same value.
            let rounded = identities && !operand.constant;
            let tensor = if rounded { float32(&stored(&tensor, DType::F16)) } else { tensor };
            let tensor = if i == 1 { stored(&tensor, self.stored) } else { tensor };
            let value = if operand.constant {
                graph.constant(name, tensor)
            } else {
                inputs.push(tensor);
                let input = graph.input(name.clone(), shape);
                if identities { graph.op(name + ".same", Activation(Act::Identity), vec![input]).unwrap() } else { input }
            };
            values.push(operand.channels.clone().map_or(Input::from(value), |run| value.channels(run)));
        }
        let mut y = graph.op(self.name.clone(), self.op.clone(), values).unwrap();
        if identities {
            y = graph.op(format!("{}.same", self.name), Activation(Act::Identity), vec![y]).unwrap();
        }
        graph.output("y", y, Layout::Plain);
        (graph, inputs)
    }

    /// Rows or columns of the tables that fit the operands.
    fn rope_table(&self, axis: usize) -> Tensor {
        let tables = self.operands.len() - 2;
        let extent = |axis: usize| self.operands[tables + axis].shape[0];
        rope_tables(extent(0), extent(1), self.operands[tables].shape[1] * 2, 10_000.0).unwrap()[axis].clone()
    }
}

fn input(shape: impl Into<Vec<usize>>) -> Operand {
    Operand { shape: shape.into(), channels: None, range: [-1.0, 1.0], constant: false }
}

/// Of these channels only.
fn run(operand: Operand, channels: Range<usize>) -> Operand {
    Operand { channels: Some(channels), ..operand }
}

fn constant(shape: impl Into<Vec<usize>>) -> Operand {
    Operand { constant: true, ..input(shape) }
}

fn ranged(operand: Operand, lo: f64, hi: f64) -> Operand {
    Operand { range: [lo, hi], ..operand }
}

fn case(name: String, op: impl Into<Op>, operands: Vec<Operand>, tolerance: Tolerance) -> Case {
    Case { name, op: op.into(), operands, tolerance, stored: DType::F32 }
}

/// The same values in f32.
fn float32(tensor: &Tensor) -> Tensor {
    Tensor::from_f32(tensor.shape().clone(), tensor.to_f32().into_owned()).unwrap()
}

/// The same values in another type, as near as it comes to them.
fn stored(tensor: &Tensor, dtype: DType) -> Tensor {
    let halves = |bytes: fn(f32) -> [u8; 2]| {
        let bytes: Vec<u8> = tensor.to_f32().iter().flat_map(|v| bytes(*v)).collect();
        Tensor::new(TensorDesc { dtype, shape: tensor.shape().clone() }, Bytes::new(bytes)).unwrap()
    };
    match dtype {
        DType::F16 => halves(|v| half::f16::from_f32(v).to_le_bytes()),
        DType::BF16 => halves(|v| half::bf16::from_f32(v).to_le_bytes()),
        DType::Q8 | DType::Q4 => quantised(tensor, dtype).unwrap(),
        _ => tensor.clone(),
    }
}

const EVERYTHING: Epilogue = Epilogue { bias: true, act: Act::Silu, scale: true, residual: true, gate: true };

/// Of zero it is one, and nothing that follows makes zero of that again: padding must stay clear of it.
const ELU: Epilogue = Epilogue { bias: true, act: Act::EluPlusOne, scale: false, residual: false, gate: false };

/// Weight, then the parts of an epilogue for an output of this shape.
fn with_epilogue(x: Operand, weight: Operand, epilogue: Epilogue, output: &[usize]) -> Vec<Operand> {
    let n = *output.last().unwrap();
    let mut operands = vec![x, weight];
    operands.extend(epilogue.bias.then(|| constant([n])));
    operands.extend(epilogue.scale.then(|| constant([n])));
    operands.extend(epilogue.residual.then(|| input(output)));
    operands.extend(epilogue.gate.then(|| input(output)));
    operands
}

/// All cases that tests run.
pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    linear(&mut all);
    stored_weights(&mut all);
    convolutions(&mut all);
    norms_and_pointwise(&mut all);
    windows_and_attention(&mut all);
    scans(&mut all);
    tokens(&mut all);
    linear_attentions(&mut all);
    heads(&mut all);
    all
}

/// The heaviest operators of MambaVision-T and MILA-T at 224 x 224, for the benchmarks.
pub fn benchmark_cases() -> Vec<Case> {
    let mut all = Vec::new();
    let bias = Epilogue::biased(true);
    for [m, k, n] in [[784, 640, 2560], [196, 320, 1280], [196, 1280, 320], [49, 640, 2560], [3136, 64, 256], [1, 640, 1000]] {
        let operands = with_epilogue(input([m, k]), constant([n, k]), bias, &[m, n]);
        all.push(case(format!("linear {m} x {k} x {n}"), Linear { epilogue: bias }, operands, Tolerance::Accumulated));
    }
    let gelu = Epilogue { act: Act::GeluTanh, ..bias };
    for [side, c, n, stride] in [[224, 3, 32, 2], [112, 32, 80, 2], [56, 80, 80, 1], [28, 160, 160, 1], [14, 320, 640, 2]] {
        let op = Conv2d { stride, padding: 1, epilogue: gelu };
        let out = side / stride;
        let operands = with_epilogue(input([1, side, side, c]), constant([n, c, 3, 3]), gelu, &[1, out, out, n]);
        all.push(case(format!("conv2d {side} x {side} x {c} to {n} by {stride}"), op, operands, Tolerance::Accumulated));
    }
    let operands = with_epilogue(input([1, 56, 56, 64]), constant([64, 1, 3, 3]), bias, &[1, 56, 56, 64]);
    let op = DepthwiseConv2d::same([3, 3], 1, bias);
    all.push(case("depthwise_conv2d 56 x 56 x 64".into(), op, operands, Tolerance::Close));
    let operands = vec![input([196, 320]), constant([320]), constant([320])];
    all.push(case("layer_norm 196 x 320".into(), LayerNorm { eps: 1e-5 }, operands, Tolerance::Accumulated));
    all.push(case(
        "attention 196, 8 heads of 40".into(),
        Attention { heads: 8 },
        vec![input([1, 196, 960])],
        Tolerance::Accumulated,
    ));
    all.push(scan([1, 196, 160, 8, 20, 320]));
    all.push(scan([1, 16_384, 160, 8, 20, 320]));
    let operands = vec![input([1, 3136, 128]), input([1, 3136, 64]), constant([56, 32]), constant([56, 32])];
    let op = LinearAttention { heads: 2, fused_rope: true, normalised: true };
    all.push(case("linear_attention 56 x 56, 2 heads of 32".into(), op, operands, Tolerance::Accumulated));
    all
}

fn linear(all: &mut Vec<Case>) {
    // rows, channels of x, the first that is read, channels read, columns
    for [m, c, first, k, n] in [
        [1, 1, 0, 1, 1],
        [3, 3, 0, 3, 5],
        [3, 7, 5, 1, 5],
        [63, 65, 0, 65, 10],
        [65, 63, 0, 63, 197],
        [65, 63, 1, 62, 197],
        [197, 36, 0, 20, 160],
        [197, 36, 20, 16, 160],
        [197, 320, 0, 160, 65],
        [197, 320, 163, 157, 65],
        [1757, 64, 0, 64, 33],
        [1, 1757, 0, 1757, 1000],
        [1, 1757, 1000, 3, 65],
    ] {
        for (label, epilogue) in [("plain", Epilogue::default()), ("everything", EVERYTHING), ("with elu", ELU)] {
            let x = if k == c { input([m, c]) } else { run(input([m, c]), first..first + k) };
            let operands = with_epilogue(x, constant([n, k]), epilogue, &[m, n]);
            all.push(case(
                format!("linear {m} x {k} from {first} of {c} x {n} {label}"),
                Linear { epilogue },
                operands,
                Tolerance::Accumulated,
            ));
        }
    }
    for (i, act) in [Act::Relu, Act::Gelu, Act::GeluTanh, Act::EluPlusOne, Act::Softplus].into_iter().enumerate() {
        // Each part of the epilogue alone, too.
        let epilogue = Epilogue { bias: i == 0, act, scale: i == 1, residual: i == 2, gate: i == 3 };
        for n in [20, 19] {
            let operands = with_epilogue(input([2, 63, 12]), constant([n, 12]), epilogue, &[2, 63, n]);
            all.push(case(format!("linear {} to {n}", act.name()), Linear { epilogue }, operands, Tolerance::Accumulated));
        }
    }
}

/// Products whose weight has 16, 8 or 4 bits a value: input channels in part of a group, of a vector, and in several groups.
fn stored_weights(all: &mut Vec<Case>) {
    for stored in [DType::F16, DType::BF16, DType::Q8, DType::Q4] {
        let mut push = |name: String, op: Op, operands| {
            all.push(Case { stored, ..case(format!("{name} in {stored}"), op, operands, Tolerance::Accumulated) });
        };
        // rows, channels of x, the first that is read and how many, columns
        for [m, c, first, k, n] in
            [[1, 2, 0, 2, 1], [65, 34, 0, 34, 10], [3, 70, 2, 66, 197], [197, 320, 160, 160, 65], [1, 1758, 0, 1758, 33]]
        {
            let operands = with_epilogue(run(input([m, c]), first..first + k), constant([n, k]), EVERYTHING, &[m, n]);
            push(format!("linear {m} x {k} of {c} from {first} x {n}"), Linear { epilogue: EVERYTHING }.into(), operands);
        }
        for [b, h, w, c, n, k, stride] in [[1, 3, 3, 6, 16, 3, 2], [2, 9, 13, 34, 65, 3, 1], [1, 14, 14, 64, 33, 1, 2]] {
            let out = |extent: usize| (extent + 2 * (k / 2) - k) / stride + 1;
            let op = Conv2d { stride, padding: k / 2, epilogue: ELU };
            let operands = with_epilogue(input([b, h, w, c]), constant([n, c, k, k]), ELU, &[b, out(h), out(w), n]);
            push(format!("conv2d {b} x {h} x {w} x {c} to {n}, {k} x {k}, stride {stride}"), op.into(), operands);
        }
        let best = ranged(input([2, 3, 2]), 0.0, 18.99);
        let operands = vec![input([2, 49, 36]), constant([19, 36]), constant([19]), best];
        push("class_activation 2 x 49 x 36 of 19".into(), ClassActivation.into(), operands);
    }
}

fn convolutions(all: &mut Vec<Case>) {
    // batch, height, width, channels, filters, kernel, stride
    for [b, h, w, c, n, k, stride] in [
        [1, 1, 1, 1, 1, 3, 1],
        [1, 3, 3, 3, 16, 3, 2],
        [2, 7, 5, 3, 10, 3, 2],
        [1, 65, 63, 3, 8, 3, 1],
        [2, 9, 13, 20, 65, 3, 1],
        [1, 14, 14, 32, 64, 3, 2],
        [1, 197, 3, 5, 7, 1, 1],
        [1, 28, 28, 63, 33, 1, 2],
    ] {
        for (label, epilogue) in [("plain", Epilogue::default()), ("everything", EVERYTHING), ("with elu", ELU)] {
            let out = |extent: usize| (extent + 2 * (k / 2) - k) / stride + 1;
            let op = Conv2d { stride, padding: k / 2, epilogue };
            let operands = with_epilogue(input([b, h, w, c]), constant([n, c, k, k]), epilogue, &[b, out(h), out(w), n]);
            let name = format!("conv2d {b} x {h} x {w} x {c} to {n}, {k} x {k}, stride {stride} {label}");
            all.push(case(name, op, operands, Tolerance::Accumulated));
        }
    }
    // batch, height, width, channels, the first that is read, channels read, filters, kernel, stride
    for [b, h, w, c, first, read, n, k, stride] in [[1, 5, 7, 11, 2, 6, 10, 3, 1], [2, 9, 6, 64, 32, 32, 33, 3, 2]] {
        let out = |extent: usize| (extent + 2 * (k / 2) - k) / stride + 1;
        let op = Conv2d { stride, padding: k / 2, epilogue: EVERYTHING };
        let x = run(input([b, h, w, c]), first..first + read);
        let operands = with_epilogue(x, constant([n, read, k, k]), EVERYTHING, &[b, out(h), out(w), n]);
        let name = format!("conv2d {b} x {h} x {w} x {read} from {first} of {c} to {n}, {k} x {k}, stride {stride}");
        all.push(case(name, op, operands, Tolerance::Accumulated));
    }
    // batch, height, width, channels, kernel height, kernel width, stride
    for [b, h, w, c, kh, kw, stride] in [
        [1, 1, 1, 1, 3, 3, 1],
        [1, 1, 197, 65, 1, 3, 1],
        [2, 1, 1757, 10, 1, 3, 1],
        [2, 9, 7, 63, 3, 3, 1],
        [1, 65, 63, 5, 3, 3, 2],
    ] {
        for (label, epilogue) in [("plain", Epilogue::default()), ("everything", EVERYTHING), ("with elu", ELU)] {
            let out = |extent: usize, k: usize| (extent + 2 * (k / 2) - k) / stride + 1;
            let op = DepthwiseConv2d::same([kh, kw], stride, epilogue);
            let output = [b, out(h, kh), out(w, kw), c];
            let operands = with_epilogue(input([b, h, w, c]), constant([c, 1, kh, kw]), epilogue, &output);
            let name = format!("depthwise_conv2d {b} x {h} x {w} x {c}, {kh} x {kw}, stride {stride} {label}");
            all.push(case(name, op, operands, Tolerance::Close));
        }
    }
    // batch, height, width, channels, those that pass through, kernel, then zeros before and after on the vertical and horizontal axis
    for [b, h, w, c, passed, kh, kw, top, bottom, left, right] in [
        [1, 1, 1, 2, 1, 3, 3, 1, 1, 1, 1],
        [2, 9, 7, 42, 26, 7, 7, 3, 3, 3, 3],
        [1, 5, 13, 96, 64, 7, 7, 3, 3, 3, 3],
        [1, 14, 14, 63, 35, 3, 3, 1, 1, 1, 1],
        [2, 1, 197, 65, 0, 1, 4, 0, 0, 3, 0],
        [1, 1, 1757, 10, 0, 1, 4, 0, 0, 0, 3],
        [1, 1, 3, 5, 3, 1, 4, 0, 0, 3, 0],
        [1, 6, 5, 9, 0, 2, 3, 1, 0, 0, 1],
    ] {
        for (label, epilogue) in [("plain", Epilogue::default()), ("everything", EVERYTHING), ("with elu", ELU)] {
            let op = DepthwiseConv2d { stride: 1, padding: [[top, bottom], [left, right]], passed, epilogue };
            let output = [b, h + top + bottom - (kh - 1), w + left + right - (kw - 1), c];
            let operands = with_epilogue(input([b, h, w, c]), constant([c - passed, 1, kh, kw]), epilogue, &output);
            let name =
                format!("depthwise_conv2d {b} x {h} x {w} x {c}, {passed} passed, {kh} x {kw} by {left} and {right} {label}");
            all.push(case(name, op, operands, Tolerance::Close));
        }
    }
}

fn norms_and_pointwise(all: &mut Vec<Case>) {
    for [rows, c] in [[1, 1], [3, 3], [63, 65], [197, 196], [65, 63], [3, 1757], [1757, 16]] {
        let operands = vec![ranged(input([rows, c]), -1.0, 3.0), constant([c]), constant([c])];
        all.push(case(format!("layer_norm {rows} x {c}"), LayerNorm { eps: 1e-5 }, operands, Tolerance::Accumulated));
        let operands = vec![ranged(input([rows, c]), -1.0, 3.0), constant([c])];
        all.push(case(format!("rms_norm {rows} x {c}"), RmsNorm { eps: 1e-5 }, operands, Tolerance::Accumulated));
        let mut operands = vec![input([rows, c]), constant([c]), constant([c]), constant([c])];
        operands.push(ranged(constant([c]), 0.5, 1.5));
        for eps in [1e-4, 0.0] {
            let name = format!("batch_norm {rows} x {c} with {eps}");
            all.push(case(name, BatchNorm { eps }, operands.clone(), Tolerance::Close));
        }
        all.push(case(format!("add {rows} x {c}"), Add, vec![input([rows, c]), input([rows, c])], Tolerance::Close));
        let operands = vec![input([3, rows, c]), constant([1, rows, c])];
        all.push(case(format!("add {rows} x {c} to three images"), Add, operands, Tolerance::Close));
        let operands = vec![input([rows, c]), constant([rows, c])];
        all.push(case(format!("add {rows} x {c} of a constant"), Add, operands.clone(), Tolerance::Close));
        all.push(case(format!("mul {rows} x {c} by a constant"), Mul, operands, Tolerance::Close));
        all.push(case(format!("mul {rows} x {c}"), Mul, vec![input([rows, c]), input([rows, c])], Tolerance::Close));
        all.push(case(format!("scale {rows} x {c}"), Scale, vec![input([rows, c]), constant([c])], Tolerance::Close));
    }
    for act in [Act::Identity, Act::Relu, Act::Gelu, Act::GeluTanh, Act::Silu, Act::EluPlusOne, Act::Softplus] {
        // Far beyond what networks produce, so that nothing overflows into NaN.
        for reach in [6.0, 150.0] {
            let operands = vec![ranged(input([65, 63]), -reach, reach)];
            all.push(case(format!("{} to {reach}", act.name()), Activation(act), operands, Tolerance::Close));
        }
    }
}

fn windows_and_attention(all: &mut Vec<Case>) {
    for [b, h, w, c, size] in [[1, 1, 1, 1, 3], [2, 9, 7, 5, 4], [1, 28, 14, 20, 14], [2, 16, 12, 63, 14]] {
        let name = format!("window_partition {b} x {h} x {w} x {c} by {size}");
        all.push(case(name, WindowPartition { size }, vec![input([b, h, w, c])], Tolerance::Exact));
        let windows = h.div_ceil(size) * w.div_ceil(size);
        let op = WindowReverse { size, height: h, width: w };
        let name = format!("window_reverse {b} x {h} x {w} x {c} by {size}");
        all.push(case(name, op, vec![input([b * windows, size * size, c])], Tolerance::Exact));
    }
    for [b, h, w, c] in [[1, 1, 1, 1], [2, 3, 3, 5], [1, 7, 10, 63], [2, 65, 9, 8], [1, 28, 14, 20]] {
        all.push(case(format!("merge_patches {b} x {h} x {w} x {c}"), MergePatches, vec![input([b, h, w, c])], Tolerance::Exact));
    }
    // batch, length, heads, head dim
    for [b, l, heads, d] in [
        [1, 1, 1, 1],
        [2, 3, 2, 3],
        [2, 63, 2, 20],
        [1, 65, 3, 49],
        [1, 197, 2, 40],
        [3, 49, 2, 64],
        [1, 128, 1, 98],
        [1, 257, 1, 128],
    ] {
        let operands = vec![ranged(input([b, l, 3 * heads * d]), -3.0, 3.0)];
        all.push(case(
            format!("attention {b} x {l}, {heads} heads of {d}"),
            Attention { heads },
            operands,
            Tolerance::Accumulated,
        ));
    }
}

/// A selective scan: batch, length, channels, states, rank, channels of xz.
pub fn scan([b, l, d, s, r, w]: [usize; 6]) -> Case {
    let operands = vec![
        input([b, l, w]),
        ranged(input([b, l, d]), -2.0, 1.0),
        run(input([b, l, r + 2 * s]), r..r + 2 * s),
        ranged(constant([d, s]), -4.0, -0.05),
        constant([d]),
        ranged(constant([d]), -2.0, 0.0),
    ];
    let name = format!("selective_scan {b} x {l} x {d} of {w}, {s} states");
    case(name, SelectiveScan::default(), operands, Tolerance::Accumulated)
}

/// The same in a direction through a map of so many rows, with all channels scanned and the other directions added.
fn scan_in([b, l, d, s, r, height]: [usize; 6], reversed: bool, sum: bool) -> Case {
    let plain = scan([b, l, d, s, r, d]);
    let mut operands = plain.operands;
    operands.extend(sum.then(|| input([b, l, d])));
    let way = if reversed { "backwards" } else { "forwards" };
    let name = format!("selective_scan {b} x {l} x {d}, {s} states, {height} rows {way}{}", if sum { " with a sum" } else { "" });
    let op = SelectiveScan { direction: Direction { height, reversed }, sum, ..SelectiveScan::default() };
    case(name, op, operands, Tolerance::Accumulated)
}

/// A scan with these gates: batch, length, channels, states. What is normalised has positive weights.
pub fn gated_scan([b, l, d, s]: [usize; 4], gates: Gates) -> Case {
    let Gates { groups, input: gate, forget, shortcut, normalised, rotated } = gates;
    let weights = |operand| if normalised { ranged(operand, 0.05, 2.0) } else { operand };
    let rank = if forget { 3 } else { 0 };
    let bc = || run(input([b, l, rank + 2 * groups * s]), rank..rank + 2 * groups * s);
    let mut operands = vec![input([b, l, d])];
    operands.extend((gate || forget).then(|| ranged(input([b, l, d]), -2.0, 1.0)));
    operands.push(weights(bc()));
    operands.extend(forget.then(|| ranged(constant([d, s]), -4.0, -0.05)));
    operands.extend(shortcut.then(|| constant([d])));
    operands.extend((gate || forget).then(|| ranged(constant([d]), -2.0, 0.0)));
    operands.extend(rotated.then(bc));
    let parts = [(gate, "input"), (forget, "forget"), (shortcut, "shortcut"), (normalised, "mean"), (rotated, "rotated")];
    let parts: Vec<&str> = parts.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
    let name = format!("selective_scan {b} x {l} x {d} in {groups}, {s} states, with {}", parts.join(", "));
    case(name, SelectiveScan { gates, ..SelectiveScan::default() }, operands, Tolerance::Accumulated)
}

/// Gates by the number whose bits they are: input, forget, shortcut, normalised, rotated.
pub fn gates(groups: usize, bits: u32) -> Gates {
    let bit = |i: u32| bits >> i & 1 == 1;
    Gates { groups, input: bit(0), forget: bit(1), shortcut: bit(2), normalised: bit(3), rotated: bit(4) }
}

fn scans(all: &mut Vec<Case>) {
    for sizes in [
        [1, 1, 1, 1, 1, 1],
        [1, 3, 3, 8, 2, 6],
        [2, 7, 5, 8, 3, 10],
        [1, 63, 8, 8, 1, 16],
        [2, 65, 9, 16, 4, 9],
        [1, 196, 20, 8, 20, 40],
        [1, 197, 65, 8, 49, 130],
        [2, 255, 12, 5, 1, 24],
        [1, 257, 3, 8, 1, 6],
        [1, 1023, 8, 8, 1, 16],
        [1, 1025, 8, 8, 1, 16],
        [2, 1757, 10, 16, 2, 20],
        [1, 4099, 3, 8, 1, 3],
        [1, 16_384, 9, 8, 2, 18],
    ] {
        all.push(scan(sizes));
    }
    // batch, length, channels, states, rank, rows of the map
    for (sizes, sum) in [
        ([1, 1, 1, 1, 1, 1], true),
        ([2, 12, 5, 3, 1, 3], true),
        ([1, 49, 20, 1, 6, 7], true),
        ([2, 63, 9, 16, 4, 9], false),
        ([1, 197, 33, 16, 2, 1], true),
        ([1, 256, 7, 2, 1, 256], true),
        ([1, 730, 5, 16, 1, 1], false),
        ([1, 1025, 8, 64, 1, 41], true),
        ([2, 3136, 4, 1, 6, 56], true),
        ([1, 4099, 3, 4, 1, 1], true),
        ([1, 20_000, 3, 1, 1, 125], true),
    ] {
        for reversed in [false, true] {
            all.push(scan_in(sizes, reversed, sum));
        }
    }
    // Every combination; a rotation goes with a normaliser only.
    for bits in (0..32).filter(|bits| bits & 16 == 0 || bits & 8 != 0) {
        all.push(gated_scan([2, 63, 20, 4], gates(2, bits)));
    }
    // batch, length, channels, states; groups; gates
    for (sizes, groups, bits) in [
        ([1, 1, 1, 1], 1, 0b00111),
        ([1, 3, 8, 8], 2, 0b01011),
        ([2, 65, 96, 32], 3, 0b01010),
        ([1, 197, 33, 5], 3, 0b11111),
        ([1, 784, 20, 64], 1, 0b00010),
        ([1, 1025, 9, 64], 1, 0b01110),
        ([1, 1757, 20, 16], 4, 0b11011),
        ([2, 3136, 6, 3], 2, 0b01000),
        ([1, 4099, 10, 8], 2, 0b00001),
        ([1, 20_000, 6, 2], 3, 0b01111),
    ] {
        all.push(gated_scan(sizes, gates(groups, bits)));
    }
}

fn tokens(all: &mut Vec<Case>) {
    for [b, patches, c, at] in [[1, 1, 1, 0], [2, 3, 5, 1], [1, 63, 65, 63], [3, 196, 20, 98], [2, 7, 9, 7], [1, 1757, 8, 0]] {
        let operands = vec![input([b, patches, c]), constant([1, 1, c]), constant([1, patches + 1, c])];
        let op = EmbedTokens { at, frames: 1 };
        all.push(case(format!("embed_tokens {b} x {patches} x {c} at {at}"), op, operands.clone(), Tolerance::Close));
        let frames = [1, 3, 4][b - 1];
        let operands = [vec![input([b * frames, patches, c])], operands[1..].to_vec(), vec![constant([1, frames, c])]].concat();
        let op = EmbedTokens { at, frames };
        let name = format!("embed_tokens {b} x {frames} frames x {patches} x {c} at {at}");
        all.push(case(name, op, operands, Tolerance::Close));
        let operands = vec![input([b, patches + 1, c])];
        all.push(case(format!("take_token {b} x {patches} x {c} at {at}"), TakeToken { at }, operands, Tolerance::Exact));
    }
}

fn linear_attentions(all: &mut Vec<Case>) {
    // batch, height, width, heads, keys of a head, values of a head
    for ([b, h, w, heads, d, e], normalised) in [
        ([1, 1, 1, 1, 4, 4], true),
        ([2, 3, 1, 2, 4, 4], true),
        ([1, 7, 7, 4, 32, 32], true),
        ([2, 9, 7, 1, 12, 12], true),
        ([1, 1, 197, 2, 20, 20], true),
        ([1, 7, 251, 2, 16, 16], true),
        ([1, 5, 13, 1, 64, 64], true),
        ([2, 3, 21, 1, 32, 100], true),
        ([1, 5, 13, 2, 20, 8], true),
        ([1, 9, 5, 3, 8, 8], false),
        ([2, 13, 151, 1, 4, 20], false),
    ] {
        let (l, c, k) = (h * w, heads * e, heads * d);
        let positive = |operand| ranged(operand, 0.05, 2.0);
        let tables = [constant([h, k / 2]), constant([w, k / 2])];
        let name = match (d == e, normalised) {
            (true, true) => format!("{b} x {h} x {w}, {heads} heads of {d}"),
            (_, true) => format!("{b} x {h} x {w}, {heads} heads of {d} and {e}"),
            (_, false) => format!("{b} x {h} x {w}, {heads} heads of {d} and {e}, not normalised"),
        };
        let operands = [vec![positive(input([b, l, 2 * k])), input([b, l, c])], tables.to_vec()].concat();
        let op = LinearAttention { heads, fused_rope: true, normalised };
        all.push(case(format!("linear_attention with rope {name}"), op, operands, Tolerance::Accumulated));
        let operands = vec![positive(input([b, l, 2 * k])), input([b, l, c]), input([b, l, 2 * k])];
        let op = LinearAttention { heads, fused_rope: false, normalised };
        all.push(case(format!("linear_attention {name}"), op, operands, Tolerance::Accumulated));
        let operands = [vec![input([b, l, 2 * k])], tables.to_vec()].concat();
        all.push(case(format!("rope {name}"), Rope { parts: 2 }, operands, Tolerance::Close));
    }
}

fn heads(all: &mut Vec<Case>) {
    // batch, height, width, channels, rows, columns
    for [b, h, w, c, rows, columns] in [
        [1, 1, 1, 1, 3, 2],
        [2, 3, 4, 5, 6, 6],
        [1, 16, 11, 65, 6, 3],
        [2, 7, 9, 20, 1, 1],
        [1, 63, 65, 3, 197, 31],
        [1, 5, 3, 150, 20, 12],
    ] {
        let (operands, sizes) = (vec![input([b, h, w, c])], format!("{b} x {h} x {w} x {c} into {rows} x {columns}"));
        let op = AdaptiveAvgPool { size: [rows, columns] };
        all.push(case(format!("adaptive_avg_pool {sizes}"), op, operands.clone(), Tolerance::Accumulated));
        for (nearest, name, tolerance) in [(false, "bilinear", Tolerance::Close), (true, "nearest", Tolerance::Exact)] {
            all.push(case(
                format!("resize {sizes} {name}"),
                Resize { size: [rows, columns], nearest },
                operands.clone(),
                tolerance,
            ));
        }
        // Through what is larger, smaller, and the same.
        for through in [[4 * h, 4 * w], [h, w], [h.div_ceil(2), w + 1]] {
            let name = format!("arg_max {sizes} through {} x {}", through[0], through[1]);
            all.push(case(name, ArgMax { through, size: [rows, columns] }, operands.clone(), Tolerance::Exact));
        }
    }
    for [b, l, c] in [[1, 1, 1], [2, 3, 63], [3, 49, 20], [1, 1757, 65]] {
        all.push(case(format!("global_avg_pool {b} x {l} x {c}"), GlobalAvgPool, vec![input([b, l, c])], Tolerance::Accumulated));
    }
    for [rows, classes, k] in [[1, 1, 1], [2, 3, 3], [1, 63, 5], [3, 65, 1], [2, 1000, 5], [1, 21_841, 10]] {
        let operands = vec![ranged(input([rows, classes]), -8.0, 8.0)];
        let op = TopK { k, temperature: 0.5 + k as f32 / 4.0 };
        all.push(case(format!("top_k {rows} x {classes}, {k}"), op, operands, Tolerance::Close));
    }
    for [b, l, c, classes, k] in [[1, 1, 1, 1, 1], [2, 3, 63, 65, 3], [1, 49, 20, 10, 10], [2, 197, 65, 1757, 5]] {
        // Probabilities and class numbers; what is behind the point of a number is cut off, here and there.
        let best = ranged(input([b, k, 2]), 0.0, classes as f64 - 0.01);
        let operands = vec![input([b, l, c]), constant([classes, c]), constant([classes]), best];
        let name = format!("class_activation {b} x {l} x {c}, {k} of {classes}");
        all.push(case(name, ClassActivation, operands, Tolerance::Accumulated));
    }
}
