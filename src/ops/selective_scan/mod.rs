//! The selective scan of Mamba (Gu and Dao 2023), in any direction through a map, with MambaVision's second branch carried along.
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

mod cpu;
mod gpu;

pub use crate::program::cpu::Direction;

use crate::{
    error::Result,
    ops::{Definition, Operator, exact, exactly, same_shape, vector_of},
    tensor::{Shape, Tensor},
};

/// Inputs, for D scanned channels, S states and rank R:
///
/// 0. xz `(B, L, W)`, W >= D: u is the first D channels; the other channels (MambaVision's branch without a scan) are copied
/// 1. delta `(B, L, D)`, before its bias and softplus
/// 2. x_dbl `(B, L, R + 2 S)`: the output of `x_proj`, of which B and C are the last 2 S channels
/// 3. A `[D, S]` (negative: -exp(A_log)), 4. D `[D]`, 5. delta_bias `[D]`
///
/// 6. with `sum`, for which W must be D: `(B, L, W)`, which is added to y: the scans in the other directions
///
/// Output: `(B, L, W)` with y in the first D channels. Whatever the direction, all tensors hold the tokens as they lie in the map, row
/// by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SelectiveScan {
    /// The order in which the tokens are taken; with columns the map has `L / height` of them.
    pub direction: Direction,
    /// There is something to add.
    pub sum: bool,
}

#[derive(Default)]
struct Dims {
    images: usize,
    length: usize,
    width: usize,
    channels: usize,
    states: usize,
    rank: usize,
}

fn dims(op: SelectiveScan, inputs: &[&Shape]) -> std::result::Result<Dims, String> {
    let (inputs, others) = match (op.sum, inputs) {
        (true, [inputs @ .., others]) => (inputs, Some(others)),
        _ => (inputs, None),
    };
    let [xz, delta, x_dbl, a, d, bias] = exactly(inputs)?;
    let &[images, length, width] = xz.dims() else { return Err(format!("xz must be (B, L, W), found {xz}")) };
    let &[channels, states] = a.dims() else { return Err(format!("A must be [D, S], found {a}")) };
    if channels > width || delta.dims() != [images, length, channels] {
        return Err(format!("delta must be [{images}, {length}, D] with D = {channels} <= {width}, found {delta}"));
    }
    if !length.is_multiple_of(op.direction.height) {
        return Err(format!("{length} tokens are no map of {} rows", op.direction.height));
    }
    if let Some(others) = others {
        same_shape(others, xz)?;
        if width != channels {
            return Err(format!("a sum needs all of {width} channels to be scanned, not {channels}"));
        }
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

/// The tokens in the order of a direction.
fn order(direction: Direction, length: usize) -> Vec<usize> {
    let width = length / direction.height;
    let mut order: Vec<usize> = match direction.height {
        1 => (0..length).collect(),
        height => (0..width).flat_map(|column| (0..height).map(move |row| row * width + column)).collect(),
    };
    if direction.reversed {
        order.reverse();
    }
    order
}

impl Operator for SelectiveScan {
    fn name(&self) -> &'static str {
        "selective_scan"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        dims(*self, inputs)?;
        Ok(inputs[0].clone())
    }

    fn macs(&self, inputs: &[&Shape], output: &Shape) -> u64 {
        // Per token, channel and state: decay, input and output.
        3 * (output.rows() * inputs[3].len()) as u64
    }
}

impl Definition for SelectiveScan {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let shapes: Vec<&Shape> = inputs.iter().map(|t| t.shape()).collect();
        let Dims { images, length, width, channels, states, rank } = dims(*self, &shapes).unwrap_or_default();
        let [mut out, delta, x_dbl, a, skip, bias] = [0, 1, 2, 3, 4, 5].map(|i: usize| exact::values(inputs[i]));
        let others = inputs.get(6).map(|others| exact::values(others));
        let order = order(self.direction, length);
        for image in 0..images {
            for c in 0..channels {
                let mut state = vec![0.0; states];
                for token in order.iter().map(|token| image * length + token) {
                    let u = out[token * width + c];
                    let dt = exact::softplus(delta[token * channels + c] + bias[c]);
                    let (b, out_of) = x_dbl[token * (rank + 2 * states) + rank..][..2 * states].split_at(states);
                    let mut y = skip[c] * u;
                    for n in 0..states {
                        state[n] = (dt * a[c * states + n]).exp() * state[n] + dt * b[n] * u;
                        y += out_of[n] * state[n];
                    }
                    out[token * width + c] = y + others.as_ref().map_or(0.0, |others| others[token * width + c]);
                }
            }
        }
        exact::tensor([images, length, width], out)
    }
}
