//! Multi-head softmax attention within each sequence (Vaswani et al. 2017), from a joint projection.

use crate::{
    error::Result,
    ops::{Operator, exactly, gemm, math},
    platform,
    program::{Kernel, Lowering, Params, padded_channels, params},
    tensor::{Shape, Tensor},
};

/// Input qkv `(B, L, 3 C)` with q, k and v behind each other, each split into `heads` heads; output `(B, L, C)`:
/// softmax(q k^T / sqrt(C / heads)) v.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attention {
    /// Number of heads; divides C.
    pub heads: usize,
}

params! {
    struct AttentionParams { sequences: u32, length: u32, heads: u32, qkv_stride: u32, out_stride: u32, channels: u32, scale: f32 }
}

/// Queries a workgroup: one a thread.
const QUERIES: usize = 64;
/// A thread holds its query and its result in registers; wider heads would spill on every GPU.
const MAX_HEAD_DIM: usize = 128;

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

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let misfit = |reason| crate::Error::Shape { op: self.name(), node: String::new(), reason };
        let [b, l, c] = self.dims(inputs[0].shape()).map_err(misfit)?;
        let (qkv, d) = (inputs[0].to_f32(), c / self.heads);
        let scale = 1.0 / (d as f32).sqrt();
        let heads = platform::par_range(b * self.heads, |i| {
            let (sequence, head) = (i / self.heads, i % self.heads);
            let part = |which: usize| &qkv[sequence * l * 3 * c + which * c + head * d..];
            let rows = |values| gemm::Matrix { values, row_stride: 3 * c, column_stride: 1 };
            let k_transposed = gemm::Matrix { values: part(1), row_stride: 1, column_stride: 3 * c };
            let mut scores = vec![0.0; l * l];
            gemm::matmul(rows(part(0)), k_transposed, &mut scores, [l, d, l], gemm::Threads::One);
            for row in scores.chunks_exact_mut(l.max(1)) {
                softmax(row, scale);
            }
            let mut out = vec![0.0; l * d];
            let weights = gemm::Matrix { values: &scores, row_stride: l, column_stride: 1 };
            gemm::matmul(weights, rows(part(2)), &mut out, [l, l, d], gemm::Threads::One);
            out
        });
        let mut out = vec![0.0; b * l * c];
        for (i, head) in heads.iter().enumerate() {
            let (sequence, channel) = (i / self.heads, i % self.heads * d);
            for (row, values) in head.chunks_exact(d).enumerate() {
                let at = (sequence * l + row) * c + channel;
                out[at..at + d].copy_from_slice(values);
            }
        }
        Tensor::from_f32([b, l, c], out)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let [b, l, c] = self.dims(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        let d = c / self.heads;
        if d > MAX_HEAD_DIM {
            return Err(cx.error(format!("heads of {d} channels are wider than {MAX_HEAD_DIM}, the most a kernel holds")));
        }
        let params = AttentionParams {
            sequences: b as u32,
            length: l as u32,
            heads: self.heads as u32,
            qkv_stride: padded_channels(3 * c) as u32,
            out_stride: padded_channels(c) as u32,
            channels: c as u32,
            scale: 1.0 / (d as f32).sqrt(),
        };
        let kernel = Kernel::new("attention").with("HEAD_DIM", d as u32);
        let reads = vec![cx.activation(0)?];
        let workgroups = (b * self.heads * l.div_ceil(QUERIES)) as u64;
        cx.dispatch(kernel, reads, vec![cx.output()], params.block(), workgroups);
        Ok(())
    }
}

/// Softmax of `row * scale` in place.
fn softmax(row: &mut [f32], scale: f32) {
    let max = row.iter().fold(f32::NEG_INFINITY, |m, v| if *v > m { *v } else { m });
    for v in row.iter_mut() {
        *v = math::exp((*v - max) * scale);
    }
    let sum: f32 = row.iter().sum();
    for v in row {
        *v /= sum;
    }
}
