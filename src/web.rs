//! What JavaScript calls. The package's TypeScript (`pkg/src`) is the only caller: it opens devices, fetches files and takes
//! images, and turns what comes back into its own types. Calls on one object must not overlap; it sees to that.

use std::{sync::Arc, time::Duration};

use js_sys::{Array, Float32Array, Function, JsString, Object, Reflect, Uint8Array, Uint32Array};
use wasm_bindgen::{JsCast, prelude::*};

use crate::{
    classify::{Classifier, ClassifierOptions, ClassifierPreparation, FrameOptions, FrameResult, MapOf},
    error::Error,
    explain::layers,
    gpu::{AdapterSummary, Frame, GpuDevice, Pixels},
    image::{RgbImage, Views},
    labels::{Labels, palette},
    models::{Documents, Model, ModelOptions},
    segment::{Segmentation, Segmenter, SegmenterOptions, SegmenterPreparation},
    session::{Device, FrameTimes, Timing, host_image},
    tensor::Tensor,
    weights::{Incoming, Weights},
};

/// The best classes that come back from the device; who wants more gets all scores.
const TOP_K: usize = 8;

/// The result of every call: on failure an `Error` with the property `code`.
type JsResult<T> = Result<T, JsValue>;

/// Entry to the GPU that `navigator.gpu` leads to at the time.
#[wasm_bindgen]
#[derive(Debug)]
pub struct GpuEntry(wgpu::Instance);

#[wasm_bindgen]
impl GpuEntry {
    /// Takes `navigator.gpu` as it is now.
    #[allow(clippy::new_without_default)]
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self(wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle()))
    }

    /// The device that this entry's only adapter hands out. `subgroup` is the number of lanes of the device's subgroups, 0 where
    /// it has none or they differ in size.
    ///
    /// # Errors
    /// `device` when the entry has no adapter or the adapter no device, `out-of-memory` when its limits are below WebGPU's.
    pub async fn open(self, subgroup: u32) -> JsResult<WebDevice> {
        let failed = |error: String| to_js(Error::Gpu { reason: error });
        let adapter = self.0.request_adapter(&Default::default()).await.map_err(|e| failed(e.to_string()))?;
        let (device, queue) = adapter.request_device(&Default::default()).await.map_err(|e| failed(e.to_string()))?;
        let mut summary = AdapterSummary::of(&adapter);
        summary.subgroup = (subgroup > 0).then_some(subgroup);
        Ok(WebDevice(Device::Gpu(Arc::new(GpuDevice::of(device, queue, summary).map_err(to_js)?))))
    }
}

/// Where models run.
#[wasm_bindgen]
#[derive(Debug)]
pub struct WebDevice(Device);

#[wasm_bindgen]
impl WebDevice {
    /// This module itself.
    pub fn cpu() -> Self {
        Self(Device::Cpu)
    }
}

/// A model that is being downloaded.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Loader {
    name: String,
    incoming: Incoming,
    documents: Documents,
    options: ModelOptions,
    device: Device,
    large: bool,
    preparation: Option<Preparation>,
}

/// What a model does, in the making.
#[derive(Debug)]
enum Preparation {
    Classifier(Box<ClassifierPreparation>),
    Segmenter(Box<SegmenterPreparation>),
}

#[wasm_bindgen]
impl Loader {
    /// A checkpoint called `name` in messages, of `total` bytes where that is known; `config` and `preprocessor` are the bytes of
    /// its `config.json` and `preprocessor_config.json`, `labels` one class name a line, `size` height and width, `state` the path
    /// of one of several states; `large` allows models that take minutes.
    ///
    /// # Errors
    /// `checkpoint` when the labels are not usable, or a configuration is not text.
    #[allow(clippy::too_many_arguments)]
    #[wasm_bindgen(constructor)]
    pub fn new(
        device: &WebDevice,
        name: &str,
        total: Option<f64>,
        config: Option<Vec<u8>>,
        preprocessor: Option<Vec<u8>>,
        arch: Option<String>,
        state: Option<String>,
        labels: Option<String>,
        size: Option<Vec<u32>>,
        large: bool,
    ) -> JsResult<Self> {
        let documents = Documents::decode(name, config.as_deref(), preprocessor.as_deref()).map_err(to_js)?;
        let labels = labels.map(|text| Labels::parse("the option `labels`", &text)).transpose().map_err(to_js)?;
        let size = size.and_then(|size| Some([*size.first()? as usize, *size.get(1)? as usize]));
        Ok(Self {
            name: name.to_owned(),
            incoming: Incoming::new(name, total.map(|bytes| bytes as u64)),
            documents,
            options: ModelOptions { arch, labels, size, state },
            device: device.0.clone(),
            large,
            preparation: None,
        })
    }

