//! Images to labels.

mod clip;
mod list;
mod preparation;
mod tensors;

use std::{sync::Arc, time::Duration};

pub use preparation::ClassifierPreparation;

use list::Lists;
use tensors::Tensors;

use crate::{
    error::{Error, Result},
    gpu::{Allocations, Frame},
    image::{RgbImage, Views},
    models::{BuildOptions, Model},
    ops::TopK,
    platform::{self, Stopwatch},
    session::{Device, FrameTimes, Session, SessionStats, Timing, WeightStore},
    tensor::Tensor,
};

/// One guess.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Timings {
    /// Resize, crop and normalise.
    pub preprocess: Duration,
    /// Upload, model, softmax, top-k and readback.
    pub model: Duration,
}

/// What a classifier is made for.
#[derive(Debug, Clone, Copy)]
pub struct ClassifierOptions {
    /// Images a run at the most.
    pub batch: usize,
    /// How many of the best classes.
    pub top_k: usize,
    /// For [`Classifier::classify_frame`]: batches of one, with all scores and class activation maps where a caller wants them.
    pub frames: bool,
}

/// A model that is ready to classify images on a device, in batches of up to a fixed size.
#[derive(Debug)]
pub struct Classifier {
    model: Model,
    session: Session,
    device: Device,
    weights: Arc<WeightStore>,
    /// Made when somebody asks for them.
    tensors: Option<Tensors>,
    /// Gives the maps of all classes; made when somebody asks for the map of a class.
    maps: Option<Session>,
    lists: Lists,
    batch: usize,
    top_k: usize,
    /// Rows and columns of class activation maps, where there are any.
    map_size: Option<[usize; 2]>,
}

/// What is wanted of a frame.
#[derive(Debug, Clone, Copy, Default)]
pub struct FrameOptions {
    /// The probabilities of all classes, not only of the best ones.
    pub scores: bool,
    /// A class activation map.
    pub map: Option<MapOf>,
}

/// Which class a class activation map is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapOf {
    /// The best one.
    Best,
    /// The one of this index. A session of its own gives such maps; it is made at the first call.
    Class(usize),
}

/// What became of a frame.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct FrameResult {
    /// Best first; as many as the classifier was made for.
    pub predictions: Vec<Prediction>,
    /// Whether they are an answer ([`Classifier::is_confident`]).
    pub confident: bool,
    /// Probabilities of all classes, where they were wanted.
    pub scores: Option<Vec<f32>>,
    /// Where it was wanted.
    pub map: Option<ClassActivationMap>,
    /// How long it took.
    pub times: FrameTimes,
}

/// How much each part of an image speaks for a class.
#[derive(Debug, Clone)]
pub struct ClassActivationMap {
    /// The class.
    pub index: usize,
    /// Rows and columns.
    pub size: [usize; 2],
    /// The logit that each position alone would give; row-major.
    pub values: Vec<f32>,
    /// Left, top, width and height of what the map covers, in pixels of the image; beyond it where the image was padded.
    pub region: [f64; 4],
}

