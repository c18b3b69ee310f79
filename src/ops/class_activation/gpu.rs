//! `class_activation` on the GPU.

use super::ClassActivation;
use crate::{
    error::Result,
    ops::Lower,
    packed::{Encoding, Packing},
    program::{Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct ClassActivationParams { images: u32, positions: u32, channels4: u32, classes: u32, k: u32, stride: u32 }
}

impl Lower<Gpu> for ClassActivation {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let (shape, k) = (cx.shape(0), cx.shape(3).dims()[1]);
        let (images, classes, channels) = (shape.dims()[0], cx.shape(1).dims()[0], shape.last());
        let positions = shape.rows() / images;
        // The very packing of the head's own product, so that the weight is on the device once.
        let encoding = Encoding::of(cx.constant(1)?.1, [0, channels, 1]);
        let weight = cx.panels(1, encoding, 0..classes, [0, channels, 1])?;
        let bias = Packing::Vectors { len: classes.next_multiple_of(4), first: 0, defaults: vec![0] };
        let reads = vec![cx.activation(0)?, weight, cx.weight(&[Some(2)], bias)?, cx.activation(3)?];
        let stride = padded_channels(positions);
        let params = ClassActivationParams {
            images: images as u32,
            positions: positions as u32,
            channels4: (padded_channels(channels) / 4) as u32,
            classes: classes as u32,
            k: k as u32,
            stride: stride as u32,
        };
        let workgroups = ((images * k * stride) as u64).div_ceil(64);
        let kernel = Kernel::new("class_activation").with("ENCODING", encoding as u32);
        cx.dispatch(kernel, reads, vec![cx.output()], params.block(), workgroups);
        Ok(())
    }
}
