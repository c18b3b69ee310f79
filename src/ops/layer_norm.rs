//! Layer normalisation over channels (Ba et al. 2016).

use crate::{
    error::Result,
    ops::{Operator, exactly, vector_of},
    platform,
    program::{Kernel, Lowering, Packing, Params, padded_channels, params},
    tensor::{Shape, Tensor},
};

/// y = (x - mean) / sqrt(var + eps) * weight + bias over the innermost axis. Inputs: x `(.., C)`, weight `[C]`, bias `[C]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNorm {
    /// Added to the variance.
    pub eps: f32,
}

params! {
    struct LayerNormParams { rows: u32, channels: u32, eps: f32 }
}

impl Operator for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x, weight, bias] = exactly(inputs)?;
        vector_of("weight", weight, x.last())?;
        vector_of("bias", bias, x.last())?;
        Ok(x.clone())
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let (weight, bias) = (inputs[1].to_f32(), inputs[2].to_f32());
        let c = weight.len();
        let mut out = inputs[0].to_f32().into_owned();
        platform::par_chunks_mut(&mut out, c * 16, |_, rows| {
            for row in rows.chunks_exact_mut(c) {
                normalise(row, &weight, &bias, self.eps);
            }
        });
        Tensor::from_f32(inputs[0].shape().clone(), out)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shape = cx.shape(0);
        let len = padded_channels(shape.last());
        let vectors = cx.weight(&[Some(1), Some(2)], Packing::Vectors { len, first: 0, defaults: vec![0, 0] })?;
        // A team of threads shares a row: one on software adapters, where a barrier costs more than it saves.
        let team = if cx.caps().is_software() { 1 } else { 32 };
        let params = LayerNormParams { rows: shape.rows() as u32, channels: shape.last() as u32, eps: self.eps };
        let kernel = Kernel::new("layer_norm").with("TEAM", team);
        let reads = vec![cx.activation(0)?, vectors];
        let rows_per_workgroup = u64::from(64 / team);
        cx.dispatch(kernel, reads, vec![cx.output()], params.block(), (shape.rows() as u64).div_ceil(rows_per_workgroup));
        Ok(())
    }
}

#[multiversion::multiversion(targets = "simd")]
fn normalise(row: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    let channels = row.len() as f32;
    let mean = lane_sum(row, |x| x) / channels;
    let variance = lane_sum(row, |x| (x - mean) * (x - mean)) / channels;
    let scale = 1.0 / (variance + eps).sqrt();
    for ((v, w), b) in row.iter_mut().zip(weight).zip(bias) {
        *v = (*v - mean) * scale * w + b;
    }
}

/// Sum of f(x) in sixteen lanes, as the vector units and the kernels do it: also more accurate than one running sum.
#[inline(always)]
fn lane_sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let chunks = row.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().map(|x| f(*x)).sum();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += f(*x);
        }
    }
    lanes.iter().sum::<f32>() + rest
}