impl Classifier {
    /// Prepares a model for batches of up to `batch` images and the `top_k` best classes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the model has no head; those of [`Session::new`].
    pub async fn new(model: Model, device: &Device, batch: usize, top_k: usize) -> Result<Self> {
        let options = ClassifierOptions { batch, top_k, frames: false };
        ClassifierPreparation::new(model, device, options)?.finish(|_, _| {}).await
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Images a run at the most.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Whether there are class activation maps, of a classifier that was made for frames.
    pub fn has_maps(&self) -> bool {
        self.map_size.is_some()
    }

    /// Sizes of the prepared model.
    pub fn stats(&self) -> SessionStats {
        self.session.stats()
    }

    /// The best classes of each image, best first. A model of clips takes each for a clip that stands still.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for more images than [`Classifier::batch`] or none, or an image that is too thin to be resized;
    /// [`Error::Config`] when the model's output is not a number (its weights hold NaN or infinities, or overflow); those of
    /// [`Session::run`].
    pub async fn classify(&mut self, images: &[RgbImage]) -> Result<(Vec<Vec<Prediction>>, Timings)> {
        let watch = Stopwatch::start();
        let (preprocess, frames) = (&self.model.preprocess, self.model.architecture.frames());
        let inputs = match frames {
            1 => platform::par_map(images, |image| preprocess.apply(image)).into_iter().collect::<Result<_>>()?,
            _ => {
                let still = |image| Views::default().inputs(preprocess, [1, frames], &|_| image);
                images.iter().map(still).collect::<Result<Vec<_>>>()?.concat()
            }
        };
        let preprocess = watch.elapsed();
        let (predictions, model) = self.classify_inputs(&inputs).await?;
        Ok((predictions.into_iter().collect::<Result<_>>()?, Timings { preprocess, model }))
    }

    /// As [`Classifier::classify`], of what [`crate::image::Preprocess::apply`] made of each image, or [`crate::image::Views::inputs`] of
    /// each clip, with the time the model took.
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
        let outputs = self.run_inputs(inputs).await?;
        let model = watch.elapsed();
        let best = outputs.first().map(|t| t.to_f32().into_owned()).unwrap_or_default();
        let rows = best.chunks_exact(self.top_k * 2).take(inputs.len());
        Ok((rows.map(|row| self.predictions(row)).collect(), model))
    }

