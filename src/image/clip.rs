//! The frames of a clip: which of those that there are, and as a model takes them.
//!
//! The test-time pipeline of VideoMamba (Li et al., ECCV 2024): frames evenly spaced over the whole film, every one resized and
//! cropped alike; several such clips, each at three places of the picture, where scores are to be averaged.

use super::{Place, Preprocess, RgbImage};
use crate::{
    error::{Error, Result},
    platform::par_map,
    tensor::Tensor,
};

/// How often a film is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Views {
    /// Clips, each of frames a little later.
    pub clips: usize,
    /// Crops of each: 1, the middle, or 3 along the longer side.
    pub crops: usize,
}

impl Default for Views {
    /// One clip, cropped in the middle.
    fn default() -> Self {
        Self { clips: 1, crops: 1 }
    }
}

impl Views {
    /// How many there are.
    pub const fn count(self) -> usize {
        self.clips * self.crops
    }

    /// Which of `available` frames are those of each clip of `wanted` frames.
    pub fn frames(self, available: usize, wanted: usize) -> Vec<Vec<usize>> {
        let last = available.saturating_sub(1);
        let segment = last as f64 / wanted.max(1) as f64;
        let clip = |clip: usize| {
            let later = (segment / (self.clips + 1) as f64 * (clip + 1) as f64).trunc();
            (0..wanted).map(|i| (((segment * i as f64).round_ties_even() + later) as usize).min(last)).collect()
        };
        (0..self.clips).map(clip).collect()
    }

    /// Those frames that any view has, in order.
    pub fn needed(self, available: usize, wanted: usize) -> Vec<usize> {
        let mut needed = self.frames(available, wanted).concat();
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// The views of a film of `available` frames, of which `frame` gives those that are needed: tensors `[wanted, H, W, 3]`, those of
    /// one clip together.
    ///
    /// # Errors
    /// Those of [`Preprocess::plan`]; [`Error::InvalidArgument`] for no frames, and for other crops than 1 or 3.
    pub fn inputs<'a>(
        self,
        preprocess: &Preprocess,
        [available, wanted]: [usize; 2],
        frame: &(dyn Fn(usize) -> &'a RgbImage + Sync),
    ) -> Result<Vec<Tensor>> {
        let places: &[Place] = match self.crops {
            1 => &[Place::Middle],
            3 => &[Place::Start, Place::Middle, Place::End],
            _ => return Err(Error::InvalidArgument(format!("there are 1 or 3 crops of a clip, not {}", self.crops))),
        };
        if available == 0 || self.clips == 0 {
            return Err(Error::InvalidArgument("a clip has at least one frame".into()));
        }
        let needed = self.needed(available, wanted);
        let crops =
            par_map(&needed, |i| places.iter().map(|place| preprocess.apply_at(frame(*i), *place)).collect::<Result<Vec<_>>>());
        let crops = crops.into_iter().collect::<Result<Vec<_>>>()?;
        let [height, width] = preprocess.size;
        let mut views = Vec::with_capacity(self.count());
        for frames in self.frames(available, wanted) {
            for crop in 0..places.len() {
                let mut values = Vec::with_capacity(wanted * height * width * 3);
                for tensor in frames.iter().filter_map(|frame| crops.get(needed.binary_search(frame).ok()?)?.get(crop)) {
                    values.extend_from_slice(&tensor.to_f32());
                }
                views.push(Tensor::from_f32([wanted, height, width, 3], values)?);
            }
        }
        Ok(views)
    }
}
