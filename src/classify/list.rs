//! Lists of images: batches on a GPU, which one image alone leaves half idle.

use super::{Classifier, FrameResult, softmax};
use crate::{
    error::{Error, Result},
    gpu::Frame,
    models::BuildOptions,
    ops::TopK,
    session::{Device, FrameTimes, Session},
    tensor::Tensor,
};

/// Images of a batch.
const IMAGES: usize = 8;

/// What batches of a list run on.
#[derive(Debug)]
pub(super) enum Lists {
    /// Nobody has asked yet.
    Unknown,
    /// One image at a time: on the CPU, where a batch gains next to nothing, and where a device has no room for one.
    Single,
    /// A session for so many images, and which of their places are filled.
    Batched(Box<Session>, [bool; IMAGES]),
}

impl Lists {
    fn batched(&mut self) -> Result<(&mut Session, &mut [bool; IMAGES])> {
        match self {
            Self::Batched(session, filled) => Ok((session, filled)),
            _ => Err(Error::InvalidArgument("there is no batch here: `list_batch` tells where there is".into())),
        }
    }
}

impl Classifier {
    /// How many images of a list [`Classifier::place_frame`] takes before they are run; 1 where images are better run one by one. The
    /// first call prepares that.
    ///
    /// # Errors
    /// Those of [`Session::new`], but for a device that has no room: there it is 1.
    pub async fn list_batch(&mut self) -> Result<usize> {
        if matches!(self.lists, Lists::Unknown) {
            self.lists = self.prepare_lists().await?;
        }
        Ok(if matches!(self.lists, Lists::Batched(..)) { IMAGES } else { 1 })
    }

    async fn prepare_lists(&self) -> Result<Lists> {
        let [height, width] = self.model.preprocess.size;
        // The images of a batch begin where WebGPU lets bindings begin.
        if matches!(self.device, Device::Cpu) || self.model.architecture.frames() > 1 || height * width % 16 != 0 {
            return Ok(Lists::Single);
        }
        let top_k = Some(TopK { k: self.top_k, temperature: self.model.temperature });
        let graph = self.model.graph(&BuildOptions { top_k, ..self.model.options(IMAGES) })?;
        let wanted = graph.outputs().iter().filter(|output| NAMES.contains(&&*output.name)).cloned().collect();
        match Session::with_weights(&graph.with_outputs(wanted), &self.device, &self.weights).await {
            Ok(session) => Ok(Lists::Batched(Box::new(session), [false; IMAGES])),
            Err(Error::AdapterLimit { .. } | Error::OutOfMemory { .. }) => Ok(Lists::Single),
            Err(error) => Err(error),
        }
    }

    /// Runs the first `count` places, which takes what was placed: a model's memory serves several ends.
    async fn run_placed(&mut self, count: usize, names: &[&str]) -> Result<(Vec<Tensor>, FrameTimes)> {
        let (session, filled) = self.lists.batched()?;
        if count == 0 || !filled.get(..count).is_some_and(|filled| filled.iter().all(|is| *is)) {
            return Err(Error::InvalidArgument(format!("not all of the first {count} places of the batch have an image")));
        }
        filled.fill(false);
        session.run_placed(names).await
    }

    /// Makes a frame the image at this place of the next batch, below [`Classifier::list_batch`].
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where there is no batch; those of [`Session::place_frame`].
    pub async fn place_frame(&mut self, frame: &Frame<'_>, place: usize) -> Result<()> {
        let (session, filled) = self.lists.batched()?;
        session.place_frame(frame, &self.model.preprocess, place).await?;
        filled[place] = true;
        Ok(())
    }

    /// The best classes of the first `count` images that were placed, with all scores where they are wanted. The times are a share of
    /// the batch's.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a place was not filled since the last run; as [`Classifier::classify_frame`].
    pub async fn classify_placed(&mut self, count: usize, scores: bool) -> Result<Vec<FrameResult>> {
        let names = &["top_k", "logits"][..1 + usize::from(scores)];
        let (outputs, mut times) = self.run_placed(count, names).await?;
        times.model /= count as u32;
        times.readback /= count as u32;
        let values = |i: usize| outputs.get(i).map(|t| t.to_f32().into_owned()).unwrap_or_default();
        let (best, logits) = (values(0), values(1));
        let result = |(place, row): (usize, &[f32])| {
            let predictions = self.predictions(row)?;
            let all = logits.chunks_exact(self.model.architecture.num_classes().max(1)).nth(place);
            let scores = all.map(|logits| softmax(logits, self.model.temperature));
            let confident = self.is_confident(&predictions);
            Ok(FrameResult { predictions, confident, scores, times, map: None })
        };
        best.chunks_exact(self.top_k * 2).take(count).enumerate().map(result).collect()
    }

    /// The head's inputs, `[1, C]`, of the first `count` images that were placed.
    ///
    /// # Errors
    /// As [`Classifier::classify_placed`] and [`Classifier::embed_frame`].
    pub async fn embed_placed(&mut self, count: usize) -> Result<Vec<Tensor>> {
        let (outputs, _) = self.run_placed(count, &["pooled"]).await?;
        let Some(pooled) = outputs.first() else { return Ok(Vec::new()) };
        let values = pooled.to_f32();
        let width = pooled.shape().last();
        values.chunks_exact(width.max(1)).take(count).map(|row| Tensor::from_f32([1, width], row.to_vec())).collect()
    }
}

/// What may be wanted of a list.
const NAMES: [&str; 3] = ["top_k", "logits", "pooled"];
