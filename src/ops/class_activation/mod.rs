//! Class activation maps (Zhou et al. 2016): exact here, as the head is linear and what comes before it is a mean over positions.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, exact, exactly, vector_of},
    tensor::{Shape, Tensor},
};

/// Inputs: features `(B, .., C)` as the mean over positions takes them, the head's weight `[N, C]` and bias `[N]`, and the best
/// classes `(B, k, 2)` of [`crate::ops::TopK`]. Output `(B, k, L)`: the logit that each position alone would give; its mean is
/// the class's logit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClassActivation;

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
}

impl Definition for ClassActivation {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let (shape, best) = (inputs[0].shape(), inputs[3].to_f32());
        let (images, c, k) = (shape.dims()[0], shape.last(), inputs[3].shape().dims()[1]);
        let positions = shape.rows() / images;
        let [x, w, b] = [0, 1, 2].map(|i: usize| exact::values(inputs[i]));
        let mut out = Vec::with_capacity(images * k * positions);
        for (image, best) in x.chunks_exact(positions * c).zip(best.chunks_exact(k * 2)) {
            for pair in best.chunks_exact(2) {
                // Logits that are not numbers have no best class; the classifier reports them.
                let class = (pair[1] as usize).min(b.len() - 1);
                let filter = &w[class * c..][..c];
                out.extend(image.chunks_exact(c).map(|v| v.iter().zip(filter).map(|(a, b)| a * b).sum::<f64>() + b[class]));
            }
        }
        exact::tensor([images, k, positions], out)
    }
}
