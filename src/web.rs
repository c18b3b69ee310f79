//! What JavaScript calls. The package's TypeScript (`pkg/src`) is the only caller: it opens devices, fetches files and takes
//! images, and turns what comes back into its own types. Calls on one object must not overlap; it sees to that.

mod image;
mod model;
mod values;

use std::sync::Arc;

use js_sys::Function;
use wasm_bindgen::prelude::*;

pub use model::WebModel;

use crate::{
    classify::{ClassifierOptions, ClassifierPreparation},
    error::Error,
    gpu::{AdapterSummary, GpuDevice},
    labels::Labels,
    models::{Documents, Model, ModelOptions},
    segment::{SegmenterOptions, SegmenterPreparation},
    session::Device,
    weights::{Incoming, Weights},
};
use model::Task;
use values::to_js;

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
        self.begin()
    }

    /// Takes instead of a file of `torch.save`, which had so many `bytes`, what the module that reads such files `found` in it; the
    /// bytes of its tensors are pushed next.
    ///
    /// # Errors
    /// `checkpoint` when the file is damaged, or its tensors are not those of a model.
    pub fn unpacked(&mut self, bytes: f64, found: &[u8]) -> JsResult<()> {
        self.incoming.unpacked(bytes as u64, found).map_err(to_js)?;
        self.begin()
    }

    /// Makes the model as soon as it is known what is in the file.
    fn begin(&mut self) -> JsResult<()> {
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
