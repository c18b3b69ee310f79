//! Calls on a model that is ready.

use js_sys::{Array, Float32Array, Object, Uint8Array};
use wasm_bindgen::prelude::*;

use super::{JsResult, WebDevice, image::Image, values::*};
use crate::{
    classify::{Classifier, FrameOptions, FrameResult, MapOf},
    error::Error,
    explain::layers,
    gpu::{Frame, Pixels},
    image::{RgbImage, Views},
    labels::palette,
    models::Model,
    segment::Segmenter,
    session::{FrameTimes, Timing, host_image},
    tensor::Tensor,
};

/// A model that is ready, and its device.
#[wasm_bindgen]
#[derive(Debug)]
pub struct WebModel(pub(super) Task, pub(super) WebDevice);

/// What a model does.
#[derive(Debug)]
pub(super) enum Task {
    Classifier(Box<Classifier>),
    Segmenter(Box<Segmenter>),
}

impl Task {
    fn model(&self) -> &Model {
        match self {
            Self::Classifier(classifier) => classifier.model(),
            Self::Segmenter(segmenter) => segmenter.model(),
        }
    }

    fn classifier(&mut self) -> JsResult<&mut Classifier> {
        match self {
            Self::Classifier(classifier) => Ok(classifier),
            Self::Segmenter(_) => Err(to_js(Error::InvalidArgument("this model tells the classes of pixels".into()))),
        }
    }

    fn segmenter(&mut self) -> JsResult<&mut Segmenter> {
        match self {
            Self::Segmenter(segmenter) => Ok(segmenter),
            Self::Classifier(_) => Err(to_js(Error::InvalidArgument("this model tells the classes of whole images".into()))),
        }
    }
}

#[wasm_bindgen]
impl WebModel {
    /// What there is to know.
    ///
    /// # Errors
    /// None in practice: the weights have been held against the architecture.
    pub fn info(&self) -> JsResult<Object> {
        let (stats, macs, maps) = match &self.0 {
            Task::Classifier(classifier) => (Some(classifier.stats()), classifier.stats().macs, classifier.has_maps()),
            Task::Segmenter(segmenter) => (segmenter.stats(), segmenter.macs(), false),
        };
        let model = self.0.model();
        let parameters = model.parameter_count().map_err(to_js)?;
        let classes = model.architecture.num_classes();
        let dense = model.architecture.head().is_dense();
        let graph = if dense { None } else { Some(model.graph(&model.options(1)).map_err(to_js)?) };
        let colour = |[r, g, b]: [u8; 3]| JsValue::from(numbers([r.into(), g.into(), b.into()]));
        let colours = || palette(classes).into_iter().map(colour).collect::<Array>().into();
        let [height, width] = model.preprocess.size;
        let number = |n: u64| JsValue::from(n as f64);
        object([
            ("name", model.name.as_str().into()),
            ("family", model.architecture.family().into()),
            ("parameters", number(parameters)),
            ("classes", number(classes as u64)),
            ("size", numbers([height as f64, width as f64]).into()),
            ("frames", number(model.architecture.frames() as u64)),
            ("maps", maps.into()),
            ("layers", texts(graph.iter().flat_map(layers)).into()),
            ("macs", number(macs)),
            ("palette", if dense { colours() } else { JsValue::NULL }),
            ("labels", texts((0..classes).filter_map(|i| model.labels.get(i))).into()),
            ("minScore", ((f64::from(model.min_score) * 1e6).round() / 1e6).into()),
            ("unknown", model.unknown.map_or(JsValue::NULL, |class| number(class as u64))),
            ("licence", model.licence.as_str().into()),
            ("assumptions", texts(model.assumptions.iter().map(String::as_str)).into()),
            ("dispatches", number(stats.map_or(0, |stats| stats.dispatches as u64))),
            ("weights", number(stats.map_or(parameters * 4, |stats| stats.weights_bytes))),
            ("activations", number(stats.map_or(0, |stats| stats.activation_bytes))),
        ])
    }

