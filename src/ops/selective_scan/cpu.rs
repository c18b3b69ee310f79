//! `selective_scan` on processor cores.

use super::SelectiveScan;
use crate::{
    error::Result,
    ops::Lower,
    packed::Packing,
    program::{BufRef, Cpu, Lowering, cpu},
    tensor::Shape,
};

impl Lower<Cpu> for SelectiveScan {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let places = self.places();
        let shapes: Vec<&Shape> = (0..places.count).map(|i| cx.shape(i)).collect();
        let d = self.dims(&shapes).map_err(|reason| cx.error(reason))?;
        let a = match places.a {
            Some(a) => cx.weight(&[Some(a)], Packing::Transposed)?,
            None => BufRef::Nothing,
        };
        let vectors = Packing::Vectors { len: d.channels, first: 0, defaults: vec![0, 0] };
        let vectors = cx.weight(&[places.d, places.bias], vectors)?;
        let bc = places.lie_alike(cx)?;
        let kernel = cpu::SelectiveScan {
            images: d.images,
            length: d.length,
            width: d.width,
            channels: d.channels,
            states: d.states,
            bc_width: bc.width,
            bc_first: bc.first,
            direction: self.direction,
            sum: self.sum,
            gates: self.gates,
        };
        let activation = |place: Option<usize>| place.map_or(Ok(BufRef::Nothing), |i| cx.activation(i));
        let more = activation(places.others.or(places.rotated))?;
        let reads = vec![cx.activation(0)?, activation(places.delta)?, cx.activation(places.bc)?, a, vectors, more];
        let output = cx.output();
        cx.step(kernel, reads, vec![output]);
        Ok(())
    }
}
