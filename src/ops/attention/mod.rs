//! Multi-head softmax attention within each sequence (Vaswani et al. 2017), from a joint projection.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, exact, exactly},
    tensor::{Shape, Tensor},
};

/// Input qkv `(B, L, 3 C)` with q, k and v behind each other, each split into `heads` heads; output `(B, L, C)`:
/// softmax(q k^T / sqrt(C / heads)) v.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attention {
    /// Number of heads; divides C.
    pub heads: usize,
}

impl Attention {
    /// `[B, L, C]`.
    fn dims(&self, qkv: &Shape) -> std::result::Result<[usize; 3], String> {
        match *qkv.dims() {
            [b, l, c3] if self.heads > 0 && c3 % (3 * self.heads) == 0 => Ok([b, l, c3 / 3]),
            _ => Err(format!("qkv must be (B, L, 3 C) with C divisible by {} heads, found {qkv}", self.heads)),
        }
    }
}

impl Operator for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [qkv] = exactly(inputs)?;
        Ok(Shape::from(self.dims(qkv)?))
    }

    fn macs(&self, _inputs: &[&Shape], output: &Shape) -> u64 {
        2 * output.len() as u64 * output.dims()[1] as u64
    }
}

impl Definition for Attention {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let [b, l, c] = self.dims(inputs[0].shape()).unwrap_or_default();
        let (qkv, d) = (exact::values(inputs[0]), c / self.heads);
        let mut out = vec![0.0; b * l * c];
        for (row, out) in out.chunks_exact_mut(c).enumerate() {
            let sequence = row / l * l;
            for (head, out) in out.chunks_exact_mut(d).enumerate() {
                let part = |row: usize, which: usize| &qkv[row * 3 * c + which * c + head * d..][..d];
                let dot = |key: usize| part(row, 0).iter().zip(part(key, 1)).map(|(q, k)| q * k).sum::<f64>();
                let scores: Vec<f64> = (sequence..sequence + l).map(|key| dot(key) / (d as f64).sqrt()).collect();
                for (weight, key) in exact::softmax(&scores).into_iter().zip(sequence..) {
                    out.iter_mut().zip(part(key, 2)).for_each(|(out, v)| *out += weight * v);
                }
            }
        }
        exact::tensor([b, l, c], out)
    }
}
