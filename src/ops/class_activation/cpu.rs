//! `class_activation` on processor cores.

use super::ClassActivation;
use crate::{
    error::Result,
    ops::Lower,
    packed::Packing,
    program::{Cpu, Lowering, cpu},
};

impl Lower<Cpu> for ClassActivation {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let (shape, k) = (cx.shape(0), cx.shape(3).dims()[1]);
        let (images, classes, channels) = (shape.dims()[0], cx.shape(1).dims()[0], shape.last());
        let weight = cx.weight(&[Some(1)], Packing::Flat)?;
        let bias = cx.weight(&[Some(2)], Packing::Flat)?;
        let reads = vec![cx.activation(0)?, weight, bias, cx.activation(3)?];
        let kernel = cpu::ClassActivation { images, positions: shape.rows() / images, channels, classes, k };
        let output = cx.output();
        cx.step(kernel, reads, vec![output]);
        Ok(())
    }
}