    /// The next bytes of the weights.
    ///
    /// # Errors
    /// `checkpoint` as soon as it shows that they are not those of a model.
    pub fn push(&mut self, bytes: &[u8]) -> JsResult<()> {
        self.incoming.push(bytes).map_err(to_js)?;
        if self.preparation.is_none()
            && let Some(weights) = self.incoming.weights()
        {
            self.prepare(weights)?;
        }
        Ok(())
    }

    /// Brings what has arrived to the device.
    ///
    /// # Errors
    /// `memory`, `lost`.
    pub async fn upload(&mut self) -> JsResult<()> {
        match &mut self.preparation {
            Some(Preparation::Classifier(preparation)) => preparation.upload().await.map_err(to_js),
            Some(Preparation::Segmenter(preparation)) => preparation.upload().await.map_err(to_js),
            None => Ok(()),
        }
    }

    /// Bytes on the device, and in all; zeros on the CPU and before that is known.
    pub fn uploaded(&self) -> Vec<f64> {
        let (done, all) = match &self.preparation {
            Some(Preparation::Classifier(preparation)) => preparation.uploaded(),
            Some(Preparation::Segmenter(preparation)) => preparation.uploaded(),
            None => (0, 0),
        };
        vec![done as f64, all as f64]
    }

    /// The model, after its last byte. `progress` is called with how many kernels of how many are ready.
    ///
    /// # Errors
    /// `checkpoint` when bytes are missing or do not make a model; `memory`, `lost`, `gpu`.
    pub async fn finish(mut self, progress: Function) -> JsResult<WebModel> {
        let weights = self.incoming.finish().map_err(to_js)?;
        if self.preparation.is_none() {
            self.prepare(weights)?;
        }
        let Some(preparation) = self.preparation else { return Err(to_js(Error::checkpoint(&self.name, "it is empty"))) };
        let report = |done: usize, all: usize| {
            // What the callback throws is the caller's own affair.
            let _ = progress.call2(&JsValue::NULL, &(done as f64).into(), &(all as f64).into());
        };
        let task = match preparation {
            Preparation::Classifier(preparation) => preparation.finish(report).await.map(|it| Task::Classifier(Box::new(it))),
            Preparation::Segmenter(preparation) => preparation.finish(report).await.map(|it| Task::Segmenter(Box::new(it))),
        };
        Ok(WebModel(task.map_err(to_js)?, WebDevice(self.device)))
    }

    fn prepare(&mut self, weights: Weights) -> JsResult<()> {
        let model = Model::of(weights, &self.documents, &self.options).map_err(to_js)?;
        let preparation = if model.architecture.head().is_dense() {
            let options = SegmenterOptions { large: self.large };
            SegmenterPreparation::new(model, &self.device, options).map(|it| Preparation::Segmenter(Box::new(it)))
        } else {
            let options = ClassifierOptions { batch: 1, top_k: TOP_K, frames: true };
            ClassifierPreparation::new(model, &self.device, options).map(|it| Preparation::Classifier(Box::new(it)))
        };
        self.preparation = Some(preparation.map_err(to_js)?);
        Ok(())
    }
}

/// A model that is ready, and its device.
#[wasm_bindgen]
#[derive(Debug)]
pub struct WebModel(Task, WebDevice);

/// What a model does.
#[derive(Debug)]
enum Task {
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
        let (graph, dense) = (model.graph(&model.options(1)).map_err(to_js)?, model.architecture.head().is_dense());
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
            ("layers", texts(if dense { Vec::new() } else { layers(&graph) }).into()),
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

    /// The logits of an input that was prepared elsewhere, `[name, shape, data]`, and what `segment` gives, for an image of `width` x
    /// `height` pixels.
    ///
    /// # Errors
    /// As `segment`.
    pub async fn run(&mut self, values: Vec<f32>, shape: Vec<u32>, width: u32, height: u32) -> JsResult<Array> {
        let shape: Vec<usize> = shape.into_iter().map(|n| n as usize).collect();
        let input = Tensor::from_f32(shape, values).map_err(to_js)?;
        let (logits, map) = self.0.segmenter()?.run(&input, [height as usize, width as usize]).await.map_err(to_js)?;
        let logits = tensors_to_js(vec![("logits".into(), logits)]).get(0);
        Ok(Array::of2(&logits, &segmentation_to_js(&map)?.into()))
    }

    /// Which of `available` frames of a film a model of clips looks at.
    pub fn frames(&self, available: usize) -> Vec<u32> {
        let wanted = self.0.model().architecture.frames();
        Views::default().needed(available, wanted).into_iter().map(|i| i as u32).collect()
    }

