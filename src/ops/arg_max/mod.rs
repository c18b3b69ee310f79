//! The best class of every pixel: the end of semantic segmentation.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{
        Definition, Operator,
        conv2d::nhwc,
        exact, exactly,
        resize::{resized, sizes},
    },
    tensor::{Bytes, DType, Shape, Tensor, TensorDesc},
};

/// Logits `(B, H, W, C)` of up to 255 classes -> `(B, h, w)`, one byte a pixel: the class of the largest logit, of equal ones the first, in
/// the map resized bilinearly, first to one size, then to another. The resized maps are never stored: their logits would take 150 times
/// as much memory as the image.
///
/// [`ArgMax::NONE`] stands where a logit is not a number or infinite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArgMax {
    /// Height and width of the first resize: the model's input.
    pub through: [usize; 2],
    /// Height and width of the result: the image.
    pub size: [usize; 2],
}

impl ArgMax {
    /// No class: what the logits are does not tell.
    pub const NONE: u8 = 255;
}

impl Operator for ArgMax {
    fn name(&self) -> &'static str {
        "arg_max"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x] = exactly(inputs)?;
        let [b, h, w, c] = nhwc(x)?;
        if c > usize::from(Self::NONE) {
            return Err(format!("a byte tells {} classes apart, not {c}", Self::NONE));
        }
        sizes([h, w], self.through)?;
        sizes(self.through, self.size)?;
        Ok(Shape::from([b, self.size[0], self.size[1]]))
    }

    fn element(&self) -> DType {
        DType::U8
    }
}

impl Definition for ArgMax {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let &[b, h, w, c] = inputs[0].shape().dims() else { return exact::tensor([0], Vec::new()) };
        let ([rows, columns], [height, width]) = (self.through, self.size);
        let once = resized(&exact::values(inputs[0]), [b, h, w, c], self.through, false);
        let twice = resized(&once, [b, rows, columns, c], self.size, false);
        let best = |logits: &[f64]| {
            let first = (0..c).fold(0, |best, i| if logits[i] > logits[best] { i } else { best });
            if logits.iter().all(|v| v.is_finite()) { first as u8 } else { Self::NONE }
        };
        let classes: Vec<u8> = twice.chunks_exact(c).map(best).collect();
        Tensor::new(TensorDesc { dtype: DType::U8, shape: [b, height, width].into() }, Bytes::new(classes))
    }
}
