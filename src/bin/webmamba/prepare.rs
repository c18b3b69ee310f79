//! Images and clips on their way to a model: decoded and preprocessed on all cores, a batch ahead of it.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::mpsc,
    time::{Duration, Instant},
};

use rayon::prelude::*;
use webmamba::{Classifier, Error, Model, Prediction, Preprocess, Result, RgbImage, Tensor, Views};

use crate::inputs::Source;

/// An image or a clip on its way to the model.
pub(crate) struct Prepared {
    pub(crate) name: String,
    /// The image, or the views of the clip.
    pub(crate) inputs: Result<Vec<Tensor>>,
    /// What was repaired to decode it, or how it was understood.
    pub(crate) note: Option<&'static str>,
    pub(crate) decode: Duration,
    pub(crate) preprocess: Duration,
}

/// How sources become what a model takes.
#[derive(Clone)]
pub(crate) struct Preparing {
    preprocess: Preprocess,
    /// Frames of a clip; 1 for models of images.
    frames: usize,
    views: Views,
}

/// Said of one picture for a model of clips.
const STILL: &str = "it is one picture: the model sees a clip that stands still";

impl Preparing {
    pub(crate) fn of(model: &Model, views: Views) -> Self {
        Self { preprocess: model.preprocess.clone(), frames: model.architecture.frames(), views }
    }

    /// Decodes and preprocesses on all cores, one batch ahead of the model. Pixels live only until they are preprocessed.
    pub(crate) fn all(&self, sources: Vec<Source>, batch: usize, send: mpsc::SyncSender<Vec<Prepared>>) {
        let mut sources = sources.into_iter();
        loop {
            let next: Vec<Source> = sources.by_ref().take(batch).collect();
            if next.is_empty() || send.send(next.into_par_iter().map(|source| self.one(source)).collect()).is_err() {
                return;
            }
        }
    }

    fn one(&self, source: Source) -> Prepared {
        let name = source.name();
        let start = Instant::now();
        let (images, available) = match (self.frames, source) {
            (1, source) => (source.decode().map(|image| vec![(0, image)]), 1),
            (_, Source::Clip(_, paths)) => (self.needed(&paths), paths.len()),
            (_, source) => {
                let images: Result<Vec<_>> = source.frames().map(|frames| frames.into_iter().enumerate().collect());
                let available = images.as_ref().map_or(0, Vec::len);
                (images, available)
            }
        };
        let decode = start.elapsed();
        let repaired = images.iter().flatten().find_map(|(_, image)| image.note());
        let note = repaired.or((self.frames > 1 && available == 1).then_some(STILL));
        let start = Instant::now();
        let inputs = images.and_then(|images| self.inputs(images, available).map_err(|error| Error::image(&name, error)));
        Prepared { name, inputs, note, decode, preprocess: start.elapsed() }
    }

    /// Those of the frames in these files that are looked at.
    fn needed(&self, paths: &[PathBuf]) -> Result<Vec<(usize, RgbImage)>> {
        let open = |i: usize| paths.get(i).map(|path| Ok((i, RgbImage::open(path)?)));
        self.views.needed(paths.len(), self.frames).into_par_iter().filter_map(open).collect()
    }

    fn inputs(&self, images: Vec<(usize, RgbImage)>, available: usize) -> Result<Vec<Tensor>> {
        match images.as_slice() {
            [(_, image)] if self.frames == 1 => Ok(vec![self.preprocess.apply(image)?]),
            images => {
                let frames: HashMap<usize, &RgbImage> = images.iter().map(|(i, image)| (*i, image)).collect();
                self.views.inputs(&self.preprocess, [available, self.frames], &|i| frames[&i])
            }
        }
    }
}

/// The best classes of each that could be prepared, in their order, and the time that the model took for all.
pub(crate) async fn predict(
    classifier: &mut Classifier,
    batch: &[Prepared],
) -> Result<(std::vec::IntoIter<Result<Vec<Prediction>>>, Duration)> {
    let ready = batch.iter().filter_map(|prepared| prepared.inputs.as_ref().ok());
    let (mut predictions, mut time) = (Vec::new(), Duration::ZERO);
    if classifier.model().architecture.frames() > 1 {
        for views in ready {
            let (best, took) = classifier.classify_views(views).await?;
            predictions.push(Ok(best));
            time += took;
        }
    } else {
        let inputs: Vec<Tensor> = ready.flatten().cloned().collect();
        if !inputs.is_empty() {
            (predictions, time) = classifier.classify_inputs(&inputs).await?;
        }
    }
    Ok((predictions.into_iter(), time))
}
