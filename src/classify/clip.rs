//! Clips to labels.

use std::time::Duration;

use super::{Classifier, Prediction, Timings, softmax};
use crate::{
    error::{Error, Result},
    image::{RgbImage, Views},
    platform::Stopwatch,
    tensor::Tensor,
};

impl Classifier {
    /// The best classes of a clip, best first, by a model of clips. `frames` are those of a film, in order, however many: of them the
    /// model takes as many as it wants, evenly spaced. Scores are the mean over the views.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a model of images, no frames, or other crops than 1 or 3; those of [`Classifier::classify`].
    pub async fn classify_clip(&mut self, frames: &[RgbImage], views: Views) -> Result<(Vec<Prediction>, Timings)> {
        let (scores, times) = self.score_clip(frames.len(), &|i| &frames[i], views).await?;
        Ok((self.best(&scores)?, times))
    }

    /// The probabilities of all classes, of a film of `available` frames.
    pub(crate) async fn score_clip<'a>(
        &mut self,
        available: usize,
        frame: &(dyn Fn(usize) -> &'a RgbImage + Sync),
        views: Views,
    ) -> Result<(Vec<f32>, Timings)> {
        let watch = Stopwatch::start();
        let count = [available, self.model.architecture.frames()];
        let inputs = views.inputs(&self.model.preprocess, count, frame)?;
        let preprocess = watch.elapsed();
        let (scores, model) = self.score_views(&inputs).await?;
        Ok((scores, Timings { preprocess, model }))
    }

    /// As [`Classifier::classify_clip`], of the views that [`Views::inputs`] made of a film, with the time the model took.
    ///
    /// # Errors
    /// As [`Classifier::classify_clip`].
    pub async fn classify_views(&mut self, views: &[Tensor]) -> Result<(Vec<Prediction>, Duration)> {
        let (scores, model) = self.score_views(views).await?;
        Ok((self.best(&scores)?, model))
    }

    async fn score_views(&mut self, views: &[Tensor]) -> Result<(Vec<f32>, Duration)> {
        self.takes_clips()?;
        let classes = self.model.architecture.num_classes();
        let logits = self.session.output_names().position(|name| name == "logits").unwrap_or_default();
        let watch = Stopwatch::start();
        let mut scores = vec![0.0; classes];
        for inputs in views.chunks(self.batch) {
            let outputs = self.run_inputs(inputs).await?;
            let values = outputs.get(logits).map(Tensor::to_f32).unwrap_or_default();
            for row in values.chunks_exact(classes).take(inputs.len()) {
                let view = softmax(row, self.model.temperature);
                scores.iter_mut().zip(view).for_each(|(sum, score)| *sum += score / views.len() as f32);
            }
        }
        Ok((scores, watch.elapsed()))
    }

    pub(super) fn takes_clips(&self) -> Result<()> {
        match self.model.architecture.frames() {
            1 => Err(Error::InvalidArgument("the model takes images, not clips".into())),
            _ => Ok(()),
        }
    }

    /// The best of all classes.
    pub(crate) fn best(&self, scores: &[f32]) -> Result<Vec<Prediction>> {
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
        let row: Vec<f32> = order.iter().take(self.top_k).flat_map(|i| [scores[*i], *i as f32]).collect();
        self.predictions(&row)
    }
}
