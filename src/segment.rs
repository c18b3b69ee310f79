//! Images to class maps: semantic segmentation.

use std::{sync::Arc, time::Duration};

use crate::{
    error::{Error, Result},
    gpu::{Allocations, Frame},
    graph::{Graph, Kind, Layout},
    image::{Preprocess, RgbImage},
    models::Model,
    ops::{ArgMax, Op},
    platform::Stopwatch,
    session::{Device, FrameTimes, Preparation, Session, SessionStats, Timing, WeightStore},
    tensor::Tensor,
};

/// Multiply-adds of one attention that are more than anybody expects of a model: some seconds on a fast GPU, minutes elsewhere.
const LARGE: u64 = 100_000_000_000;

/// The classes of an image's pixels.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Segmentation {
    /// Pixels in a row: as many as the image has.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The class of every pixel, row by row.
    pub class_map: Vec<u8>,
    /// How long it took.
    pub times: FrameTimes,
}

impl Segmentation {
    /// Classes that there are, with the share of the pixels that each has: the largest first.
    pub fn shares(&self) -> Vec<(usize, f64)> {
        let mut counts = [0u64; 256];
        self.class_map.iter().for_each(|class| counts[usize::from(*class)] += 1);
        let mut shares: Vec<(usize, f64)> = counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .map(|(class, count)| (class, *count as f64 / self.class_map.len() as f64))
            .collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        shares
    }
}

/// What a segmenter is made for.
#[derive(Debug, Clone, Copy, Default)]
pub struct SegmenterOptions {
    /// Also of models that attend over windows so large that an image takes minutes.
    pub large: bool,
}

/// A dense model that is ready to tell the classes of pixels on a device.
///
/// What it prepares is for images of one size; others make it prepare anew, but for the weights, which stay.
#[derive(Debug)]
pub struct Segmenter {
    model: Model,
    device: Device,
    weights: Arc<WeightStore>,
    macs: u64,
    ready: Option<Ready>,
}

/// What images of one size need.
#[derive(Debug)]
struct Ready {
    /// Height and width of the image.
    image: [usize; 2],
    preprocess: Preprocess,
    session: Session,
}

