//! The selective scan of Mamba (Gu and Dao 2023), with MambaVision's second branch carried along.
//!
//! Per channel c and state n, with delta' = softplus(delta + bias):
//!
//! ```text
//! h[t] = exp(delta'[t] A[c, n]) h[t-1] + delta'[t] B[t, n] u[t]        (h[-1] = 0)
//! y[t] = sum over n of C[t, n] h[t] + D[c] u[t]
//! ```
//!
//! A step is the affine map h -> a h + b; maps compose associatively, (a1, b1) then (a2, b2) = (a1 a2, a2 b1 + b2), so the time
//! axis can be cut into pieces that are scanned in parallel. As A does not depend on t, the product of the a's is
//! exp(A sum delta'), and only the sum of the deltas travels.

use crate::{
    error::Result,
    ops::{Operator, exactly, math, vector_of},
    platform,
    program::{BufRef, Kernel, Lowering, Packing, Params, padded_channels, params},
    tensor::{Shape, Tensor},
};

/// Inputs, for D scanned channels, S states and rank R:
///
/// 0. xz `(B, L, W)`, W >= D: u is the first D channels; the other channels (MambaVision's branch without a scan) are copied
/// 1. delta `(B, L, D)`, before its bias and softplus
/// 2. x_dbl `(B, L, R + 2 S)`: the output of `x_proj`, of which B and C are the last 2 S channels
/// 3. A `[D, S]` (negative: -exp(A_log)), 4. D `[D]`, 5. delta_bias `[D]`
///
/// Output: `(B, L, W)` with y in the first D channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SelectiveScan;

/// Channels that a workgroup scans side by side.
const CHANNELS: usize = 8;
/// A thread's run of tokens past which a sequence is cut into segments with a workgroup each.
const MAX_STEPS: usize = 32;
/// Tokens of a thread's run within a segment.
const SEGMENT_STEPS: usize = 16;

params! {
    struct ScanParams {
        images: u32,
        length: u32,
        channels: u32,
        xz_stride: u32,
        delta_stride: u32,
        dbl_stride: u32,
        b_offset: u32,
        c_offset: u32,
        vector_stride: u32,
        segments: u32,
        segment_length: u32,
        steps: u32,
    }
}

params! {
    struct CarryParams { lanes: u32, channels: u32, segments: u32 }
}

struct Dims {
    images: usize,
    length: usize,
    width: usize,
    channels: usize,
    states: usize,
    rank: usize,
}

fn dims(inputs: &[&Shape]) -> std::result::Result<Dims, String> {
    let [xz, delta, x_dbl, a, d, bias] = exactly(inputs)?;
    let &[images, length, width] = xz.dims() else { return Err(format!("xz must be (B, L, W), found {xz}")) };
    let &[channels, states] = a.dims() else { return Err(format!("A must be [D, S], found {a}")) };
    if channels > width || delta.dims() != [images, length, channels] {
        return Err(format!("delta must be [{images}, {length}, D] with D = {channels} <= {width}, found {delta}"));
    }
    vector_of("D", d, channels)?;
    vector_of("delta_bias", bias, channels)?;
    match *x_dbl.dims() {
        [b, l, n] if (b, l) == (images, length) && n >= 2 * states => {
            Ok(Dims { images, length, width, channels, states, rank: n - 2 * states })
        }
        _ => Err(format!("x_dbl must be [{images}, {length}, R + 2 S] with S = {states}, found {x_dbl}")),
    }
}

