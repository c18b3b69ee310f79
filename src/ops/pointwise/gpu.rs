//! `pointwise` on the GPU.

use super::{Add, Mul, Scale};
use crate::{
    error::Result,
    ops::{Act, Lower},
    packed::Packing,
    program::{BufRef, CHANNEL_ALIGN, Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct PointwiseParams { len4: u32, channels: u32, period4: u32 }
}

const WORKGROUP: u64 = 64;

impl Lower<Gpu> for Add {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        lower(cx, Mode::Add)
    }
}

impl Lower<Gpu> for Mul {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        lower(cx, Mode::Mul)
    }
}

impl Lower<Gpu> for Scale {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        lower(cx, Mode::Scale)
    }
}

/// What `shaders/pointwise.wgsl` computes; the numbers are its `MODE`.
pub(in crate::ops) enum Mode {
    Activation(Act),
    Add,
    Mul,
    Scale,
}

pub(in crate::ops) fn lower(cx: &mut Lowering<'_>, mode: Mode) -> Result<()> {
    let shape = cx.output_shape();
    let channels4 = padded_channels(shape.last()) / 4;
    let rows = Packing::Rows { align: CHANNEL_ALIGN };
    let (number, act, other) = match mode {
        Mode::Activation(act) => (0, act, BufRef::Nothing),
        Mode::Add => (1, Act::Identity, cx.operand(1, rows.clone())?),
        Mode::Mul => (2, Act::Identity, cx.operand(1, rows.clone())?),
        Mode::Scale => {
            let packing = Packing::Vectors { len: channels4 * 4, first: 0, defaults: vec![0] };
            (2, Act::Identity, cx.weight(&[Some(1)], packing)?)
        }
    };
    let len4 = (shape.rows() * channels4) as u64;
    // A vector over channels repeats in every row, one image in every image of a batch.
    let period = match mode {
        Mode::Scale => channels4 as u64,
        Mode::Add => (cx.shape(1).rows() * channels4) as u64,
        _ => len4,
    };
    let params = PointwiseParams { len4: len4 as u32, channels: shape.last() as u32, period4: period as u32 };
    let kernel = Kernel::new("pointwise").with("MODE", number).with("ACT", act as u32);
    let reads = vec![cx.operand(0, rows)?, other];
    cx.dispatch(kernel, reads, vec![cx.output()], params.block(), len4.div_ceil(WORKGROUP));
    Ok(())
}
