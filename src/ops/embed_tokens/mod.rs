//! Patches to tokens: a class token among them, and positions added to all.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, exact, exactly},
    tensor::{Shape, Tensor},
};

/// Inputs: patches `(B, M, C)`, the class token, C values, and positions `[.., C]` for M + 1 tokens. Output: `(B, M + 1, C)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbedTokens {
    /// Where the class token stands: after so many patches.
    pub at: usize,
}

impl EmbedTokens {
    /// Batch, patches and channels.
    fn dims(self, inputs: &[&Shape]) -> std::result::Result<[usize; 3], String> {
        let [patches, class, positions] = exactly(inputs)?;
        let &[images, count, channels] = patches.dims() else {
            return Err(format!("patches must be (B, M, C), found {patches}"));
        };
        if self.at > count {
            return Err(format!("the class token cannot stand behind {} of {count} patches", self.at));
        }
        if class.len() != channels {
            return Err(format!("the class token must have {channels} values, found {class}"));
        }
        if positions.last() != channels || positions.rows() != count + 1 {
            return Err(format!(
                "an input of this size makes {count} patches, but the model has positions {positions} for {}: it runs at the size that \
                 it was trained for",
                positions.rows().saturating_sub(1)
            ));
        }
        Ok([images, count, channels])
    }
}

impl Operator for EmbedTokens {
    fn name(&self) -> &'static str {
        "embed_tokens"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [images, count, channels] = self.dims(inputs)?;
        Ok(Shape::from([images, count + 1, channels]))
    }
}

impl Definition for EmbedTokens {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let shapes: Vec<&Shape> = inputs.iter().map(|t| t.shape()).collect();
        let [images, count, channels] = self.dims(&shapes).unwrap_or_default();
        let [patches, class, positions] = [0, 1, 2].map(|i: usize| exact::values(inputs[i]));
        let mut out = Vec::with_capacity(images * (count + 1) * channels);
        for image in 0..images {
            for token in 0..=count {
                for c in 0..channels {
                    let value = match token.cmp(&self.at) {
                        std::cmp::Ordering::Less => patches[(image * count + token) * channels + c],
                        std::cmp::Ordering::Equal => class[c],
                        std::cmp::Ordering::Greater => patches[(image * count + token - 1) * channels + c],
                    };
                    out.push(value + positions[token * channels + c]);
                }
            }
        }
        exact::tensor([images, count + 1, channels], out)
    }
}