impl Operator for SelectiveScan {
    fn name(&self) -> &'static str {
        "selective_scan"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        dims(inputs)?;
        Ok(inputs[0].clone())
    }

    fn macs(&self, inputs: &[&Shape], output: &Shape) -> u64 {
        // Per token, channel and state: decay, input and output.
        3 * (output.rows() * inputs[3].len()) as u64
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let misfit = |reason| crate::Error::Shape { op: self.name(), node: String::new(), reason };
        let shapes: Vec<&Shape> = inputs.iter().map(|t| t.shape()).collect();
        let d = dims(&shapes).map_err(misfit)?;
        let [xz, delta, x_dbl, a, skip, bias] = [0, 1, 2, 3, 4, 5].map(|i: usize| inputs[i].to_f32());
        let groups = d.channels.div_ceil(LANES);
        let scanned = platform::par_range(d.images * groups, |i| {
            let (image, first) = (i / groups, i % groups * LANES);
            let lanes = LANES.min(d.channels - first);
            // Lanes past the last channel scan zeros.
            let mut decay = vec![[0.0f32; LANES]; d.states];
            let (mut skips, mut biases) = ([0.0; LANES], [0.0; LANES]);
            for c in 0..lanes {
                skips[c] = skip[first + c];
                biases[c] = bias[first + c];
                for (n, row) in decay.iter_mut().enumerate() {
                    row[c] = a[(first + c) * d.states + n];
                }
            }
            let mut state = vec![[0.0f32; LANES]; d.states];
            let mut out = vec![[0.0f32; LANES]; d.length];
            for (t, y) in out.iter_mut().enumerate() {
                let token = image * d.length + t;
                let (mut u, mut dt) = ([0.0; LANES], [0.0; LANES]);
                u[..lanes].copy_from_slice(&xz[token * d.width + first..][..lanes]);
                dt[..lanes].copy_from_slice(&delta[token * d.channels + first..][..lanes]);
                let mut input = [0.0; LANES];
                for c in 0..LANES {
                    dt[c] = math::softplus(dt[c] + biases[c]);
                    input[c] = dt[c] * u[c];
                    y[c] = skips[c] * u[c];
                }
                let (b, c) = x_dbl[token * (d.rank + 2 * d.states) + d.rank..][..2 * d.states].split_at(d.states);
                advance(&mut state, &decay, [b, c], [&dt, &input], y);
            }
            out
        });
        let mut out = xz.into_owned();
        platform::par_chunks_mut(&mut out, d.width, |token, row| {
            let (image, t) = (token / d.length, token % d.length);
            for (values, y) in row[..d.channels].chunks_mut(LANES).zip(&scanned[image * groups..]) {
                values.copy_from_slice(&y[t][..values.len()]);
            }
        });
        Tensor::from_f32([d.images, d.length, d.width], out)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shapes: Vec<&Shape> = (0..6).map(|i| cx.shape(i)).collect();
        let d = dims(&shapes).map_err(|reason| cx.error(reason))?;
        let chunks = chunks(cx, d.states)?;
        let steps = d.length.div_ceil(chunks);
        let (steps, segments) =
            if steps <= MAX_STEPS { (steps, 1) } else { (SEGMENT_STEPS, d.length.div_ceil(SEGMENT_STEPS * chunks)) };
        let vector_stride = padded_channels(d.channels);
        let params = ScanParams {
            images: d.images as u32,
            length: d.length as u32,
            channels: d.channels as u32,
            xz_stride: padded_channels(d.width) as u32,
            delta_stride: padded_channels(d.channels) as u32,
            dbl_stride: padded_channels(d.rank + 2 * d.states) as u32,
            b_offset: d.rank as u32,
            c_offset: (d.rank + d.states) as u32,
            vector_stride: vector_stride as u32,
            segments: segments as u32,
            segment_length: (steps * chunks) as u32,
            steps: steps as u32,
        };
        let a = cx.weight(&[Some(3)], Packing::Rows)?;
        let vectors = Packing::Vectors { len: vector_stride, first: 0, defaults: vec![0, 0] };
        let vectors = cx.weight(&[Some(4), Some(5)], vectors)?;
        let reads = vec![cx.activation(0)?, cx.activation(1)?, cx.activation(2)?, a, vectors];
        let specialise = |shader| {
            Kernel::new(shader).with("STATES", d.states as u32).with("CHANNELS", CHANNELS as u32).with("CHUNKS", chunks as u32)
        };
        let workgroups = (d.images * d.channels.div_ceil(CHANNELS) * segments) as u64;
        let mut carry = BufRef::Nothing;
        if segments > 1 {
            // Per image, segment and channel: the sum of delta and the S states that the segment leaves behind.
            let lanes = d.images * d.channels;
            let totals = cx.scratch((lanes * segments * (d.states + 1) * 4) as u64);
            let starts = cx.scratch((lanes * segments * d.states * 4) as u64);
            cx.dispatch(specialise("selective_scan_reduce"), reads.clone(), vec![totals], params.block(), workgroups);
            let carry_params =
                CarryParams { lanes: (lanes * d.states) as u32, channels: d.channels as u32, segments: segments as u32 };
            let kernel = Kernel::new("selective_scan_carry").with("STATES", d.states as u32);
            let threads = (lanes * d.states) as u64;
            cx.dispatch(kernel, vec![BufRef::Buffer(totals), a], vec![starts], carry_params.block(), threads.div_ceil(64));
            carry = BufRef::Buffer(starts);
        }
        let kernel = specialise("selective_scan").with("CARRY", (segments > 1).into());
        cx.dispatch(kernel, [reads, vec![carry]].concat(), vec![cx.output()], params.block(), workgroups);
        Ok(())
    }
}

/// Channels the CPU evaluation scans side by side, one a vector lane.
const LANES: usize = 16;
type Lanes = [f32; LANES];

/// One token: all states of a group of channels move on, and what C sees of them is added to y.
#[multiversion::multiversion(targets = "simd")]
fn advance(state: &mut [Lanes], decay: &[Lanes], [b, c]: [&[f32]; 2], [dt, input]: [&Lanes; 2], y: &mut Lanes) {
    for (((state, decay), b), c) in state.iter_mut().zip(decay).zip(b).zip(c) {
        for lane in 0..LANES {
            let h = math::exp(dt[lane] * decay[lane]) * state[lane] + input[lane] * b;
            state[lane] = h;
            y[lane] += c * h;
        }
    }
}

/// Runs of tokens that a workgroup scans in parallel: a power of two that fits workgroup memory and the number of threads.
fn chunks(cx: &Lowering<'_>, states: usize) -> Result<usize> {
    let wanted = if cx.caps().is_software() { 8 } else { 32 };
    let fits = |chunks: usize| {
        let threads = CHANNELS * chunks;
        threads <= cx.caps().max_invocations as usize && threads * (states + 1) * 4 <= cx.caps().max_workgroup_storage as usize
    };
    (0..6)
        .map(|shift| wanted >> shift)
        .find(|chunks| *chunks > 0 && fits(*chunks))
        .ok_or_else(|| cx.error(format!("{states} states do not fit the workgroup memory of the adapter")))
}
