//! Classifiers whose weights may still be on their way.

use std::sync::Arc;

use super::{Classifier, ClassifierOptions, list::Lists};
use crate::{
    error::Result,
    graph::Graph,
    models::{BuildOptions, Model},
    ops::TopK,
    session::{Device, Preparation, WeightStore},
};

/// A classifier in the making: its weights may still be on their way.
#[derive(Debug)]
pub struct ClassifierPreparation {
    model: Model,
    preparation: Preparation,
    device: Device,
    weights: Arc<WeightStore>,
    batch: usize,
    top_k: usize,
    map_size: Option<[usize; 2]>,
}

impl ClassifierPreparation {
    /// Begins with what is known of a model before its weights have arrived.
    ///
    /// # Errors
    /// [`crate::Error::InvalidArgument`] when the model has no head; those of [`Preparation::new`].
    pub fn new(model: Model, device: &Device, options: ClassifierOptions) -> Result<Self> {
        let ClassifierOptions { batch, top_k, frames } = options;
        let batch = if frames { 1 } else { batch };
        let top_k = Some(TopK { k: top_k, temperature: model.temperature });
        let graph = model.graph(&BuildOptions { batch, size: model.preprocess.size, top_k, class_activation: frames })?;
        let map_size = map_size(&graph, device);
        let pooled = graph.outputs().iter().any(|o| o.name == "pooled");
        let mut names = vec!["top_k"];
        // The scores of a clip are means over views.
        if frames || model.architecture.frames() > 1 {
            names.push("logits");
        }
        if frames {
            names.extend(map_size.map(|_| "class_activation"));
            names.extend(pooled.then_some("pooled"));
        }
        let graph = graph.select(&names)?;
        let weights = Arc::<WeightStore>::default();
        let preparation = Preparation::new(&graph, device, &weights)?;
        Ok(Self { model, preparation, device: device.clone(), weights, batch, top_k: best_classes(&graph), map_size })
    }

    /// As [`Preparation::upload`].
    ///
    /// # Errors
    /// As [`Preparation::upload`].
    pub async fn upload(&mut self) -> Result<()> {
        self.preparation.upload().await
    }

    /// As [`Preparation::uploaded`].
    pub fn uploaded(&self) -> (u64, u64) {
        self.preparation.uploaded()
    }

    /// The classifier, when all weights have arrived; see [`Preparation::finish`].
    ///
    /// # Errors
    /// As [`Preparation::finish`].
    pub async fn finish(self, progress: impl FnMut(usize, usize)) -> Result<Classifier> {
        let Self { model, preparation, device, weights, batch, top_k, map_size } = self;
        let session = preparation.finish(progress).await?;
        Ok(Classifier {
            model,
            session,
            device,
            weights,
            tensors: None,
            maps: None,
            lists: Lists::Unknown,
            batch,
            top_k,
            map_size,
        })
    }
}

/// Rows and columns of the graph's class activation maps. `None` where it has none, or where the head's weight is not one buffer
/// on the device, as they need it.
fn map_size(graph: &Graph, device: &Device) -> Option<[usize; 2]> {
    let maps = graph.outputs().iter().find(|o| o.name == "class_activation")?;
    let &[features, weight, ..] = graph.node(maps.value).inputs() else { return None };
    let weight = graph.node(weight.value).shape();
    if let Device::Gpu(gpu) = device
        && (weight.rows().next_multiple_of(8) * weight.last()) as u64 * 4 > gpu.caps().max_storage_binding
    {
        return None;
    }
    match graph.node(features.value).shape().dims() {
        &[_, rows, columns, _] => Some([rows, columns]),
        _ => None,
    }
}

/// k of the graph's first output, `top_k`, which is at most the number of classes.
fn best_classes(graph: &Graph) -> usize {
    graph.outputs().first().map_or(1, |o| graph.node(o.value).shape().dims().get(1).copied().unwrap_or(1))
}