    /// The outputs of a batch, which may be incomplete.
    async fn run_inputs(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>> {
        let shape = self.model.input_shape(self.batch);
        let mut values = Vec::with_capacity(shape.len());
        for input in inputs {
            values.extend_from_slice(&input.to_f32());
        }
        if values.len() != inputs.len() * (shape.len() / self.batch) {
            let ([h, w], frames) = (self.model.preprocess.size, self.model.architecture.frames());
            let clip = if frames > 1 { format!("clips of {frames} ") } else { String::new() };
            return Err(Error::InvalidArgument(format!("the model takes {clip}images of {h} x {w} pixels")));
        }
        // The places of an incomplete batch stay black.
        values.resize(shape.len(), 0.0);
        self.session.run(&Tensor::from_f32(shape, values)?).await
    }

    /// That one image is all that the model takes.
    fn takes_images(&self) -> Result<()> {
        match self.model.architecture.frames() {
            1 => Ok(()),
            frames => Err(Error::InvalidArgument(format!("the model takes clips of {frames} frames, not single images"))),
        }
    }

    /// The best classes of one frame, from a classifier that was made for frames.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a classifier made for batches, a model of clips, a map of a model whose head allows none, or of a class that it
    /// does not have; [`Error::Config`] when the model's output is not a number; those of [`Session::run_frame`] and, for the map of
    /// a class, [`Session::new`].
    pub async fn classify_frame(&mut self, frame: &Frame<'_>, options: FrameOptions) -> Result<FrameResult> {
        self.takes_images()?;
        let FrameOptions { scores, map } = options;
        if map.is_some() && self.map_size.is_none() {
            let reason = "there are no class activation maps of this model: its head is too large for them on this device, or no \
                          linear layer behind a mean over positions";
            return Err(Error::InvalidArgument(reason.into()));
        }
        let classes = self.model.architecture.num_classes();
        let class = match map {
            Some(MapOf::Class(class)) if class >= classes => {
                return Err(Error::InvalidArgument(format!("there is no class {class}: the model has {classes}")));
            }
            Some(MapOf::Class(class)) => Some(class),
            Some(MapOf::Best) | None => None,
        };
        if class.is_some() && self.maps.is_none() {
            let top_k = Some(TopK { k: self.top_k, temperature: self.model.temperature });
            let options = BuildOptions { top_k, class_activation: true, ..self.model.options(1) };
            let graph = self.model.graph(&options)?.select(&["top_k", "logits", "class_maps"])?;
            self.maps = Some(Session::with_weights(&graph, &self.device, &self.weights).await?);
        }
        let session = self.maps.as_mut().filter(|_| class.is_some()).unwrap_or(&mut self.session);
        let mut names = vec!["top_k"];
        names.extend(scores.then_some("logits"));
        names.extend(map.map(|map| if map == MapOf::Best { "class_activation" } else { "class_maps" }));
        let (outputs, times) = session.run_frame(frame, &self.model.preprocess, &names).await?;
        let mut outputs = outputs.into_iter();
        let mut next = || outputs.next().map(|t| t.to_f32().into_owned()).unwrap_or_default();
        let predictions = self.predictions(&next())?;
        let scores = scores.then(|| softmax(&next(), self.model.temperature));
        let map = match (predictions.first(), self.map_size) {
            (Some(best), Some(size)) if map.is_some() => {
                let mut values = next();
                match class {
                    // The class's column of all logits at all positions.
                    Some(class) => values = values.iter().skip(class).step_by(classes).copied().collect(),
                    None => values.truncate(size[0] * size[1]),
                }
                Some(self.map(class.unwrap_or(best.index), size, values, frame)?)
            }
            _ => None,
        };
        let confident = self.is_confident(&predictions);
        Ok(FrameResult { predictions, confident, scores, map, times })
    }

    /// The head's input, `[1, C]`, of one frame; nothing else leaves the device.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a model without such an input or a classifier made for batches; those of
    /// [`Session::run_frame`].
    pub async fn embed_frame(&mut self, frame: &Frame<'_>) -> Result<Tensor> {
        self.takes_images()?;
        let (outputs, _) = self.session.run_frame(frame, &self.model.preprocess, &["pooled"]).await?;
        let pooled = outputs.into_iter().next();
        pooled.ok_or_else(|| Error::InvalidArgument("the session gave nothing for `pooled`".into()))
    }

    /// Whether predictions, best first, are an answer: see [`Model::is_confident`].
    pub fn is_confident(&self, predictions: &[Prediction]) -> bool {
        predictions.first().is_none_or(|best| self.model.is_confident(best.index, best.score))
    }

    /// The map `values` of `map` rows and columns, placed in the image.
    fn map(&self, index: usize, map: [usize; 2], values: Vec<f32>, frame: &Frame<'_>) -> Result<ClassActivationMap> {
        let region = self.model.preprocess.region(frame.width, frame.height)?;
        Ok(ClassActivationMap { index, size: map, values, region })
    }

    /// The time of every dispatch or operator of a run on some image.
    ///
    /// # Errors
    /// Those of [`Session::profile`].
    pub async fn profile(&mut self) -> Result<Vec<Timing>> {
        let shape = self.model.input_shape(self.batch);
        let values = vec![0.5; shape.len()];
        let input = Tensor::from_f32(shape, values)?;
        Ok(self.session.profile(&input).await?.1)
    }

    /// What was created on the GPU so far; `None` on the CPU.
    pub fn allocations(&self) -> Option<Allocations> {
        self.session.allocations()
    }

    /// Pairs of probability and index.
    fn predictions(&self, row: &[f32]) -> Result<Vec<Prediction>> {
        let classes = self.model.architecture.num_classes();
        row.chunks_exact(2)
            .map(|pair| {
                let (score, index) = (pair[0], pair[1] as usize);
                // The device says so by a negative number, which every driver leaves as it is.
                if !score.is_finite() || score < 0.0 || index >= classes {
                    return Err(self.model.not_a_number());
                }
                let label = self.model.labels.get(index).map_or_else(|| index.to_string(), str::to_owned);
                Ok(Prediction { index, label, score })
            })
            .collect()
    }
}

/// Probabilities of finite logits that a temperature divides.
fn softmax(logits: &[f32], temperature: f32) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = logits.iter().map(|v| ((v - max) / temperature).exp()).collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}
