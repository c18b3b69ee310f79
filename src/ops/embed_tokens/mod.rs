//! Patches to tokens: a class token among them, and positions added to all; of clips the patches of all frames, one after the other.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, exact},
    tensor::{Shape, Tensor},
};

/// Inputs: patches `(B * frames, M, C)`, the class token, C values, positions `[.., C]` for the M + 1 tokens of one frame, and, where
/// there are several, positions `[.., C]` of the frames, which the class token has none of. Output: `(B, frames * M + 1, C)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmbedTokens {
    /// Where the class token stands: after so many patches of the first frame.
    pub at: usize,
    /// Frames of a sample; 1 for images.
    pub frames: usize,
}

impl EmbedTokens {
    /// Samples, patches of a frame, and channels.
    fn dims(self, inputs: &[&Shape]) -> std::result::Result<[usize; 3], String> {
        let &[patches, class, positions, ref frames @ ..] = inputs else {
            return Err(format!("needs 3 or 4 inputs, found {}", inputs.len()));
        };
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
        if self.frames == 0 || images % self.frames != 0 {
            return Err(format!("{images} images are no clips of {} frames", self.frames));
        }
        match frames.first() {
            Some(frames) if frames.last() != channels || frames.rows() != self.frames => {
                Err(format!("the positions of {} frames of {channels} channels cannot be {frames}", self.frames))
            }
            None if self.frames > 1 => Err(format!("there are no positions of the {} frames", self.frames)),
            _ => Ok([images / self.frames, count, channels]),
        }
    }
}

impl Operator for EmbedTokens {
    fn name(&self) -> &'static str {
        "embed_tokens"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [samples, count, channels] = self.dims(inputs)?;
        Ok(Shape::from([samples, self.frames * count + 1, channels]))
    }
}

impl Definition for EmbedTokens {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let shapes: Vec<&Shape> = inputs.iter().map(|t| t.shape()).collect();
        let [samples, count, channels] = self.dims(&shapes).unwrap_or_default();
        let [patches, class, positions] = [0, 1, 2].map(|i: usize| exact::values(inputs[i]));
        let frames = inputs.get(3).map_or_else(|| vec![0.0; channels], |frames| exact::values(frames));
        let all = self.frames * count;
        let mut out = Vec::with_capacity(samples * (all + 1) * channels);
        for sample in 0..samples {
            // The class token goes in before patch `at` of all, or behind the last one.
            for patch in 0..=all {
                if patch == self.at {
                    out.extend((0..channels).map(|c| class[c] + positions[patch * channels + c]));
                }
                if patch < all {
                    let (frame, place) = (patch / count, patch % count);
                    let position = if place < self.at { place } else { place + 1 };
                    out.extend((0..channels).map(|c| {
                        patches[(sample * all + patch) * channels + c]
                            + positions[position * channels + c]
                            + frames[frame * channels + c]
                    }));
                }
            }
        }
        exact::tensor([samples, all + 1, channels], out)
    }
}
