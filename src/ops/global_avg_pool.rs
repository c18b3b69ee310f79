//! Mean over all positions: `AdaptiveAvgPool(1)`.

use crate::{
    error::Result,
    ops::{Operator, exactly},
    program::{Kernel, Lowering, Params, padded_channels, params},
    tensor::{Shape, Tensor},
};

/// Input `(B, .., C)`, output `(B, C)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalAvgPool;

params! {
    struct PoolParams { images: u32, positions: u32, channels4: u32 }
}

impl Operator for GlobalAvgPool {
    fn name(&self) -> &'static str {
        "global_avg_pool"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x] = exactly(inputs)?;
        if x.rank() < 3 || x.is_empty() {
            return Err(format!("input must be (B, .., C) with at least one position, found {x}"));
        }
        Ok(Shape::from([x.dims()[0], x.last()]))
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let shape = inputs[0].shape();
        let (images, c) = (shape.dims()[0], shape.last());
        let positions = shape.rows() / images;
        let mut out = vec![0.0; images * c];
        for (mean, image) in out.chunks_exact_mut(c).zip(inputs[0].to_f32().chunks_exact(positions * c)) {
            for pixel in image.chunks_exact(c) {
                for (m, v) in mean.iter_mut().zip(pixel) {
                    *m += v;
                }
            }
            for m in mean {
                *m /= positions as f32;
            }
        }
        Tensor::from_f32([images, c], out)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let shape = cx.shape(0);
        let images = shape.dims()[0];
        let channels4 = padded_channels(shape.last()) / 4;
        let params = PoolParams { images: images as u32, positions: (shape.rows() / images) as u32, channels4: channels4 as u32 };
        let reads = vec![cx.activation(0)?];
        let workgroups = ((images * channels4) as u64).div_ceil(64);
        cx.dispatch(Kernel::new("global_avg_pool"), reads, vec![cx.output()], params.block(), workgroups);
        Ok(())
    }
}
