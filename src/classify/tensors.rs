//! What a classifier's model sees on its way: outputs of stages, and what the scans of a layer do.

use super::Classifier;
use crate::{
    error::Result,
    explain::{self, Kind, Scanned},
    gpu::Frame,
    graph::{Graph, Output},
    image::{RgbImage, Views},
    session::Session,
    tensor::Tensor,
};

/// A session of its own, as the classifier's gives answers alone.
#[derive(Debug)]
pub(super) struct Tensors {
    graph: Graph,
    session: Session,
    /// The layer whose scans it is for; without one all stages.
    layer: Option<String>,
    names: Vec<String>,
}

impl Classifier {
    /// `pooled`, the outputs of the stages, and `logits` of one frame, by name.
    ///
    /// # Errors
    /// Those of [`Session::new`], as a session for them is made at the first call, and of [`Session::run_frame`].
    pub async fn features(&mut self, frame: &Frame<'_>) -> Result<Vec<(String, Tensor)>> {
        self.tensors(frame, None).await
    }

    /// The features of one frame, or of a layer with scans what these do with it: the maps `delta`, `forget` and `contribution` of
    /// `explain`, each `[1, rows, columns]`, and `region`, left, top, width and height of what they cover.
    ///
    /// # Errors
    /// As [`Classifier::features`]; [`crate::Error::InvalidArgument`] for a layer without scans.
    pub async fn tensors(&mut self, frame: &Frame<'_>, layer: Option<&str>) -> Result<Vec<(String, Tensor)>> {
        self.takes_images()?;
        self.prepare_tensors(layer).await?;
        let preprocess = &self.model.preprocess;
        let Some(Tensors { graph, session, names, .. }) = &mut self.tensors else { return Err(explain::missing()) };
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        let (outputs, _) = session.run_frame(frame, preprocess, &wanted).await?;
        let results: Vec<(String, Tensor)> = names.iter().cloned().zip(outputs).collect();
        let Some(layer) = layer else { return Ok(results) };
        let region = preprocess.region(frame.width, frame.height)?.map(|n| n as f32);
        let mut maps = maps(&explain::look(graph, preprocess.size, layer, &results)?)?;
        maps.push(("region".to_owned(), Tensor::from_f32([4], region.to_vec())?));
        Ok(maps)
    }

    /// What the scans of a layer do with a film of `available` frames, of which `frame` gives those that a model of clips looks at: the maps
    /// as of an image, each `[frames, rows, columns]`, and `frames`, which those are.
    ///
    /// # Errors
    /// As [`Classifier::tensors`]; [`crate::Error::InvalidArgument`] for a model of images.
    pub async fn clip_tensors<'a>(
        &mut self,
        available: usize,
        frame: &(dyn Fn(usize) -> &'a RgbImage + Sync),
        layer: &str,
    ) -> Result<Vec<(String, Tensor)>> {
        self.takes_clips()?;
        self.prepare_tensors(Some(layer)).await?;
        let (preprocess, wanted) = (&self.model.preprocess, self.model.architecture.frames());
        let Some(Tensors { graph, session, names, .. }) = &mut self.tensors else { return Err(explain::missing()) };
        let input = Views::default().inputs(preprocess, [available, wanted], frame)?.swap_remove(0);
        let outputs = session.run(&input).await?;
        let results: Vec<(String, Tensor)> = names.iter().cloned().zip(outputs).collect();
        let mut maps = maps(&explain::look(graph, preprocess.size, layer, &results)?)?;
        let frames = Views::default().frames(available, wanted).concat();
        maps.push(("frames".to_owned(), Tensor::from_f32([wanted], frames.iter().map(|i| *i as f32).collect())?));
        Ok(maps)
    }

    /// Makes the session that these outputs need, unless the last one was for the same.
    async fn prepare_tensors(&mut self, layer: Option<&str>) -> Result<()> {
        let tensors = match self.tensors.take().filter(|made| made.layer.as_deref() == layer) {
            Some(tensors) => tensors,
            None => {
                let graph = self.model.graph(&self.model.options(1))?;
                let outputs: Vec<Output> = match layer {
                    Some(layer) => explain::operands(&graph, layer),
                    None => graph.outputs().iter().filter(|output| output.name != "stem").cloned().collect(),
                };
                let names = outputs.iter().map(|output| output.name.clone()).collect();
                let wanted = graph.clone().with_outputs(outputs);
                let session = Session::with_weights(&wanted, &self.device, &self.weights).await?;
                Tensors { graph, session, layer: layer.map(str::to_owned), names }
            }
        };
        self.tensors = Some(tensors);
        Ok(())
    }
}

/// The maps of scans by their names.
fn maps(scanned: &Scanned) -> Result<Vec<(String, Tensor)>> {
    let map = |kind: Kind| {
        let ([rows, columns], values) = scanned.map(kind);
        Ok((kind.name().to_owned(), Tensor::from_f32([scanned.frames(), rows, columns], values)?))
    };
    [Kind::Delta, Kind::Forget, Kind::Contribution].into_iter().map(map).collect()
}
