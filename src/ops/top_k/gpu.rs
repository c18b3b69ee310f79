//! `top_k` on the GPU.

use super::TopK;
use crate::{
    error::Result,
    ops::Lower,
    program::{Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct TopKParams { rows: u32, classes: u32, stride: u32, k: u32, sharpness: f32 }
}

impl Lower<Gpu> for TopK {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shape = cx.shape(0);
        let (rows, classes) = (shape.rows(), shape.last());
        let params = TopKParams {
            rows: rows as u32,
            classes: classes as u32,
            stride: padded_channels(classes) as u32,
            k: self.k as u32,
            sharpness: 1.0 / self.temperature,
        };
        let reads = vec![cx.activation(0)?];
        cx.dispatch(Kernel::new("top_k"), reads, vec![cx.output()], params.block(), rows as u64);
        Ok(())
    }
}
