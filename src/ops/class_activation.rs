//! Class activation maps (Zhou et al. 2016): exact here, as the head is linear and what comes before it is a mean over positions.

use crate::{
    error::Result,
    ops::{Operator, exactly, vector_of},
    program::{Kernel, Lowering, Packing, Params, padded_channels, params},
    tensor::{Shape, Tensor},
};

/// Inputs: features `(B, .., C)` as the mean over positions takes them, the head's weight `[N, C]` and bias `[N]`, and the best
/// classes `(B, k, 2)` of [`crate::ops::TopK`]. Output `(B, k, L)`: the logit that each position alone would give; its mean is
/// the class's logit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassActivation;

params! {
    struct ClassActivationParams { images: u32, positions: u32, channels4: u32, classes: u32, k: u32, stride: u32 }
}

impl Operator for ClassActivation {
    fn name(&self) -> &'static str {
        "class_activation"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x, weight, bias, best] = exactly(inputs)?;
        let (&[images, k, 2], &[classes, channels]) = (best.dims(), weight.dims()) else {
            return Err(format!("needs a weight [N, C] and best classes (B, k, 2), found {weight} and {best}"));
        };
        vector_of("bias", bias, classes)?;
        if x.rank() < 3 || x.is_empty() || x.dims()[0] != images || x.last() != channels {
            return Err(format!("features (B, .., C) = {x} do not fit a weight {weight} and best classes {best}"));
        }
        Ok(Shape::from([images, k, x.rows() / images]))
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let (shape, best) = (inputs[0].shape(), inputs[3].to_f32());
        let (images, c, k) = (shape.dims()[0], shape.last(), inputs[3].shape().dims()[1]);
        let positions = shape.rows() / images;
        let (x, w, b) = (inputs[0].to_f32(), inputs[1].to_f32(), inputs[2].to_f32());
        let mut out = Vec::with_capacity(images * k * positions);
        for (image, best) in x.chunks_exact(positions * c).zip(best.chunks_exact(k * 2)) {
            for pair in best.chunks_exact(2) {
                // Logits that are not numbers have no best class; the classifier reports them.
                let class = (pair[1] as usize).min(b.len() - 1);
                let filter = &w[class * c..][..c];
                out.extend(image.chunks_exact(c).map(|v| v.iter().zip(filter).map(|(a, b)| a * b).sum::<f32>() + b[class]));
            }
        }
        Tensor::from_f32([images, k, positions], out)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let (shape, k) = (cx.shape(0), cx.shape(3).dims()[1]);
        let (images, classes, channels) = (shape.dims()[0], cx.shape(1).dims()[0], shape.last());
        let positions = shape.rows() / images;
        // The very packing of the head's own product, so that the weight is on the device once.
        let weight = cx.weight(&[Some(1)], Packing::Panels { first: 0, count: classes, channels, taps: 1 })?;
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
        cx.dispatch(Kernel::new("class_activation"), reads, vec![cx.output()], params.block(), workgroups);
        Ok(())
    }
}
