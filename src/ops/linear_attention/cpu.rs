//! `linear_attention` on processor cores.

use super::LinearAttention;
use crate::{
    error::Result,
    ops::Lower,
    packed::Packing,
    program::{BufRef, Cpu, Lowering, cpu},
    tensor::Shape,
};

/// Fewest tokens worth a sum of their own.
const MIN_TOKENS: usize = 256;

impl Lower<Cpu> for LinearAttention {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let shapes: Vec<&Shape> = (0..if self.fused_rope { 4 } else { 3 }).map(|i| cx.shape(i)).collect();
        let d = self.dims(&shapes).map_err(|reason| cx.error(reason))?;
        let pairs = d.images * self.heads;
        // More sums than heads where those alone do not feed the threads.
        let wanted = if cx.caps().threads == 1 { 1 } else { (2 * cx.caps().threads).div_ceil(pairs.max(1)) };
        let sizes = cpu::LinearAttentionSizes {
            images: d.images,
            tokens: d.tokens,
            heads: self.heads,
            channels: d.channels,
            keys: d.keys,
            normalised: self.normalised,
            width: d.grid.map_or(0, |grid| grid.width),
            splits: wanted.min(d.tokens.div_ceil(MIN_TOKENS)).max(1),
        };
        let rotation = if self.fused_rope {
            let table = Packing::Flat;
            vec![cx.weight(&[Some(2)], table.clone())?, cx.weight(&[Some(3)], table)?]
        } else {
            vec![cx.activation(2)?]
        };
        let (qk, v, output) = (cx.activation(0)?, cx.activation(1)?, cx.output());
        let sums = cx.scratch((pairs * sizes.splits * (d.key * d.head + d.key) * 4) as u64);
        cx.step(cpu::LinearAttentionKv(sizes), [vec![qk, v], rotation.clone()].concat(), vec![sums]);
        let reads = [vec![qk], rotation, vec![BufRef::Buffer(sums)]].concat();
        // The sums come last, whether the rotation has one operand or two.
        cx.step(cpu::LinearAttention(sizes), reads, vec![output]);
        Ok(())
    }
}
