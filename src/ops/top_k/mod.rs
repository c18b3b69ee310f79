//! Softmax and the k most probable classes, so that a few bytes leave the device instead of all logits.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, exact, exactly},
    tensor::{Shape, Tensor},
};

/// Input logits `(B, N)`; output `(B, k, 2)`: probability and class index (exact in f32), most probable first; of equal ones the
/// lower index first. Where a logit is infinite or not a number, the first probability is negative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TopK {
    /// How many classes; at most N.
    pub k: usize,
    /// Divides the logits before the softmax (Guo et al. 2017), so that the probabilities are calibrated; 1 leaves them alone.
    pub temperature: f32,
}

impl TopK {
    /// The `k` best classes with probabilities by the plain softmax.
    pub const fn plain(k: usize) -> Self {
        Self { k, temperature: 1.0 }
    }
}

impl Operator for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [logits] = exactly(inputs)?;
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(format!("the temperature must be positive, found {}", self.temperature));
        }
        match *logits.dims() {
            // Indices travel as f32.
            [rows, classes] if (1..=classes).contains(&self.k) && classes < 1 << 24 => Ok(Shape::from([rows, self.k, 2])),
            _ => Err(format!("the {} best classes cannot be taken of logits {logits}", self.k)),
        }
    }
}

impl Definition for TopK {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let classes = inputs[0].shape().last();
        let mut out = Vec::with_capacity(inputs[0].shape().rows() * self.k * 2);
        for logits in exact::values(inputs[0]).chunks_exact(classes) {
            let mut order: Vec<usize> = (0..classes).collect();
            order.sort_by(|a, b| logits[*b].total_cmp(&logits[*a]).then(a.cmp(b)));
            let scaled: Vec<f64> = logits.iter().map(|v| v / f64::from(self.temperature)).collect();
            let scores = if logits.iter().all(|v| v.is_finite()) { exact::softmax(&scaled) } else { vec![-1.0; classes] };
            out.extend(order.iter().take(self.k).flat_map(|i| [scores[*i], *i as f64]));
        }
        exact::tensor([inputs[0].shape().rows(), self.k, 2], out)
    }
}
