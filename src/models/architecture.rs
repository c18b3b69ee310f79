//! The sizes of a model of any family with its head, and the graph that they and a checkpoint make.

use std::{any::Any, fmt::Debug, sync::Arc};

use crate::{
    error::{Error, Result},
    graph::{Builder, Graph, Value},
    image::Preprocess,
    models::{
        BuildOptions, Family, Head,
        family::Registered,
        fit::is_counter,
        head::{Backbone, LinearHead},
        upernet,
    },
    tensor::Shape,
    weights::{Reader, Weights},
};

/// A family's sizes together with the size of the head.
#[derive(Debug, Clone)]
pub struct Architecture {
    sizes: Arc<dyn Sizes>,
    head: Head,
    classes: usize,
}

impl PartialEq for Architecture {
    fn eq(&self, other: &Self) -> bool {
        (self.head, self.classes) == (other.head, other.classes) && self.sizes.equal(&*other.sizes)
    }
}

impl Architecture {
    /// These sizes with a linear head of so many classes; 0 for a backbone without a head.
    pub fn new(sizes: impl Family, classes: usize) -> Self {
        Self { sizes: Arc::new(sizes), head: Head::Linear, classes }
    }

    /// The same sizes with as many classes.
    #[must_use]
    pub fn with_classes(&self, classes: usize) -> Self {
        self.with_head(self.head, classes)
    }

    /// The same sizes with another head.
    #[must_use]
    pub fn with_head(&self, head: Head, classes: usize) -> Self {
        Self { sizes: self.sizes.clone(), head, classes }
    }

    /// What makes classes of what the backbone gives.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// The family's name.
    pub fn family(&self) -> &'static str {
        self.sizes.family().name
    }

    /// Number of classes; 0 without a head.
    pub const fn num_classes(&self) -> usize {
        self.classes
    }

    /// Images of a sample: frames of a clip; 1 for models of images.
    pub fn frames(&self) -> usize {
        self.sizes.frames()
    }

    /// What the graph takes: `(B * frames, H, W, 3)`.
    pub fn input_shape(&self, options: &BuildOptions) -> Shape {
        Shape::from([options.batch * self.frames(), options.size[0], options.size[1], 3])
    }

    /// The sizes, where the family is `F`.
    pub fn sizes<F: Family>(&self) -> Option<&F> {
        self.sizes.any().downcast_ref()
    }

    /// Weights that have every key: noise that keeps activations in range, the same on every machine.
    pub fn synthetic(&self, name: &str) -> Weights {
        Weights::synthetic(name, self.sizes.family().gains)
    }

    /// The graph for images `(B, H, W, 3)`, or clips `(B * frames, H, W, 3)`, with every weight accounted for; outputs `stem`, `stage0`, .., `pooled` and, with a
    /// head, `logits`. Of dense models there is no `pooled`, and `logits` are a map at a quarter of the size.
    ///
    /// # Errors
    /// [`Error::WeightMismatch`] when the checkpoint is not one of this architecture, [`Error::Shape`] and [`Error::Config`] when
    /// sizes do not fit, [`Error::InvalidArgument`] for a batch or size of zero, or best classes of a model without a head.
    pub fn build(&self, name: &str, weights: &Weights, options: &BuildOptions) -> Result<Graph> {
        if options.batch == 0 || options.size.contains(&0) {
            return Err(Error::InvalidArgument(format!("batch {} and size {:?} must be positive", options.batch, options.size)));
        }
        self.build_from(name, &weights.reader(), options)
    }

    /// Numbers in all tensors that the graph is made of and that were trained.
    ///
    /// # Errors
    /// Those of [`Architecture::build`].
    pub(super) fn parameter_count(&self, name: &str, weights: &Weights, options: &BuildOptions) -> Result<u64> {
        let reader = weights.reader();
        self.build_from(name, &reader, options)?;
        Ok(reader.parameter_count())
    }

    fn build_from(&self, name: &str, reader: &Reader, options: &BuildOptions) -> Result<Graph> {
        let (mut g, family) = (Builder::new(self.input_shape(options)), self.sizes.family());
        match self.head {
            Head::Linear => {
                let backbone = self.backbone(&mut g, reader)?;
                LinearHead { path: family.head, classes: self.classes }.build(&mut g, reader, &backbone, name, options)?;
            }
            Head::UperNet { .. } if options.top_k.is_some() => {
                return Err(Error::InvalidArgument(format!(
                    "{name} tells the classes of pixels, not of images: take a Segmenter (`webmamba segment`, in the package ImageSegmenter)"
                )));
            }
            Head::UperNet { channels } => {
                let maps = self.maps(&mut g, reader)?;
                upernet::build(&mut g, reader, &maps, channels, self.classes)?;
            }
        }
        reader.finish(name, |key| is_counter(key) || self.unused(key))?;
        Ok(g.finish())
    }

    pub(super) fn registered(&self) -> &'static Registered {
        self.sizes.family()
    }

    pub(super) fn validate(&self) -> Result<()> {
        self.sizes.validate()
    }

    /// Preprocessing where it is none of the presets.
    pub(super) fn usual(&self) -> Preprocess {
        if self.head.is_dense() { Preprocess::dense(512) } else { self.sizes.usual() }
    }

    /// The graph up to what the head takes.
    pub(super) fn backbone(&self, g: &mut Builder, r: &Reader) -> Result<Backbone> {
        self.sizes.validate()?;
        self.sizes.build(g, r)
    }

    /// The graph up to what a dense head takes: a norm over channels behind the map of every stage.
    pub(super) fn maps(&self, g: &mut Builder, r: &Reader) -> Result<Vec<Value>> {
        self.sizes.validate()?;
        let maps = self.sizes.maps(g, r)?;
        maps.into_iter().enumerate().map(|(i, map)| g.layer_norm(&r.pp(format!("outnorm{i}")), map, 1e-5)).collect()
    }

    /// True for keys of the family's checkpoints that no layer reads.
    pub(super) fn unused(&self, key: &str) -> bool {
        (self.sizes.family().unused)(key)
    }

    /// True when the tensors of both have the same shapes, but for the head's.
    pub(super) fn same_tensors(&self, other: &Self) -> bool {
        self.head.is_dense() == other.head.is_dense() && self.sizes.seen().equal(&*other.sizes.seen())
    }

    /// What the sides of a dense model's input are rounded up to a multiple of.
    pub(crate) fn multiple(&self) -> usize {
        self.sizes.family().multiple
    }

    /// True when both have the same sizes and a head of one kind, of whatever size.
    pub(super) fn same_sizes(&self, other: &Self) -> bool {
        self.head.is_dense() == other.head.is_dense() && self.sizes.equal(&*other.sizes)
    }
}

