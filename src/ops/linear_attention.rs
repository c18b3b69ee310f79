//! MILA's linear attention (Han et al. 2024, "Demystify Mamba in Vision: A Linear Attention Perspective").
//!
//! With positive features q, k (ELU + 1), their rotations q', k' (RoPE), N tokens and v, per head:
//!
//! ```text
//! kv  = k'^T v / N                    (official: n^-1/2 on both factors)
//! z_t = 1 / (q_t . mean(k) + 1e-6)    (unrotated)
//! y_t = (q'_t kv) z_t
//! ```

use crate::{
    error::Result,
    ops::{Operator, gemm, rope::RopeGrid},
    platform,
    program::{BufRef, Kernel, Lowering, Packing, Params, padded_channels, params},
    tensor::{Shape, Tensor},
};

/// Inputs: qk `(B, L, 2 C)` and v `(B, L, C)`; then, with `fused_rope`, the tables of [`crate::ops::rope_tables`], else the
/// rotated qk `(B, L, 2 C)`. Output `(B, L, C)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearAttention {
    /// Number of heads; C / heads is a multiple of four.
    pub heads: usize,
    /// Rotate q and k here instead of reading them rotated.
    pub fused_rope: bool,
}

/// Keeps the normaliser away from zero.
const EPS: f32 = 1e-6;
/// Workgroups that the reduction over tokens should at least have, so that small batches still fill a device.
const MIN_WORKGROUPS: usize = 64;
/// Tokens of which the CPU multiplies the queries at a time.
const CPU_TOKENS: usize = 64;
/// Fewest tokens worth a partial sum of their own.
const MIN_TOKENS: usize = 32;

params! {
    struct LinearAttentionParams {
        images: u32,
        tokens: u32,
        heads: u32,
        channels4: u32,
        width: u32,
        table4: u32,
        splits: u32,
        split_tokens: u32,
    }
}

params! {
    struct ReduceParams { len: u32, splits: u32, factor: f32 }
}

struct Dims {
    images: usize,
    tokens: usize,
    channels: usize,
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
        if qk.dims() != [images, tokens, 2 * channels] {
            return Err(format!("qk must be [{images}, {tokens}, {}], found {qk}", 2 * channels));
        }
        if self.heads == 0 || channels % (4 * self.heads) != 0 {
            return Err(format!("{channels} channels do not split into {} heads of a multiple of 4", self.heads));
        }
        let grid = match (self.fused_rope, &inputs[2..]) {
            (true, [rows, columns]) => Some(RopeGrid::check(rows, columns, tokens, channels)?),
            (false, [rotated]) if *rotated == qk => None,
            (_, rest) => return Err(format!("the rotation's inputs do not fit {qk}: {rest:?}")),
        };
        Ok(Dims { images, tokens, channels, head: channels / self.heads, grid })
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

