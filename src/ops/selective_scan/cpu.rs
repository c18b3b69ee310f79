//! `selective_scan` on processor cores.

use super::{SelectiveScan, dims};
use crate::{
    error::Result,
    ops::Lower,
    packed::Packing,
    program::{BufRef, Cpu, Lowering, cpu},
    tensor::Shape,
};

impl Lower<Cpu> for SelectiveScan {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let shapes: Vec<&Shape> = (0..6 + usize::from(self.sum)).map(|i| cx.shape(i)).collect();
        let d = dims(*self, &shapes).map_err(|reason| cx.error(reason))?;
        let a = cx.weight(&[Some(3)], Packing::Transposed)?;
        let vectors = cx.weight(&[Some(4), Some(5)], Packing::Vectors { len: d.channels, first: 0, defaults: vec![0, 0] })?;
        let kernel = cpu::SelectiveScan {
            images: d.images,
            length: d.length,
            width: d.width,
            channels: d.channels,
            states: d.states,
            dbl_width: d.rank + 2 * d.states,
            direction: self.direction,
            sum: self.sum,
        };
        let others = if self.sum { cx.activation(6)? } else { BufRef::Nothing };
        let reads = vec![cx.activation(0)?, cx.activation(1)?, cx.activation(2)?, a, vectors, others];
        let output = cx.output();
        cx.step(kernel, reads, vec![output]);
        Ok(())
    }
}
