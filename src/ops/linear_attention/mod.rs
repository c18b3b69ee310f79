//! MILA's linear attention (Han et al. 2024, "Demystify Mamba in Vision: A Linear Attention Perspective").
//!
//! With positive features q, k (ELU + 1), their rotations q', k' (RoPE), N tokens and v, per head:
//!
//! ```text
//! kv  = k'^T v / N                    (official: n^-1/2 on both factors)
//! z_t = 1 / (q_t . mean(k) + 1e-6)    (unrotated)
//! y_t = (q'_t kv) z_t
//! ```
//!
//! A head's keys need not be as wide as its values, and z is left out of a linear attention that is not normalised.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, exact, rope::RopeGrid},
    tensor::{Shape, Tensor},
};

/// Inputs: qk `(B, L, 2 K)`, the queries before the keys, and v `(B, L, C)`; then, with `fused_rope`, the tables of
/// [`crate::ops::rope_tables`], else the rotated qk `(B, L, 2 K)`. Output `(B, L, C)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearAttention {
    /// Number of heads; C / heads and K / heads are multiples of four.
    pub heads: usize,
    /// Rotate q and k here instead of reading them rotated.
    pub fused_rope: bool,
    /// The result is a mean of values, weighted by the products of queries and keys.
    pub normalised: bool,
}

#[derive(Default)]
struct Dims {
    images: usize,
    tokens: usize,
    channels: usize,
    keys: usize,
    /// Keys of a head.
    key: usize,
    /// Values of a head.
    head: usize,
    /// Present when the rotation happens here.
    grid: Option<RopeGrid>,
}

impl LinearAttention {
    fn dims(&self, inputs: &[&Shape]) -> std::result::Result<Dims, String> {
        let (&qk, &v) = match inputs {
            [qk, v, ..] => (qk, v),
            _ => return Err(format!("needs at least 2 inputs, found {}", inputs.len())),
        };
        let &[images, tokens, channels] = v.dims() else { return Err(format!("v must be (B, L, C), found {v}")) };
        let keys = match *qk.dims() {
            [b, l, n] if (b, l) == (images, tokens) && n % 2 == 0 => n / 2,
            _ => return Err(format!("qk must be [{images}, {tokens}, 2 K], found {qk}")),
        };
        for channels in [channels, keys] {
            if self.heads == 0 || channels % (4 * self.heads) != 0 {
                return Err(format!("{channels} channels do not split into {} heads of a multiple of 4", self.heads));
            }
        }
        let grid = match (self.fused_rope, &inputs[2..]) {
            (true, [rows, columns]) => Some(RopeGrid::check(rows, columns, tokens, keys)?),
            (false, [rotated]) if *rotated == qk => None,
            (_, rest) => return Err(format!("the rotation's inputs do not fit {qk}: {rest:?}")),
        };
        let (key, head) = (keys / self.heads, channels / self.heads);
        Ok(Dims { images, tokens, channels, keys, key, head, grid })
    }
}

impl Operator for LinearAttention {
    fn name(&self) -> &'static str {
        "linear_attention"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        self.dims(inputs)?;
        Ok(inputs[1].clone())
    }

    fn macs(&self, inputs: &[&Shape], output: &Shape) -> u64 {
        let (tokens, keys) = (output.rows(), inputs[0].last() / 2);
        // k^T v and q kv: a head's keys each per output element; the normaliser: one more per key.
        (2 * tokens * output.last() * (keys / self.heads.max(1)) + if self.normalised { tokens * keys } else { 0 }) as u64
    }
}

impl Definition for LinearAttention {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let shapes: Vec<&Shape> = inputs.iter().map(|t| t.shape()).collect();
        let Dims { images, tokens, channels: c, keys, key: d, head: e, grid } = self.dims(&shapes).unwrap_or_default();
        let (qk, v) = (exact::values(inputs[0]), exact::values(inputs[1]));
        let rotated = match grid {
            None => exact::values(inputs[2]),
            Some(grid) => {
                let (rows, columns) = (exact::values(inputs[2]), exact::values(inputs[3]));
                let mut rotated = qk.clone();
                for (i, part) in rotated.chunks_exact_mut(keys).enumerate() {
                    grid.rotate(i / 2 % tokens, &rows, &columns, part);
                }
                rotated
            }
        };
        let mut out = vec![0.0; v.len()];
        for image in 0..images {
            for head in 0..self.heads {
                let all = image * tokens..(image + 1) * tokens;
                let part = |from: &[f64], token: usize, which: usize, i: usize| from[(token * 2 + which) * keys + head * d + i];
                let value = |token: usize, j: usize| v[token * c + head * e + j];
                let n = tokens as f64;
                let mean: Vec<f64> = (0..d).map(|i| all.clone().map(|t| part(&qk, t, 1, i)).sum::<f64>() / n).collect();
                let mut kv = vec![0.0; d * e];
                for token in all.clone() {
                    for i in 0..d {
                        (0..e).for_each(|j| kv[i * e + j] += part(&rotated, token, 1, i) * value(token, j) / n);
                    }
                }
                for token in all {
                    let norm: f64 = (0..d).map(|i| part(&qk, token, 0, i) * mean[i]).sum();
                    for j in 0..e {
                        let sum: f64 = (0..d).map(|i| part(&rotated, token, 0, i) * kv[i * e + j]).sum();
                        out[token * c + head * e + j] = if self.normalised { sum / (norm + 1e-6) } else { sum };
                    }
                }
            }
        }
        exact::tensor([images, tokens, c], out)
    }
}