    fn macs(&self, _inputs: &[&Shape], output: &Shape) -> u64 {
        // k^T v and q kv: head_dim each per output element; the normaliser: one more.
        output.len() as u64 * (2 * output.last() / self.heads.max(1) + 1) as u64
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let misfit = |reason| crate::Error::Shape { op: self.name(), node: String::new(), reason };
        let shapes: Vec<&Shape> = inputs.iter().map(|t| t.shape()).collect();
        let d = self.dims(&shapes).map_err(misfit)?;
        let (qk, v) = (inputs[0].to_f32(), inputs[1].to_f32());
        let (c, head) = (d.channels, d.head);
        let rotated = match d.grid {
            None => inputs[2].to_f32(),
            Some(grid) => {
                let (rows, columns) = (inputs[2].to_f32(), inputs[3].to_f32());
                let mut rotated = qk.to_vec();
                platform::par_chunks_mut(&mut rotated, 2 * c, |token, row| {
                    for part in row.chunks_exact_mut(c) {
                        grid.rotate(token % d.tokens, &rows, &columns, part);
                    }
                });
                rotated.into()
            }
        };
        let n = d.tokens as f32;
        // Per image and head: kv [head, head], then the mean of k.
        let reduced = platform::par_range(d.images * self.heads, |i| {
            let (image, first) = (i / self.heads, i % self.heads * head);
            let mut kv = vec![0.0; head * head + head];
            let (products, mean) = kv.split_at_mut(head * head);
            let start = image * d.tokens;
            let k = gemm::Matrix { values: &rotated[start * 2 * c + c + first..], row_stride: 1, column_stride: 2 * c };
            let v = gemm::Matrix { values: &v[start * c + first..], row_stride: c, column_stride: 1 };
            gemm::matmul(k, v, products, [head, d.tokens, head], gemm::Threads::One);
            for token in start..start + d.tokens {
                for (m, k) in mean.iter_mut().zip(&qk[token * 2 * c + c + first..]) {
                    *m += k;
                }
            }
            for p in &mut kv {
                *p /= n;
            }
            kv
        });
        let mut out = vec![0.0; v.len()];
        platform::par_chunks_mut(&mut out, CPU_TOKENS * c, |i, out| {
            let mut products = vec![0.0; CPU_TOKENS * head];
            let (mut token, end) = (i * CPU_TOKENS, i * CPU_TOKENS + out.len() / c);
            let mut rows = out;
            while token < end {
                // The next image has other sums.
                let image = token / d.tokens;
                let count = end.min((image + 1) * d.tokens) - token;
                let (now, later) = rows.split_at_mut(count * c);
                for (h, reduced) in reduced[image * self.heads..][..self.heads].iter().enumerate() {
                    let (kv, mean) = reduced.split_at(head * head);
                    let at = token * 2 * c + h * head;
                    let q = gemm::Matrix { values: &rotated[at..], row_stride: 2 * c, column_stride: 1 };
                    let kv = gemm::Matrix { values: kv, row_stride: head, column_stride: 1 };
                    let products = &mut products[..count * head];
                    gemm::matmul(q, kv, products, [count, head, head], gemm::Threads::One);
                    for (t, (row, product)) in now.chunks_exact_mut(c).zip(products.chunks_exact(head)).enumerate() {
                        let norm: f32 = qk[at + t * 2 * c..].iter().zip(mean).map(|(q, m)| q * m).sum();
                        for (y, product) in row[h * head..].iter_mut().zip(product) {
                            *y = product / (norm + EPS);
                        }
                    }
                }
                (rows, token) = (later, token + count);
            }
        });
        Tensor::from_f32(inputs[1].shape().clone(), out)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shapes: Vec<&Shape> = (0..if self.fused_rope { 4 } else { 3 }).map(|i| cx.shape(i)).collect();
        let d = self.dims(&shapes).map_err(|reason| cx.error(reason))?;
        let pairs = d.images * self.heads;
        let splits = MIN_WORKGROUPS.div_ceil(pairs).min(d.tokens.div_ceil(MIN_TOKENS)).max(1);
        let params = LinearAttentionParams {
            images: d.images as u32,
            tokens: d.tokens as u32,
            heads: self.heads as u32,
            channels4: (d.channels / 4) as u32,
            width: d.grid.map_or(1, |grid| grid.width as u32),
            table4: (padded_channels(d.channels / 2) / 4) as u32,
            splits: splits as u32,
            split_tokens: d.tokens.div_ceil(splits) as u32,
        };
        let (rotated, rows, columns) = if self.fused_rope {
            (BufRef::Nothing, cx.weight(&[Some(2)], Packing::Rows)?, cx.weight(&[Some(3)], Packing::Rows)?)
        } else {
            (cx.activation(2)?, BufRef::Nothing, BufRef::Nothing)
        };
        let (qk, v) = (cx.activation(0)?, cx.activation(1)?);
        let specialise = |shader| Kernel::new(shader).with("HEAD_DIM", d.head as u32).with("ROPE", self.fused_rope.into());
        let block = d.head * d.head + d.head;
        let partials = cx.scratch((pairs * splits * block * 4) as u64);
        let reads = vec![qk, v, rotated, rows, columns];
        cx.dispatch(specialise("linear_attention_kv"), reads, vec![partials], params.block(), (pairs * splits) as u64);

        let kv = cx.scratch((pairs * block * 4) as u64);
        let reduce = ReduceParams { len: (pairs * block / 4) as u32, splits: splits as u32, factor: 1.0 / d.tokens as f32 };
        let kernel = Kernel::new("linear_attention_reduce").with("BLOCK4", (block / 4) as u32);
        let workgroups = (pairs * block / 4).div_ceil(64) as u64;
        cx.dispatch(kernel, vec![BufRef::Buffer(partials)], vec![kv], reduce.block(), workgroups);

        let threads = (d.images * d.tokens * d.channels / 4) as u64;
        let reads = vec![qk, rotated, rows, columns, BufRef::Buffer(kv)];
        cx.dispatch(specialise("linear_attention"), reads, vec![cx.output()], params.block(), threads.div_ceil(64));
        Ok(())
    }
}
