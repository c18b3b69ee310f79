//! Images to labels.

use std::{sync::Arc, time::Duration};

use crate::{
    error::{Error, Result},
    gpu::WeightStore,
    image::RgbImage,
    models::{BuildOptions, Model},
    ops::TopK,
    platform::{self, Stopwatch},
    session::{Device, Session, SessionStats},
    tensor::Tensor,
};

/// One guess.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Prediction {
    /// Class index.
    pub index: usize,
    /// Class name; the index where the model has no labels.
    pub label: String,
    /// Probability by softmax over all classes.
    pub score: f32,
}

/// How long the steps of a call took; for a batch, of all its images together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timings {
    /// Resize, crop and normalise.
    pub preprocess: Duration,
    /// Upload, model, softmax, top-k and readback.
    pub model: Duration,
}

/// A model that is ready to classify images on a device, in batches of up to a fixed size.
#[derive(Debug)]
pub struct Classifier {
    model: Model,
    session: Session,
    batch: usize,
    top_k: usize,
}

impl Classifier {
    /// Prepares a model for batches of up to `batch` images and the `top_k` best classes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the model has no head; those of [`Session::new`].
    pub async fn new(model: Model, device: &Device, batch: usize, top_k: usize) -> Result<Self> {
        let options =
            BuildOptions { batch, size: model.preprocess.size, top_k: Some(TopK { k: top_k, temperature: model.temperature }) };
        let graph = model.graph(&options)?.select(&["top_k"])?;
        let session = Session::with_weights(&graph, device, &Arc::<WeightStore>::default()).await?;
        Ok(Self { model, session, batch, top_k: best_classes(&graph) })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Images a run at the most.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Sizes of the prepared model.
    pub fn stats(&self) -> SessionStats {
        self.session.stats()
    }

    /// The best classes of each image, best first.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for more images than [`Classifier::batch`] or none, or an image that is too thin to be resized;
    /// [`Error::Config`] when the model's output is not a number (its weights hold NaN or infinities, or overflow); those of
    /// [`Session::run`].
    pub async fn classify(&mut self, images: &[RgbImage]) -> Result<(Vec<Vec<Prediction>>, Timings)> {
        let watch = Stopwatch::start();
        let inputs = platform::par_map(images, |image| self.model.preprocess.apply(image));
        let inputs = inputs.into_iter().collect::<Result<Vec<Tensor>>>()?;
        let preprocess = watch.elapsed();
        let (predictions, model) = self.classify_inputs(&inputs).await?;
        Ok((predictions.into_iter().collect::<Result<_>>()?, Timings { preprocess, model }))
    }

    /// As [`Classifier::classify`], of what [`crate::image::Preprocess::apply`] made of each image, with the time the model took.
    /// An image whose output is not a number does not take the others with it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for more inputs than [`Classifier::batch`], none, or inputs of another size; those of
    /// [`Session::run`]. For one image: [`Error::Config`] when the model's output is not a number.
    pub async fn classify_inputs(&mut self, inputs: &[Tensor]) -> Result<(Vec<Result<Vec<Prediction>>>, Duration)> {
        if inputs.is_empty() || inputs.len() > self.batch {
            return Err(Error::InvalidArgument(format!("{} images do not fit a batch of {}", inputs.len(), self.batch)));
        }
        let watch = Stopwatch::start();
        let [h, w] = self.model.preprocess.size;
        let mut values = Vec::with_capacity(self.batch * h * w * 3);
        for input in inputs {
            values.extend_from_slice(&input.to_f32());
        }
        if values.len() != inputs.len() * h * w * 3 {
            return Err(Error::InvalidArgument(format!("the model takes images of {h} x {w} pixels")));
        }
        // The places of an incomplete batch stay black.
        values.resize(self.batch * h * w * 3, 0.0);
        let input = Tensor::from_f32([self.batch, h, w, 3], values)?;
        let outputs = self.session.run(&input).await?;
        let model = watch.elapsed();
        let best = outputs.first().map(|t| t.to_f32().into_owned()).unwrap_or_default();
        let rows = best.chunks_exact(self.top_k * 2).take(inputs.len());
        Ok((rows.map(|row| self.predictions(row)).collect(), model))
    }

    /// Pairs of probability and index.
    fn predictions(&self, row: &[f32]) -> Result<Vec<Prediction>> {
        let classes = self.model.architecture.num_classes();
        row.chunks_exact(2)
            .map(|pair| {
                let (score, index) = (pair[0], pair[1] as usize);
                if !score.is_finite() || index >= classes {
                    let bad = self.model.weights.non_finite();
                    let reason = if bad.is_empty() {
                        "its output is not a number, though all weights are finite: the network overflows on this input".into()
                    } else {
                        format!("its output is not a number; NaN or infinite weights: {}", bad.join(", "))
                    };
                    return Err(Error::config(&self.model.name, reason));
                }
                let label = self.model.labels.get(index).map_or_else(|| index.to_string(), str::to_owned);
                Ok(Prediction { index, label, score })
            })
            .collect()
    }
}

/// k of the graph's only output, `top_k`, which is at most the number of classes.
fn best_classes(graph: &crate::graph::Graph) -> usize {
    graph.outputs().first().map_or(1, |o| graph.node(o.value).shape().dims().get(1).copied().unwrap_or(1))
}
