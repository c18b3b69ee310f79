//! What a classifier's model sees on its way: outputs of stages, and what the scans of a layer do.

use super::Classifier;
use crate::{
    error::Result,
    explain::{self, Kind},
    gpu::Frame,
    graph::{Graph, Output},
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
    /// `explain`, each `[rows, columns]`, and `region`, left, top, width and height of what they cover.
    ///
    /// # Errors
    /// As [`Classifier::features`]; [`crate::Error::InvalidArgument`] for a layer without scans.
    pub async fn tensors(&mut self, frame: &Frame<'_>, layer: Option<&str>) -> Result<Vec<(String, Tensor)>> {
        self.takes_images()?;
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
        let preprocess = &self.model.preprocess;
        let Tensors { graph, session, names, .. } = self.tensors.insert(tensors);
        let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
        let (outputs, _) = session.run_frame(frame, preprocess, &wanted).await?;
        let results: Vec<(String, Tensor)> = names.iter().cloned().zip(outputs).collect();
        let Some(layer) = layer else { return Ok(results) };
        let scanned = explain::look(graph, preprocess.size, layer, &results)?;
        let region = preprocess.region(frame.width, frame.height)?.map(|n| n as f32);
        let mut maps = vec![("region".to_owned(), Tensor::from_f32([4], region.to_vec())?)];
        for kind in [Kind::Delta, Kind::Forget, Kind::Contribution] {
            let (size, values) = scanned.map(kind);
            maps.push((kind.name().to_owned(), Tensor::from_f32(size, values)?));
        }
        Ok(maps)
    }
}
