//! Weights from a formula: any architecture without its files, the same on every machine.
//!
//! Every tensor is uniform noise that depends on its key alone. The ranges keep activations at a deviation of some 0.5 to 15
//! through any depth, as the reference fixtures of this project have them.

use crate::{
    error::Result,
    tensor::{Bytes, DType, Shape, Tensor, TensorDesc},
};

/// FNV-1a, 64 bits.
pub fn fnv1a64(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0000_0100_0000_01B3))
}

/// Row-major values of the tensor called `name`, uniform in `lo..hi`: SplitMix64 of the name's hash and the element's index,
/// of which the upper 24 bits count. Empty when the number of elements does not fit a `usize`.
pub fn fill_uniform(name: &str, shape: &Shape, lo: f64, hi: f64) -> Vec<f32> {
    let (offset, range) = (lo as f32, (hi - lo) as f32);
    let mut state = fnv1a64(name);
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let unit = ((z ^ (z >> 31)) >> 40) as u32 as f32 * (1.0 / 16_777_216.0);
        offset + range * unit
    };
    (0..shape.checked_len().unwrap_or(0)).map(|_| next()).collect()
}

/// What is particular to a family's synthetic weights, by the last segments of their keys; the first that fits counts.
#[derive(Debug)]
pub struct Gains {
    /// Gains of layers, 1 where none fits: the standard deviation of a layer's output over that of its input. Layers behind an
    /// activation or a product need more than one.
    pub layers: &'static [(&'static str, f64)],
    /// Ranges of other parameters, before the usual ones.
    pub ranges: &'static [(&'static str, (f64, f64))],
}

impl Gains {
    /// Nothing particular.
    pub const NONE: Self = Self { layers: &[], ranges: &[] };
}

/// The tensor that synthetic weights have under `key`.
///
/// # Errors
/// None in practice: the number of values is that of the shape.
pub(super) fn tensor(gains: &Gains, key: &str, shape: &Shape) -> Result<Tensor> {
    if key.ends_with("num_batches_tracked") {
        let bytes = COUNTER.to_le_bytes().repeat(shape.len());
        return Tensor::new(TensorDesc { dtype: DType::I64, shape: shape.clone() }, Bytes::new(bytes));
    }
    let (lo, hi) = range(gains, key, shape);
    Tensor::from_f32(shape.clone(), fill_uniform(key, shape, lo, hi))
}

/// Training steps of the published models' schedule.
const COUNTER: i64 = 375_300;

/// The range of the values under `key`.
fn range(gains: &Gains, key: &str, shape: &Shape) -> (f64, f64) {
    let around_zero = |bound: f64| (-bound, bound);
    let fixed = gains.ranges.iter().chain(&RANGES).find(|(end, _)| ends_with(key, end));
    match fixed {
        Some((_, range)) => *range,
        None if ends_with(key, "bias") => {
            around_zero(if key.starts_with("layers.") || key.contains(".norm.") { 0.2 } else { 0.3 })
        }
        None if shape.rank() < 2 => (0.5, 1.5),
        None => {
            let gain = gains.layers.iter().find(|(end, _)| ends_with(key, end)).map_or(1.0, |(_, gain)| *gain);
            // Of layers that are stacked, such as `x_proj_weight`, the outermost axis is the stack.
            let first = if key.ends_with("_weight") { 2 } else { 1 };
            let fan_in: usize = shape.dims()[first.min(shape.rank() - 1)..].iter().product();
            around_zero(five_digits(gain * (3.0 / fan_in.max(1) as f64).sqrt()))
        }
    }
}

/// True when the last segments of `key` are those of `end`.
fn ends_with(key: &str, end: &str) -> bool {
    key.strip_suffix(end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Rounded to five digits as the fixtures' manifests print it, so that both give the same bits: the digits and the power of ten are
/// exact, and their quotient is the number nearest to it.
fn five_digits(x: f64) -> f64 {
    let power = 10f64.powi(4 - x.abs().log10().floor() as i32);
    (x * power).round() / power
}

/// Parameters that are no matrices. The first fit counts.
const RANGES: [(&str, (f64, f64)); 10] = [
    ("A_log", (-1.6, 2.08)),
    ("D", (0.5, 1.5)),
    ("gamma_1", (0.05, 0.5)),
    ("gamma_2", (0.05, 0.5)),
    ("gamma", (0.05, 0.5)),
    ("running_mean", (-0.3, 0.3)),
    ("running_var", (0.5, 1.5)),
    ("dt_proj.bias", (-2.6, -0.9)),
    ("qk.bias", (-1.0, 1.0)),
    ("head.bias", (-0.5, 0.5)),
];
