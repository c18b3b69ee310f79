//! What a product does to its result before storing it: y = (act(acc + bias) * scale + residual) * gate.

use crate::{
    error::Result,
    ops::{Act, Epilogue, exact},
    packed::Packing,
    program::{BufRef, Cpu, Kernel, Lowering},
    tensor::{Shape, Tensor},
};

/// Input positions of the parts of an epilogue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Positions {
    pub(super) bias: Option<usize>,
    pub(super) scale: Option<usize>,
    pub(super) residual: Option<usize>,
    pub(super) gate: Option<usize>,
    /// How many inputs the operator has in all.
    pub(super) count: usize,
}

impl Epilogue {
    /// An epilogue that only adds a bias, or does nothing.
    pub const fn biased(bias: bool) -> Self {
        Self { bias, act: Act::Identity, scale: false, residual: false, gate: false }
    }

    pub(super) fn positions(&self) -> Positions {
        let mut next = 2;
        let mut place = |present: bool| {
            present.then(|| {
                next += 1;
                next - 1
            })
        };
        let (bias, scale) = (place(self.bias), place(self.scale));
        let (residual, gate) = (place(self.residual), place(self.gate));
        Positions { bias, scale, residual, gate, count: next }
    }

    /// Checks the inputs from the third on against the output shape.
    pub(super) fn check(&self, inputs: &[&Shape], output: &Shape) -> std::result::Result<(), String> {
        let at = self.positions();
        if inputs.len() != at.count {
            return Err(format!("needs {} inputs, found {}", at.count, inputs.len()));
        }
        for (what, position) in [("bias", at.bias), ("scale", at.scale)] {
            if let Some(i) = position {
                super::vector_of(what, inputs[i], output.last())?;
            }
        }
        for i in [at.residual, at.gate].into_iter().flatten() {
            super::same_shape(inputs[i], output)?;
        }
        Ok(())
    }

    /// The parts as evaluations take them.
    pub(super) fn exact(&self, inputs: &[&Tensor]) -> ExactEpilogue {
        let at = self.positions();
        let get = |i: Option<usize>| i.map(|i| exact::values(inputs[i]));
        ExactEpilogue { act: self.act, bias: get(at.bias), scale: get(at.scale), residual: get(at.residual), gate: get(at.gate) }
    }

    /// Operands of the parts on the CPU: `[vectors (bias, scale), residual, gate]`, the vectors padded to whole machine vectors.
    pub(super) fn bind_cpu(&self, cx: &mut Lowering<'_, Cpu>, channels: usize) -> Result<[BufRef; 3]> {
        let at = self.positions();
        let len = channels.next_multiple_of(cx.caps().isa.lanes());
        let packing = Packing::Vectors { len, first: 0, defaults: vec![0, 1f32.to_bits()] };
        let vectors = if self.bias || self.scale { cx.weight(&[at.bias, at.scale], packing)? } else { BufRef::Nothing };
        let tensor = |i: Option<usize>| i.map_or(Ok(BufRef::Nothing), |i| cx.activation(i));
        Ok([vectors, tensor(at.residual)?, tensor(at.gate)?])
    }

    /// Constants and bindings of the parts: `[vectors (bias, scale), residual, gate]`, for output channels from `first` on.
    pub(super) fn bind(
        &self,
        cx: &mut Lowering<'_>,
        kernel: Kernel,
        first: usize,
        padded: usize,
    ) -> Result<(Kernel, [BufRef; 3])> {
        let at = self.positions();
        let packing = Packing::Vectors { len: padded, first, defaults: vec![0, 1f32.to_bits()] };
        let vectors = if self.bias || self.scale { cx.weight(&[at.bias, at.scale], packing)? } else { BufRef::Nothing };
        let tensor = |i: Option<usize>| i.map_or(Ok(BufRef::Nothing), |i| cx.activation(i));
        let (residual, gate) = (tensor(at.residual)?, tensor(at.gate)?);
        let kernel = kernel
            .with("ACT", self.act as u32)
            .with("BIAS", self.bias.into())
            .with("SCALE", self.scale.into())
            .with("RESIDUAL", self.residual.into())
            .with("GATE", self.gate.into());
        Ok((kernel, [vectors, residual, gate]))
    }
}

/// An epilogue with its operands at hand.
pub(super) struct ExactEpilogue {
    act: Act,
    bias: Option<Vec<f64>>,
    scale: Option<Vec<f64>>,
    residual: Option<Vec<f64>>,
    gate: Option<Vec<f64>>,
}

impl ExactEpilogue {
    /// Finishes the value at position `at` of an output with `channels` channels.
    pub(super) fn apply(&self, sum: f64, at: usize, channels: usize) -> f64 {
        let of = |part: &Option<Vec<f64>>, i: usize, absent: f64| part.as_ref().map_or(absent, |values| values[i]);
        let value = exact::act(self.act, sum + of(&self.bias, at % channels, 0.0));
        (value * of(&self.scale, at % channels, 1.0) + of(&self.residual, at, 0.0)) * of(&self.gate, at, 1.0)
    }
}
