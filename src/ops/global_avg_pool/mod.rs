//! Mean over all positions: `AdaptiveAvgPool(1)`.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, exact, exactly},
    tensor::{Shape, Tensor},
};

/// Input `(B, .., C)`, output `(B, C)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GlobalAvgPool;

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
}

impl Definition for GlobalAvgPool {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let shape = inputs[0].shape();
        let (images, c) = (shape.dims()[0], shape.last());
        let (x, positions) = (exact::values(inputs[0]), shape.rows() / images);
        let mean = |i: usize| {
            let image = &x[i / c * positions * c..][..positions * c];
            image.iter().skip(i % c).step_by(c).sum::<f64>() / positions as f64
        };
        exact::tensor([images, c], (0..images * c).map(mean).collect())
    }
}
