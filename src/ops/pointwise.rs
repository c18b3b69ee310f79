//! Elementwise sums and products: mostly fused into an [`crate::ops::Epilogue`], but complete on their own.

use crate::{
    error::Result,
    ops::{Act, Operator, exactly, same_shape, vector_of},
    platform,
    program::{BufRef, Kernel, Lowering, Packing, Params, device_bytes, padded_channels, params},
    tensor::{Shape, Tensor},
};

/// y = a + b, equal shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Add;

/// y = a * b, equal shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mul;

/// y = x * gamma with `gamma` `[C]` over the innermost axis: layer scale (CaiT, Touvron et al. 2021).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale;

impl Operator for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        infer_pair(inputs)
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        eval_pair(inputs, |a, b| a + b)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        lower(cx, Mode::Add)
    }
}

impl Operator for Mul {
    fn name(&self) -> &'static str {
        "mul"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        infer_pair(inputs)
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        eval_pair(inputs, |a, b| a * b)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        lower(cx, Mode::Mul)
    }
}

impl Operator for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x, gamma] = exactly(inputs)?;
        vector_of("gamma", gamma, x.last())?;
        Ok(x.clone())
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let gamma = inputs[1].to_f32();
        let mut out = inputs[0].to_f32().into_owned();
        platform::par_chunks_mut(&mut out, gamma.len().max(1), |_, row| {
            for (v, g) in row.iter_mut().zip(gamma.iter()) {
                *v *= g;
            }
        });
        Tensor::from_f32(inputs[0].shape().clone(), out)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        lower(cx, Mode::Scale)
    }
}

fn infer_pair(inputs: &[&Shape]) -> std::result::Result<Shape, String> {
    let [a, b] = exactly(inputs)?;
    same_shape(a, b)?;
    Ok(a.clone())
}

fn eval_pair(inputs: &[&Tensor], f: impl Fn(f32, f32) -> f32) -> Result<Tensor> {
    let (a, b) = (inputs[0].to_f32(), inputs[1].to_f32());
    let out = a.iter().zip(b.iter()).map(|(a, b)| f(*a, *b)).collect();
    Tensor::from_f32(inputs[0].shape().clone(), out)
}

/// What `shaders/pointwise.wgsl` computes; the numbers are its `MODE`.
pub(super) enum Mode {
    Activation(Act),
    Add,
    Mul,
    Scale,
}

params! {
    struct PointwiseParams { len4: u32, channels: u32, period4: u32 }
}

const WORKGROUP: u64 = 64;

pub(super) fn lower(cx: &mut Lowering<'_>, mode: Mode) -> Result<()> {
    let shape = cx.output_shape();
    let channels4 = padded_channels(shape.last()) / 4;
    let (number, act, other) = match mode {
        Mode::Activation(act) => (0, act, BufRef::Nothing),
        Mode::Add => (1, Act::Identity, cx.activation(1)?),
        Mode::Mul => (2, Act::Identity, cx.activation(1)?),
        Mode::Scale => {
            let packing = Packing::Vectors { len: channels4 * 4, first: 0, defaults: vec![0] };
            (2, Act::Identity, cx.weight(&[Some(1)], packing)?)
        }
    };
    let len4 = device_bytes(shape) / 16;
    // A vector over channels repeats in every row; a whole tensor is its own period.
    let period = if matches!(mode, Mode::Scale) { channels4 as u64 } else { len4 };
    let params = PointwiseParams { len4: len4 as u32, channels: shape.last() as u32, period4: period as u32 };
    let kernel = Kernel::new("pointwise").with("MODE", number).with("ACT", act as u32);
    let reads = vec![cx.activation(0)?, other];
    cx.dispatch(kernel, reads, vec![cx.output()], params.block(), len4.div_ceil(WORKGROUP));
    Ok(())
}