    /// Classifies a clip: of a film of `available` frames those that `frames` names, as RGBA pixels, with the width and height of each.
    ///
    /// # Errors
    /// As `classify`; `argument` for a model of images.
    pub async fn clip(&mut self, pixels: Vec<Uint8Array>, sizes: Vec<u32>, available: usize, scores: bool) -> JsResult<Object> {
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

/// What JavaScript gives to be classified.
enum Image {
    Pixels(Vec<u8>),
    Texture(wgpu::Texture),
}

impl Image {
    fn new(device: &WebDevice, image: JsValue, width: u32, height: u32) -> JsResult<Self> {
        match (image.dyn_into::<Uint8Array>(), &device.0) {
            (Ok(pixels), _) => Ok(Self::Pixels(pixels.to_vec())),
            (Err(texture), Device::Gpu(gpu)) => {
                let descriptor = wgpu::TextureDescriptor {
                    label: Some("frame"),
                    size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
                    mip_level_count: 1,
                    sample_count: 1,
                    dimension: wgpu::TextureDimension::D2,
                    format: wgpu::TextureFormat::Rgba8Unorm,
                    usage: wgpu::TextureUsages::COPY_SRC,
                    view_formats: &[],
                };
                let texture = texture.unchecked_into();
                Ok(Self::Texture(gpu.device().create_texture_from_webgpu_handle(texture, &descriptor, None)))
            }
            (Err(_), Device::Cpu) => Err(to_js(Error::InvalidArgument("the CPU takes pixels as a Uint8Array".into()))),
        }
    }

    fn frame(&self, width: u32, height: u32) -> Frame<'_> {
        let pixels = match self {
            Self::Pixels(bytes) => Pixels::Host(bytes),
            Self::Texture(texture) => Pixels::Texture(texture),
        };
        Frame { width, height, pixels }
    }
}

/// `{ indices, values, scores?, map?: { index, width, height, values, region }, preprocess, model, readback }`, times in
/// milliseconds.
fn result_to_js(result: FrameResult) -> JsResult<Object> {
    let indices: Vec<u32> = result.predictions.iter().map(|p| p.index as u32).collect();
    let values: Vec<f32> = result.predictions.iter().map(|p| p.score).collect();
    let mut fields = times(result.times);
    fields.push(("indices", Uint32Array::from(indices.as_slice()).into()));
    fields.push(("values", Float32Array::from(values.as_slice()).into()));
    if let Some(scores) = result.scores {
        fields.push(("scores", Float32Array::from(scores.as_slice()).into()));
    }
    if let Some(map) = result.map {
        let map = object([
            ("index", (map.index as u32).into()),
            ("width", (map.size[1] as u32).into()),
            ("height", (map.size[0] as u32).into()),
            ("values", Float32Array::from(map.values.as_slice()).into()),
            ("region", numbers(map.region).into()),
        ])?;
        fields.push(("map", map.into()));
    }
    object(fields)
}

fn segmentation_to_js(result: &Segmentation) -> JsResult<Object> {
    let (indices, values): (Vec<u32>, Vec<f32>) =
        result.shares().into_iter().map(|(index, share)| (index as u32, share as f32)).unzip();
    let mut fields = times(result.times);
    fields.push(("width", (result.width as u32).into()));
    fields.push(("height", (result.height as u32).into()));
    fields.push(("classMap", Uint8Array::from(result.class_map.as_slice()).into()));
    fields.push(("indices", Uint32Array::from(indices.as_slice()).into()));
    fields.push(("values", Float32Array::from(values.as_slice()).into()));
    object(fields)
}

/// Milliseconds of the steps of a call.
fn times(times: FrameTimes) -> Vec<(&'static str, JsValue)> {
    let steps = [("preprocess", times.preprocess), ("model", times.model), ("readback", times.readback)];
    steps.into_iter().map(|(name, time)| (name, milliseconds(time))).collect()
}

fn milliseconds(time: Duration) -> JsValue {
    (time.as_secs_f64() * 1e3).into()
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Array {
    texts.into_iter().map(JsValue::from).collect()
}

fn numbers<const N: usize>(numbers: [f64; N]) -> Array {
    numbers.into_iter().map(JsValue::from).collect()
}

fn tensors_to_js(tensors: Vec<(String, Tensor)>) -> Array {
    let triple = |(name, tensor): (String, Tensor)| {
        let shape: Vec<u32> = tensor.shape().dims().iter().map(|n| *n as u32).collect();
        let data = Float32Array::from(&tensor.to_f32()[..]);
        Array::of3(&name.as_str().into(), &Uint32Array::from(shape.as_slice()), &data)
    };
    tensors.into_iter().map(triple).collect()
}

fn object<'a>(fields: impl IntoIterator<Item = (&'a str, JsValue)>) -> JsResult<Object> {
    let object = Object::new();
    for (name, value) in fields {
        Reflect::set(&object, &JsString::from(name), &value)?;
    }
    Ok(object)
}

/// A JavaScript `Error` whose `code`, the error's kind, tells the package which of its classes to throw.
fn to_js(error: Error) -> JsValue {
    let value = JsValue::from(js_sys::Error::new(&error.to_string()));
    // Setting a property of a fresh object cannot fail.
    let _ = Reflect::set(&value, &JsString::from("code"), &JsString::from(error.kind().name()));
    value
}