impl Segmenter {
    /// Prepares a model for images of whatever size.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the model tells no classes of pixels, or costs more than the options allow.
    pub fn new(model: Model, device: &Device, options: SegmenterOptions) -> Result<Self> {
        SegmenterPreparation::new(model, device, options).map(SegmenterPreparation::into_segmenter)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Multiply-adds of an image of the model's usual size.
    pub fn macs(&self) -> u64 {
        self.macs
    }

    /// Sizes of what was prepared for the last image.
    pub fn stats(&self) -> Option<SessionStats> {
        self.ready.as_ref().map(|ready| ready.session.stats())
    }

    /// What was created on the GPU so far; `None` on the CPU, and before the first image.
    pub fn allocations(&self) -> Option<Allocations> {
        self.ready.as_ref().and_then(|ready| ready.session.allocations())
    }

    /// The classes of an image's pixels.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an image of a shape that cannot be scaled; [`Error::Config`] when the model's output is not a
    /// number; those of [`Session::new`] and [`Session::run`].
    pub async fn segment(&mut self, image: &RgbImage) -> Result<Segmentation> {
        let ready = self.prepare(image.width(), image.height()).await?;
        let watch = Stopwatch::start();
        let input = ready.preprocess.apply(image)?;
        let preprocess = watch.elapsed();
        let [height, width] = ready.preprocess.size;
        let outputs = ready.session.run(&input.reshape([1, height, width, 3])?).await?;
        let model = watch.elapsed() - preprocess;
        self.finished(outputs, FrameTimes { preprocess, model, readback: Duration::ZERO })
    }

    /// The same of a frame, which on a GPU is resized there.
    ///
    /// # Errors
    /// As [`Segmenter::segment`], and [`Session::run_frame`].
    pub async fn segment_frame(&mut self, frame: &Frame<'_>) -> Result<Segmentation> {
        let ready = self.prepare(frame.width, frame.height).await?;
        let (outputs, times) = ready.session.run_frame(frame, &ready.preprocess, &["class_map"]).await?;
        self.finished(outputs, times)
    }

    /// What the model makes of an input `(1, H, W, 3)` that was prepared elsewhere: its logits `(1, classes, h, w)`, after them what the
    /// operators of these names compute ([`Graph::named`]; maps `(1, C, h, w)`, such as `decode_head.fpn_bottleneck.activate`), and the
    /// classes of the pixels of an image of height and width `image`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an input of a shape that the model does not take, an image without pixels, or a name that no
    /// operator has; those of [`Segmenter::segment`].
    pub async fn run<S: AsRef<str>>(
        &mut self,
        input: &Tensor,
        image: [usize; 2],
        inner: &[S],
    ) -> Result<(Vec<Tensor>, Segmentation)> {
        let multiple = self.model.architecture.multiple();
        let size = match *input.shape().dims() {
            [1, height, width, 3] if [height, width].iter().all(|side| *side > 0 && side % multiple == 0) => [height, width],
            _ => {
                let reason =
                    format!("the model takes inputs (1, H, W, 3) of sides divisible by {multiple}, not {}", input.shape());
                return Err(Error::InvalidArgument(reason));
            }
        };
        if image.contains(&0) {
            return Err(Error::InvalidArgument("an image without pixels has no classes".into()));
        }
        let mut graph = graph(&self.model, size, image, &["class_map", "logits"])?;
        for name in inner.iter().map(AsRef::as_ref) {
            let value = graph.named(name)?;
            let layout = if graph.node(value).shape().dims().len() == 4 { Layout::Nchw } else { Layout::Plain };
            graph.output(name, value, layout);
        }
        let watch = Stopwatch::start();
        let mut outputs = Session::with_weights(&graph, &self.device, &self.weights).await?.run(input).await?;
        let tensors = outputs.split_off(1);
        Ok((tensors, self.finished(outputs, FrameTimes { model: watch.elapsed(), ..FrameTimes::default() })?))
    }

    /// The time of every dispatch or operator of a run on an image of the last one's size.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] before the first image; those of [`Session::profile`].
    pub async fn profile(&mut self) -> Result<Vec<Timing>> {
        let Some(ready) = &mut self.ready else {
            return Err(Error::InvalidArgument("there is nothing to time before the first image".into()));
        };
        let [height, width] = ready.preprocess.size;
        let input = Tensor::from_f32([1, height, width, 3], vec![0.5; height * width * 3])?;
        Ok(ready.session.profile(&input).await?.1)
    }

    /// What images of this size need: as it is from the last one, or made now.
    async fn prepare(&mut self, width: u32, height: u32) -> Result<&mut Ready> {
        let image = [height as usize, width as usize];
        if self.ready.as_ref().is_none_or(|ready| ready.image != image) {
            // The memory of the other goes first.
            self.ready = None;
            let preprocess = preprocess(&self.model, width, height)?;
            let graph = graph(&self.model, preprocess.size, image, &["class_map"])?;
            let session = Session::with_weights(&graph, &self.device, &self.weights).await?;
            self.ready = Some(Ready { image, preprocess, session });
        }
        self.ready.as_mut().ok_or_else(|| Error::InvalidArgument("there is no session".into()))
    }

    fn finished(&self, outputs: Vec<Tensor>, times: FrameTimes) -> Result<Segmentation> {
        let map = outputs.into_iter().next();
        let map = map.ok_or_else(|| Error::InvalidArgument("the session gave no class map".into()))?;
        let &[_, height, width] = map.shape().dims() else {
            return Err(Error::InvalidArgument(format!("a class map cannot be {}", map.shape())));
        };
        if map.bytes().contains(&ArgMax::NONE) {
            return Err(self.model.not_a_number());
        }
        Ok(Segmentation { width, height, class_map: map.bytes().to_vec(), times })
    }
}

/// A segmenter in the making: its weights may still be on their way.
#[derive(Debug)]
pub struct SegmenterPreparation {
    model: Model,
    device: Device,
    weights: Arc<WeightStore>,
    graph: Graph,
    /// Made when the first weights are wanted on the device.
    preparation: Option<Preparation>,
}

impl SegmenterPreparation {
    /// Begins with what is known of a model before its weights have arrived.
    ///
    /// # Errors
    /// As [`Segmenter::new`].
    pub fn new(model: Model, device: &Device, options: SegmenterOptions) -> Result<Self> {
        if !model.architecture.head().is_dense() {
            let reason =
                format!("{} tells no classes of pixels: it is no dense model, such as UPerNet over a backbone", model.name);
            return Err(Error::InvalidArgument(reason));
        }
        let size = model.preprocess.size;
        let graph = graph(&model, size, size, &["class_map"])?;
        if !options.large {
            affordable(&model, &graph)?;
        }
        Ok(Self { model, device: device.clone(), weights: Arc::default(), graph, preparation: None })
    }

