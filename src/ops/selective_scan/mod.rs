//! The selective scan of Mamba (Gu and Dao 2023), in any direction through a map, with MambaVision's second branch carried along; and by
//! its switches everything between it and linear attention (Han et al. 2024, "Demystify Mamba in Vision").
//!
//! Per channel c of group g and state n, with delta' = softplus(delta + bias):
//!
//! ```text
//! h[t] = exp(delta'[t] A[c, n]) h[t-1] + B[t, g, n] delta'[t] u[t]     (h[-1] = 0)
//! z[t] = exp(delta'[t] A[c, n]) z[t-1] + B[t, g, n]                    (z[-1] = 0)
//! y[t] = sum over n of C[t, g, n] h[t] / (sum over n of C[t, g, n] z[t] + 1e-6) + D[c] u[t]
//! ```
//!
//! Without the input gate u is not multiplied by delta', without the forget gate the factor before h and z is one, without the shortcut
//! there is no D, and Mamba does not divide.
//!
//! A step is the affine map h -> a h + b; maps compose associatively, (a1, b1) then (a2, b2) = (a1 a2, a2 b1 + b2), so the time
//! axis can be cut into pieces that are scanned in parallel. As A does not depend on t, the product of the a's is
//! exp(A sum delta'), and only the sum of the deltas travels.

mod cpu;
mod gpu;

pub use crate::program::cpu::{Direction, Gates};

use crate::{
    error::Result,
    ops::{Definition, Operator, exact, same_shape, vector_of},
    program::{Lowering, Target, View},
    tensor::{Shape, Tensor},
};

/// Inputs, for D scanned channels in G groups and S states, those that a switch leaves out left out:
///
/// * xz `(B, L, W)`, W >= D: u is the first D channels; the other channels (MambaVision's branch without a scan) are copied
/// * with an input or forget gate: delta `(B, L, D)`, before its bias and softplus
/// * bc `(B, L, 2 G S)`, which may be a run of the channels of `x_proj`'s output: B, then C, group by group
/// * with a forget gate: A `[D, S]` (negative: -exp(A_log))
/// * with a shortcut: D `[D]`
/// * with either gate: delta_bias `[D]`
/// * with B and C `rotated`, which goes without a sum: bc as the numerator has it; the one above is the normaliser's
/// * with `sum`, for which W must be D: `(B, L, W)`, which is added to y: the scans in the other directions
///
/// Output: `(B, L, W)` with y in the first D channels. Whatever the direction, all tensors hold the tokens as they lie in the map, row
/// by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SelectiveScan {
    /// The order in which the tokens are taken; with columns the map has `L / height` of them.
    pub direction: Direction,
    /// There is something to add.
    pub sum: bool,
    /// What of the recurrence there is: all of Mamba's by default.
    pub gates: Gates,
}

/// The places of the inputs.
struct Places {
    delta: Option<usize>,
    bc: usize,
    a: Option<usize>,
    d: Option<usize>,
    bias: Option<usize>,
    rotated: Option<usize>,
    others: Option<usize>,
    count: usize,
}

impl Places {
    /// Where B and C lie in their tensor; rotated ones lie there in theirs, as kernels know one place.
    fn lie_alike<T: Target>(&self, cx: &Lowering<'_, T>) -> Result<View> {
        let view = cx.view(self.bc);
        match self.rotated.map(|i| cx.view(i)) {
            Some(rotated) if rotated != view => {
                Err(cx.error("rotated and other B and C must be the same channels of tensors of the same width"))
            }
            _ => Ok(view),
        }
    }
}

impl SelectiveScan {
    fn places(&self) -> Places {
        let (mut count, g) = (1, self.gates);
        let mut place = |is: bool| {
            count += usize::from(is);
            is.then(|| count - 1)
        };
        let delta = place(g.input || g.forget);
        let bc = place(true).unwrap_or_default();
        let (a, d) = (place(g.forget), place(g.shortcut));
        let bias = place(g.input || g.forget);
        let (rotated, others) = (place(g.rotated), place(self.sum));
        Places { delta, bc, a, d, bias, rotated, others, count }
    }

    /// Tokens, scanned channels, and states a channel with those of the normaliser, of a scan over inputs of these shapes.
    ///
    /// # Errors
    /// What does not fit.
    pub fn sizes(&self, inputs: &[&Shape]) -> std::result::Result<[usize; 3], String> {
        let d = self.dims(inputs)?;
        Ok([d.length, d.channels, d.values()])
    }

    /// Whether every channel is scanned: of inputs that have passed `infer`.
    pub(crate) fn scans_all(&self, inputs: &[Shape]) -> bool {
        self.dims(&inputs.iter().collect::<Vec<_>>()).is_ok_and(|d| d.channels == d.width)
    }