/// [`Family`] as an object.
trait Sizes: Debug + Send + Sync {
    fn any(&self) -> &dyn Any;
    fn family(&self) -> &'static Registered;
    fn equal(&self, other: &dyn Sizes) -> bool;
    fn seen(&self) -> Arc<dyn Sizes>;
    fn validate(&self) -> Result<()>;
    fn usual(&self) -> Preprocess;
    fn frames(&self) -> usize;
    fn build(&self, g: &mut Builder, r: &Reader) -> Result<Backbone>;
    fn maps(&self, g: &mut Builder, r: &Reader) -> Result<Vec<Value>>;
}

impl<F: Family> Sizes for F {
    fn any(&self) -> &dyn Any {
        self
    }

    fn family(&self) -> &'static Registered {
        const { &Registered::of::<F>() }
    }

    fn equal(&self, other: &dyn Sizes) -> bool {
        other.any().downcast_ref::<F>() == Some(self)
    }

    fn seen(&self) -> Arc<dyn Sizes> {
        Arc::new(Family::seen(self))
    }

    fn validate(&self) -> Result<()> {
        Family::validate(self)
    }

    fn usual(&self) -> Preprocess {
        Family::usual(self)
    }

    fn frames(&self) -> usize {
        Family::frames(self)
    }

    fn build(&self, g: &mut Builder, r: &Reader) -> Result<Backbone> {
        Family::build(self, g, r)
    }

    fn maps(&self, g: &mut Builder, r: &Reader) -> Result<Vec<Value>> {
        Family::maps(self, g, r)
    }
}