    /// As [`Preparation::upload`].
    ///
    /// # Errors
    /// As [`Preparation::new`] and [`Preparation::upload`].
    pub async fn upload(&mut self) -> Result<()> {
        let preparation = match &mut self.preparation {
            Some(preparation) => preparation,
            none => none.insert(Preparation::new(&self.graph, &self.device, &self.weights)?),
        };
        preparation.upload().await
    }

    /// As [`Preparation::uploaded`].
    pub fn uploaded(&self) -> (u64, u64) {
        self.preparation.as_ref().map_or((0, 0), Preparation::uploaded)
    }

    /// The segmenter, when all weights have arrived: with what images of any size need; see [`Preparation::warm`].
    ///
    /// # Errors
    /// As [`SegmenterPreparation::upload`] and [`Preparation::warm`].
    pub async fn finish(mut self, progress: impl FnMut(usize, usize)) -> Result<Segmenter> {
        let preparation = match self.preparation.take() {
            Some(preparation) => preparation,
            None => Preparation::new(&self.graph, &self.device, &self.weights)?,
        };
        preparation.warm(progress).await?;
        Ok(self.into_segmenter())
    }

    fn into_segmenter(self) -> Segmenter {
        let Self { model, device, weights, graph, .. } = self;
        Segmenter { model, device, weights, macs: graph.macs(), ready: None }
    }
}

/// How an image of this size becomes the input of a model.
fn preprocess(model: &Model, width: u32, height: u32) -> Result<Preprocess> {
    let mut preprocess = model.preprocess.for_image(width, height);
    let multiple = model.architecture.multiple();
    preprocess.size = preprocess.size.map(|side| side.next_multiple_of(multiple));
    preprocess.validate()?;
    Ok(preprocess)
}

/// The model for inputs of a size, up to the class map of images of another one, with these outputs.
fn graph(model: &Model, input: [usize; 2], image: [usize; 2], outputs: &[&str]) -> Result<Graph> {
    let mut graph = model.graph(&crate::models::BuildOptions { size: input, ..model.options(1) })?.select(&["logits"])?;
    let logits = graph.outputs()[0].value;
    let map = graph.op("class_map", ArgMax { through: input, size: image }, vec![logits])?;
    graph.output("class_map", map, Layout::Plain);
    graph.select(outputs)
}

/// Refuses what is so slow that one should know before.
fn affordable(model: &Model, graph: &Graph) -> Result<()> {
    let attention = |kind: &Kind| match kind {
        Kind::Op(Op::Attention(_), inputs) => Some(*inputs.first()?),
        _ => None,
    };
    let (mut attended, mut largest) = (0, (0, 0));
    for (_, node) in graph.iter() {
        let Some(input) = attention(&node.kind) else { continue };
        let shape = graph.node(input.value).shape();
        let macs = match &node.kind {
            Kind::Op(op, _) => op.macs(&[shape], node.shape()),
            Kind::Input | Kind::Constant(_) => 0,
        };
        attended += macs;
        largest = largest.max((macs, shape.dims().get(1).copied().unwrap_or(0)));
    }
    let billions = |macs: u64| macs / 1_000_000_000;
    if largest.0 <= LARGE {
        return Ok(());
    }
    Err(Error::InvalidArgument(format!(
        "{} attends over windows of {} tokens: of {} billion multiply-adds for an image, {} billion are in attention alone; \
         `--large` (the option `large`) runs it all the same",
        model.name,
        largest.1,
        billions(graph.macs()),
        billions(attended)
    )))
}