    fn dims(&self, inputs: &[&Shape]) -> std::result::Result<Dims, String> {
        let (places, g) = (self.places(), self.gates);
        if inputs.len() != places.count {
            return Err(format!("needs {} inputs, found {}", places.count, inputs.len()));
        }
        let at = |place: Option<usize>| place.map(|i| inputs[i]);
        let xz = inputs[0];
        let &[images, length, width] = xz.dims() else { return Err(format!("xz must be (B, L, W), found {xz}")) };
        let bc = inputs[places.bc];
        let parts = 2 * g.groups;
        // What tells the number of channels: A, else delta, else nothing: all of them are.
        let (channels, states) = match (at(places.a), at(places.delta)) {
            (Some(a), _) => match *a.dims() {
                [channels, states] => (channels, states),
                _ => return Err(format!("A must be [D, S], found {a}")),
            },
            (None, delta) => (delta.map_or(width, Shape::last), bc.last().checked_div(parts).unwrap_or_default()),
        };
        if g.groups == 0 || !channels.is_multiple_of(g.groups) {
            return Err(format!("{channels} channels are not {} groups", g.groups));
        }
        if channels > width || at(places.delta).is_some_and(|delta| delta.dims() != [images, length, channels]) {
            return Err(format!(
                "delta must be [{images}, {length}, D] with D = {channels} <= {width}, found {}",
                at(places.delta).unwrap_or(xz)
            ));
        }
        if !length.is_multiple_of(self.direction.height) {
            return Err(format!("{length} tokens are no map of {} rows", self.direction.height));
        }
        if let Some(others) = at(places.others) {
            same_shape(others, xz)?;
            if width != channels {
                return Err(format!("a sum needs all of {width} channels to be scanned, not {channels}"));
            }
        }
        if let Some(rotated) = at(places.rotated) {
            same_shape(rotated, bc)?;
            if self.sum || !g.normalised {
                return Err(
                    "a rotation beside what is not rotated is that of a scan with a normaliser and without a sum".to_owned()
                );
            }
        }
        for (what, place) in [("D", places.d), ("delta_bias", places.bias)] {
            at(place).map_or(Ok(()), |vector| vector_of(what, vector, channels))?;
        }
        if bc.dims() != [images, length, parts * states] {
            return Err(format!("B and C must be [{images}, {length}, {parts} S] with S = {states}, found {bc}"));
        }
        Ok(Dims { images, length, width, channels, states, gates: g })
    }
}

#[derive(Default)]
struct Dims {
    images: usize,
    length: usize,
    width: usize,
    channels: usize,
    states: usize,
    gates: Gates,
}

impl Dims {
    /// Values that a channel carries from token to token.
    fn values(&self) -> usize {
        self.states * (1 + usize::from(self.gates.normalised))
    }

    /// Channels of B and C.
    fn parts(&self) -> usize {
        2 * self.gates.groups * self.states
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
        self.dims(inputs)?;
        Ok(inputs[0].clone())
    }

    fn reads_channels(&self, i: usize) -> bool {
        let places = self.places();
        i == places.bc || Some(i) == places.rotated
    }

    fn macs(&self, inputs: &[&Shape], output: &Shape) -> u64 {
        let Ok(d) = self.dims(inputs) else { return 0 };
        // Per token, channel and value: decay, input and output.
        ((2 + usize::from(d.gates.forget)) * output.rows() * d.channels * d.values()) as u64
    }
}

impl Definition for SelectiveScan {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let shapes: Vec<&Shape> = inputs.iter().map(|t| t.shape()).collect();
        let (places, d) = (self.places(), self.dims(&shapes).unwrap_or_default());
        let Dims { images, length, width, channels, states, gates, .. } = d;
        let of = |place: Option<usize>| place.map(|i| exact::values(inputs[i]));
        let (mut out, plain) = (exact::values(inputs[0]), exact::values(inputs[places.bc]));
        let (delta, a, skip, bias) = (of(places.delta), of(places.a), of(places.d), of(places.bias));
        let (rotated, others) = (of(places.rotated), of(places.others));
        let turned = rotated.as_ref().unwrap_or(&plain);
        let order = order(self.direction, length);
        for image in 0..images {
            for c in 0..channels {
                let (mut state, mut ones) = (vec![0.0; states], vec![0.0; states]);
                let group = c / (channels / gates.groups);
                for token in order.iter().map(|token| image * length + token) {
                    let u = out[token * width + c];
                    let dt = match (&delta, &bias) {
                        (Some(delta), Some(bias)) => exact::softplus(delta[token * channels + c] + bias[c]),
                        _ => 1.0,
                    };
                    let part =
                        |bc: &[f64], which: usize, n: usize| bc[token * d.parts() + (which * gates.groups + group) * states + n];
                    let (mut seen, mut norm) = (0.0, 1e-6);
                    for n in 0..states {
                        let kept = a.as_ref().map_or(1.0, |a| (dt * a[c * states + n]).exp());
                        state[n] = kept * state[n] + part(turned, 0, n) * u * if gates.input { dt } else { 1.0 };
                        ones[n] = kept * ones[n] + part(&plain, 0, n);
                        seen += part(turned, 1, n) * state[n];
                        norm += part(&plain, 1, n) * ones[n];
                    }
                    let y = if gates.normalised { seen / norm } else { seen };
                    let skipped = skip.as_ref().map_or(0.0, |skip| skip[c] * u);
                    out[token * width + c] = y + skipped + others.as_ref().map_or(0.0, |others| others[token * width + c]);
                }
            }
        }
        exact::tensor([images, length, width], out)
    }
}
