//! `selective_scan` on the GPU.

use super::SelectiveScan;
use crate::{
    error::Result,
    ops::{
        Lower,
        choices::{SCAN_CHANNELS as CHANNELS, SCANS},
    },
    packed::Packing,
    program::{BufRef, CHANNEL_ALIGN, Gpu, Kernel, Lowering, Params, padded_channels, params},
    tensor::Shape,
};

params! {
    struct ScanParams {
        images: u32,
        length: u32,
        channels: u32,
        xz_stride: u32,
        delta_stride: u32,
        bc_stride: u32,
        b_offset: u32,
        c_offset: u32,
        group: u32,
        vector_stride: u32,
        segments: u32,
        segment_length: u32,
        steps: u32,
        height: u32,
    }
}

params! {
    struct CarryParams { lanes: u32, channels: u32, segments: u32 }
}

/// A thread's run of tokens past which a sequence is cut into segments with a workgroup each.
const MAX_STEPS: usize = 32;

/// Tokens of a thread's run within a segment.
const SEGMENT_STEPS: usize = 16;

/// Mesa's software adapters leave a shader's loops, without an error, after 65,535 rounds of all of them together.
const MAX_ITERATIONS: usize = 65_000;

impl Lower<Gpu> for SelectiveScan {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let places = self.places();
        let shapes: Vec<&Shape> = (0..places.count).map(|i| cx.shape(i)).collect();
        let d = self.dims(&shapes).map_err(|reason| cx.error(reason))?;
        let bc = places.lie_alike(cx)?;
        let (g, values) = (self.gates, d.values());
        let chunks = cx.choose(&SCANS, [d.length, d.channels, values])?.value;
        let steps = d.length.div_ceil(chunks);
        // A thread that walks alone needs no other's state.
        let (most, segment) = match chunks {
            1 => [(MAX_ITERATIONS / (3 * values + 1)).max(1); 2].into(),
            _ => (MAX_STEPS, SEGMENT_STEPS),
        };
        let (steps, segments) = if steps <= most { (steps, 1) } else { (segment, d.length.div_ceil(segment * chunks)) };
        let vector_stride = padded_channels(d.channels);
        let params = ScanParams {
            images: d.images as u32,
            length: d.length as u32,
            channels: d.channels as u32,
            xz_stride: padded_channels(d.width) as u32,
            delta_stride: padded_channels(d.channels) as u32,
            bc_stride: padded_channels(bc.width) as u32,
            b_offset: bc.first as u32,
            c_offset: (bc.first + g.groups * d.states) as u32,
            group: (d.channels / g.groups) as u32,
            vector_stride: vector_stride as u32,
            segments: segments as u32,
            segment_length: (steps * chunks) as u32,
            steps: steps as u32,
            height: self.direction.height as u32,
        };
        let a = match places.a {
            Some(a) => cx.weight(&[Some(a)], Packing::Rows { align: CHANNEL_ALIGN })?,
            None => BufRef::Nothing,
        };
        let vectors = Packing::Vectors { len: vector_stride, first: 0, defaults: vec![0, 0] };
        let vectors = cx.weight(&[places.d, places.bias], vectors)?;
        let activation = |place: Option<usize>| place.map_or(Ok(BufRef::Nothing), |i| cx.activation(i));
        let (delta, rotated) = (activation(places.delta)?, activation(places.rotated)?);
        let more = activation(places.others.or(places.rotated))?;
        let reads = vec![cx.activation(0)?, delta, cx.activation(places.bc)?, a, vectors];
        let specialise = |shader| {
            Kernel::new(shader)
                .with("STATES", d.states as u32)
                .with("VALUES", values as u32)
                .with("CHANNELS", CHANNELS as u32)
                .with("CHUNKS", chunks as u32)
                .with("REVERSED", self.direction.reversed.into())
                .with("COLUMNS", (self.direction.height > 1).into())
                .with("INPUT_GATE", g.input.into())
                .with("FORGET_GATE", g.forget.into())
                .with("ROTATED", g.rotated.into())
        };
        let workgroups = (d.images * d.channels.div_ceil(CHANNELS) * segments) as u64;
        let mut carry = BufRef::Nothing;
        if segments > 1 {
            // Per image, segment and channel: the sum of delta and the states that the segment leaves behind.
            let lanes = d.images * d.channels;
            let totals = cx.scratch((lanes * segments * (values + 1) * 4) as u64);
            let starts = cx.scratch((lanes * segments * values * 4) as u64);
            let reduced = [reads.clone(), vec![rotated]].concat();
            cx.dispatch(specialise("selective_scan_reduce"), reduced, vec![totals], params.block(), workgroups);
            let carry_params =
                CarryParams { lanes: (lanes * values) as u32, channels: d.channels as u32, segments: segments as u32 };
            let kernel = Kernel::new("selective_scan_carry")
                .with("STATES", d.states as u32)
                .with("VALUES", values as u32)
                .with("FORGET_GATE", g.forget.into());
            let threads = (lanes * values) as u64;
            cx.dispatch(kernel, vec![BufRef::Buffer(totals), a], vec![starts], carry_params.block(), threads.div_ceil(64));
            carry = BufRef::Buffer(starts);
        }
        let kernel = specialise("selective_scan").with("CARRY", (segments > 1).into()).with("SUM", self.sum.into());
        cx.dispatch(kernel, [reads, vec![more, carry]].concat(), vec![cx.output()], params.block(), workgroups);
        Ok(())
    }
}
