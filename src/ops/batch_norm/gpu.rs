//! `batch_norm` on the GPU.

use super::BatchNorm;
use crate::{
    error::Result,
    ops::Lower,
    packed::Packing,
    program::{Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct BatchNormParams { len4: u32, channels: u32, eps: f32 }
}

impl Lower<Gpu> for BatchNorm {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shape = cx.shape(0);
        let len = padded_channels(shape.last());
        let packing = Packing::Vectors { len, first: 0, defaults: vec![0; 4] };
        let vectors = cx.weight(&[Some(1), Some(2), Some(3), Some(4)], packing)?;
        let len4 = shape.rows() * len / 4;
        let params = BatchNormParams { len4: len4 as u32, channels: shape.last() as u32, eps: self.eps };
        let reads = vec![cx.activation(0)?, vectors];
        cx.dispatch(Kernel::new("batch_norm"), reads, vec![cx.output()], params.block(), (len4 as u64).div_ceil(64));
        Ok(())
    }
}