    /// Classifies an image: a `Uint8Array` of `width` x `height` RGBA pixels, or on a GPU a `GPUTexture` of the same device,
    /// format `rgba8unorm`, usage `COPY_SRC`. `scores` adds the probabilities of all classes, `map` a class activation map: of
    /// `class`, or of the best one.
    ///
    /// # Errors
    /// `argument`, `memory` for an image that is too large, `lost`, `checkpoint` when the model's output is not a number.
    pub async fn classify(
        &mut self,
        image: JsValue,
        width: u32,
        height: u32,
        scores: bool,
        map: bool,
        class: Option<u32>,
    ) -> JsResult<Object> {
        let image = Image::new(&self.1, image, width, height)?;
        let map = map.then(|| class.map_or(MapOf::Best, |class| MapOf::Class(class as usize)));
        let options = FrameOptions { scores, map };
        result_to_js(self.0.classifier()?.classify_frame(&image.frame(width, height), options).await.map_err(to_js)?)
    }

    /// How many images `place` takes of a list before they are run; 1 where they are better run one by one.
    ///
    /// # Errors
    /// `lost`, `gpu`.
    #[wasm_bindgen(js_name = listBatch)]
    pub async fn list_batch(&mut self) -> JsResult<usize> {
        self.0.classifier()?.list_batch().await.map_err(to_js)
    }

    /// Makes an image, as in `classify`, the one at this place of the next batch.
    ///
    /// # Errors
    /// As `classify`.
    pub async fn place(&mut self, image: JsValue, width: u32, height: u32, place: usize) -> JsResult<()> {
        let image = Image::new(&self.1, image, width, height)?;
        self.0.classifier()?.place_frame(&image.frame(width, height), place).await.map_err(to_js)
    }

    /// What `classify`, or with `pooled` `features`, gives for each of the first `count` images that were placed.
    ///
    /// # Errors
    /// As `classify` and `features`.
    pub async fn placed(&mut self, count: usize, scores: bool, pooled: bool) -> JsResult<Array> {
        let classifier = self.0.classifier()?;
        if pooled {
            let tensors = classifier.embed_placed(count).await.map_err(to_js)?;
            return Ok(tensors.iter().map(|tensor| JsValue::from(Float32Array::from(&tensor.to_f32()[..]))).collect());
        }
        let results = classifier.classify_placed(count, scores).await.map_err(to_js)?;
        results.into_iter().map(|result| result_to_js(result).map(JsValue::from)).collect()
    }

    /// The classes of an image's pixels: `{ width, height, classMap, indices, values, preprocess, model, readback }`, where the indices
    /// are those of classes that there are, and the values their shares, the largest first. The image is as in `classify`.
    ///
    /// # Errors
    /// As `classify`.
    pub async fn segment(&mut self, image: JsValue, width: u32, height: u32) -> JsResult<Object> {
        let image = Image::new(&self.1, image, width, height)?;
        segmentation_to_js(&self.0.segmenter()?.segment_frame(&image.frame(width, height)).await.map_err(to_js)?)
    }

    /// Of an input that was prepared elsewhere what `segment` gives, for an image of `width` x `height` pixels, then `[name, shape, data]`
    /// of the logits and of what the operators of these names compute.
    ///
    /// # Errors
    /// As `segment`.
    pub async fn run(&mut self, values: Vec<f32>, shape: Vec<u32>, width: u32, height: u32, inner: Array) -> JsResult<Array> {
        let shape: Vec<usize> = shape.into_iter().map(|n| n as usize).collect();
        let input = Tensor::from_f32(shape, values).map_err(to_js)?;
        let image = [height as usize, width as usize];
        let inner: Vec<String> = inner.iter().filter_map(|name| name.as_string()).collect();
        let (tensors, map) = self.0.segmenter()?.run(&input, image, &inner).await.map_err(to_js)?;
        let list = tensors_to_js([String::new()].into_iter().chain(inner).zip(tensors).collect());
        list.unshift(&segmentation_to_js(&map)?.into());
        Ok(list)
    }

    /// Left, top, width and height of what the model sees of an image of `width` x `height` pixels, in those.
    ///
    /// # Errors
    /// `argument` for an image of a shape that cannot be scaled.
    pub fn region(&self, width: u32, height: u32) -> JsResult<Vec<f64>> {
        self.0.model().preprocess.region(width, height).map(Vec::from).map_err(to_js)
    }

