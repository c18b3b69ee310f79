//! `rope` on the GPU.

use super::Rope;
use crate::{
    error::Result,
    ops::Lower,
    packed::Packing,
    program::{CHANNEL_ALIGN, Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct RopeParams { images: u32, height: u32, width: u32, channels4: u32, parts: u32, table4: u32 }
}

impl Lower<Gpu> for Rope {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shape = cx.shape(0);
        let (images, c) = (shape.dims()[0], shape.last() / self.parts);
        let (height, width) = (cx.shape(1).dims()[0], cx.shape(2).dims()[0]);
        let params = RopeParams {
            images: images as u32,
            height: height as u32,
            width: width as u32,
            channels4: (c / 4) as u32,
            parts: self.parts as u32,
            table4: (padded_channels(c / 2) / 4) as u32,
        };
        let rows = cx.weight(&[Some(1)], Packing::Rows { align: CHANNEL_ALIGN })?;
        let columns = cx.weight(&[Some(2)], Packing::Rows { align: CHANNEL_ALIGN })?;
        let reads = vec![cx.activation(0)?, rows, columns];
        let threads = (shape.len() / 4) as u64;
        cx.dispatch(Kernel::new("rope"), reads, vec![cx.output()], params.block(), threads.div_ceil(64));
        Ok(())
    }
}
