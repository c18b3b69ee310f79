//! `linear_attention` on the GPU.

use super::LinearAttention;
use crate::{
    error::Result,
    ops::Lower,
    packed::Packing,
    program::{BufRef, CHANNEL_ALIGN, Gpu, Kernel, Lowering, Params, padded_channels, params},
    tensor::Shape,
};

params! {
    struct LinearAttentionParams {
        images: u32,
        tokens: u32,
        heads: u32,
        channels4: u32,
        keys4: u32,
        width: u32,
        table4: u32,
        splits: u32,
        split_tokens: u32,
    }
}

params! {
    struct ReduceParams { len: u32, splits: u32, factor: f32 }
}

/// Workgroups that the reduction over tokens should at least have, so that small batches still fill a device.
const MIN_WORKGROUPS: usize = 64;

/// Fewest tokens worth a partial sum of their own.
const MIN_TOKENS: usize = 32;

impl Lower<Gpu> for LinearAttention {
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
            keys4: (d.keys / 4) as u32,
            width: d.grid.map_or(1, |grid| grid.width as u32),
            table4: (padded_channels(d.keys / 2) / 4) as u32,
            splits: splits as u32,
            split_tokens: d.tokens.div_ceil(splits) as u32,
        };
        let (rotated, rows, columns) = if self.fused_rope {
            (
                BufRef::Nothing,
                cx.weight(&[Some(2)], Packing::Rows { align: CHANNEL_ALIGN })?,
                cx.weight(&[Some(3)], Packing::Rows { align: CHANNEL_ALIGN })?,
            )
        } else {
            (cx.activation(2)?, BufRef::Nothing, BufRef::Nothing)
        };
        let (qk, v) = (cx.activation(0)?, cx.activation(1)?);
        let specialise = |shader| {
            Kernel::new(shader)
                .with("KEY_DIM", d.key as u32)
                .with("HEAD_DIM", d.head as u32)
                .with("ROPE", self.fused_rope.into())
                .with("NORMALISED", self.normalised.into())
        };
        let block = d.key * d.head + d.key;
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
