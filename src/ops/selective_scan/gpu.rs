//! `selective_scan` on the GPU.

use super::{SelectiveScan, dims};
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
        dbl_stride: u32,
        b_offset: u32,
        c_offset: u32,
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

impl Lower<Gpu> for SelectiveScan {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shapes: Vec<&Shape> = (0..6 + usize::from(self.sum)).map(|i| cx.shape(i)).collect();
        let d = dims(*self, &shapes).map_err(|reason| cx.error(reason))?;
        let chunks = cx.choose(&SCANS, [d.length, d.channels, d.states])?.value;
        let steps = d.length.div_ceil(chunks);
        let (steps, segments) =
            if steps <= MAX_STEPS { (steps, 1) } else { (SEGMENT_STEPS, d.length.div_ceil(SEGMENT_STEPS * chunks)) };
        let vector_stride = padded_channels(d.channels);
        let params = ScanParams {
            images: d.images as u32,
            length: d.length as u32,
            channels: d.channels as u32,
            xz_stride: padded_channels(d.width) as u32,
            delta_stride: padded_channels(d.channels) as u32,
            dbl_stride: padded_channels(d.rank + 2 * d.states) as u32,
            b_offset: d.rank as u32,
            c_offset: (d.rank + d.states) as u32,
            vector_stride: vector_stride as u32,
            segments: segments as u32,
            segment_length: (steps * chunks) as u32,
            steps: steps as u32,
            height: self.direction.height as u32,
        };
        let a = cx.weight(&[Some(3)], Packing::Rows { align: CHANNEL_ALIGN })?;
        let vectors = Packing::Vectors { len: vector_stride, first: 0, defaults: vec![0, 0] };
        let vectors = cx.weight(&[Some(4), Some(5)], vectors)?;
        let reads = vec![cx.activation(0)?, cx.activation(1)?, cx.activation(2)?, a, vectors];
        let specialise = |shader| {
            Kernel::new(shader)
                .with("STATES", d.states as u32)
                .with("CHANNELS", CHANNELS as u32)
                .with("CHUNKS", chunks as u32)
                .with("REVERSED", self.direction.reversed.into())
                .with("COLUMNS", (self.direction.height > 1).into())
        };
        let workgroups = (d.images * d.channels.div_ceil(CHANNELS) * segments) as u64;
        let mut carry = BufRef::Nothing;
        if segments > 1 {
            // Per image, segment and channel: the sum of delta and the S states that the segment leaves behind.
            let lanes = d.images * d.channels;
            let totals = cx.scratch((lanes * segments * (d.states + 1) * 4) as u64);
            let starts = cx.scratch((lanes * segments * d.states * 4) as u64);
            cx.dispatch(specialise("selective_scan_reduce"), reads.clone(), vec![totals], params.block(), workgroups);
            let carry_params =
                CarryParams { lanes: (lanes * d.states) as u32, channels: d.channels as u32, segments: segments as u32 };
            let kernel = Kernel::new("selective_scan_carry").with("STATES", d.states as u32);
            let threads = (lanes * d.states) as u64;
            cx.dispatch(kernel, vec![BufRef::Buffer(totals), a], vec![starts], carry_params.block(), threads.div_ceil(64));
            carry = BufRef::Buffer(starts);
        }
        let kernel = specialise("selective_scan").with("CARRY", (segments > 1).into()).with("SUM", self.sum.into());
        let others = if self.sum { cx.activation(6)? } else { BufRef::Nothing };
        cx.dispatch(kernel, [reads, vec![carry, others]].concat(), vec![cx.output()], params.block(), workgroups);
        Ok(())
    }
}