    /// Which of `available` frames of a film a model of clips looks at.
    pub fn frames(&self, available: usize) -> Vec<u32> {
        let wanted = self.0.model().architecture.frames();
        Views::default().needed(available, wanted).into_iter().map(|i| i as u32).collect()
    }

    /// Classifies a clip: of a film of `available` frames those that `frames` names, as RGBA pixels, with the width and height of each. With a
    /// layer instead what its scans do with them ([`Classifier::clip_tensors`]), as `features` gives it.
    ///
    /// # Errors
    /// As `classify`; `argument` for a model of images.
    pub async fn clip(
        &mut self,
        pixels: Vec<Uint8Array>,
        sizes: Vec<u32>,
        available: usize,
        scores: bool,
        layer: Option<String>,
    ) -> JsResult<Object> {
        let image = |(pixels, &[width, height]): (&Uint8Array, &[u32; 2])| {
            host_image(&Frame { width, height, pixels: Pixels::Host(&pixels.to_vec()) })
        };
        let images = pixels.iter().zip(sizes.as_chunks().0).map(image).collect::<Result<Vec<RgbImage>, _>>().map_err(to_js)?;
        let needed = self.frames(available);
        if images.len() != needed.len() {
            return Err(to_js(Error::InvalidArgument("these are not the frames that are looked at".into())));
        }
        let frame = |i: usize| &images[needed.binary_search(&(i as u32)).unwrap_or_default()];
        let classifier = self.0.classifier()?;
        if let Some(layer) = layer {
            return Ok(tensors_to_js(classifier.clip_tensors(available, &frame, &layer).await.map_err(to_js)?).unchecked_into());
        }
        let (all, times) = classifier.score_clip(available, &frame, Views::default()).await.map_err(to_js)?;
        let times = FrameTimes { preprocess: times.preprocess, model: times.model, ..FrameTimes::default() };
        let predictions = classifier.best(&all).map_err(to_js)?;
        result_to_js(FrameResult { predictions, scores: scores.then_some(all), times, ..FrameResult::default() })
    }

    /// What the model sees in an image: `[name, shape, data]` of each tensor; with `pooled` of that one alone, with a layer what its scans
    /// do ([`Classifier::tensors`]).
    ///
    /// # Errors
    /// As `classify`; `argument` for `pooled` of a model that has no such thing.
    pub async fn features(
        &mut self,
        image: JsValue,
        width: u32,
        height: u32,
        pooled: bool,
        layer: Option<String>,
    ) -> JsResult<Array> {
        let image = Image::new(&self.1, image, width, height)?;
        let frame = image.frame(width, height);
        let tensors = match pooled {
            true => self.0.classifier()?.embed_frame(&frame).await.map(|tensor| vec![("pooled".to_owned(), tensor)]),
            false => self.0.classifier()?.tensors(&frame, layer.as_deref()).await,
        };
        Ok(tensors_to_js(tensors.map_err(to_js)?))
    }

    /// Time of every launch or operator: `[{ op, kernel, node, ms }]`.
    ///
    /// # Errors
    /// `argument` where the adapter has no timestamps; `lost`, `gpu`.
    pub async fn profile(&mut self) -> JsResult<Array> {
        let timings = match &mut self.0 {
            Task::Classifier(classifier) => classifier.profile().await,
            Task::Segmenter(segmenter) => segmenter.profile().await,
        };
        let entry = |t: Timing| {
            object([("op", t.op.into()), ("kernel", t.kernel.into()), ("node", t.node.into()), ("ms", milliseconds(t.time))])
        };
        timings.map_err(to_js)?.into_iter().map(entry).collect()
    }

    /// Buffers, bind groups and pipelines made so far; empty on the CPU.
    pub fn allocations(&self) -> Vec<u32> {
        let allocations = match &self.0 {
            Task::Classifier(classifier) => classifier.allocations(),
            Task::Segmenter(segmenter) => segmenter.allocations(),
        };
        allocations.map_or_else(Vec::new, |a| [a.buffers, a.bind_groups, a.pipelines].map(|n| n as u32).to_vec())
    }
}
