//! Batch normalisation with running statistics (Ioffe and Szegedy 2015). The pass `fold_batch_norm` removes most of them.

use crate::{
    error::Result,
    ops::{Operator, exactly, vector_of},
    platform,
    program::{Kernel, Lowering, Packing, Params, padded_channels, params},
    tensor::{Shape, Tensor},
};

/// y = (x - mean) / sqrt(var + eps) * weight + bias with constant vectors.
///
/// Inputs: x `(.., C)`, then `[C]` each: weight, bias, running_mean, running_var.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f32,
}

impl BatchNorm {
    /// The normalisation as `x * scale + shift`, computed in f64: `(scale, shift)`.
    pub fn affine(&self, weight: &[f32], bias: &[f32], mean: &[f32], variance: &[f32]) -> (Vec<f64>, Vec<f64>) {
        let scale: Vec<f64> =
            weight.iter().zip(variance).map(|(w, v)| f64::from(*w) / (f64::from(*v) + f64::from(self.eps)).sqrt()).collect();
        let shift = scale.iter().zip(bias).zip(mean).map(|((s, b), m)| f64::from(*b) - f64::from(*m) * s).collect();
        (scale, shift)
    }
}

params! {
    struct BatchNormParams { len4: u32, channels: u32, eps: f32 }
}

impl Operator for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x, vectors @ ..] = exactly::<5>(inputs)?;
        for (what, vector) in ["weight", "bias", "running_mean", "running_var"].into_iter().zip(vectors) {
            vector_of(what, vector, x.last())?;
        }
        Ok(x.clone())
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let [weight, bias, mean, variance] = [1, 2, 3, 4].map(|i: usize| inputs[i].to_f32());
        let (scale, shift) = self.affine(&weight, &bias, &mean, &variance);
        let mut out = inputs[0].to_f32().into_owned();
        platform::par_chunks_mut(&mut out, scale.len().max(1), |_, row| {
            for ((v, s), t) in row.iter_mut().zip(&scale).zip(&shift) {
                *v = *v * *s as f32 + *t as f32;
            }
        });
        Tensor::from_f32(inputs[0].shape().clone(), out)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shape = cx.shape(0);
        let len = padded_channels(shape.last());
        let packing = Packing::Vectors { len, first: 0, defaults: vec![0; 4] };
        let vectors = cx.weight(&[Some(1), Some(2), Some(3), Some(4)], packing)?;
        let len4 = shape.rows() * len / 4;
        let params = BatchNormParams { len4: len4 as u32, channels: shape.last() as u32, eps: self.eps };
        let reads = vec![cx.activation(0)?, vectors];
        cx.dispatch(Kernel::new("batch_norm"), reads, vec![cx.output()], params.block(), (len4 as u64).div_ceil(64));
        Ok(())
    }
}
