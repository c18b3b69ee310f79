//! What stands between a backbone and its classes, for all families.

use crate::{
    error::{Error, Result, listed, quote},
    graph::{Builder, Layout, Value},
    models::{BuildOptions, fit::is_counter},
    ops::{ClassActivation, Epilogue, GlobalAvgPool, Linear, TopK},
    tensor::{DType, Tensor},
    weights::{Entry, Reader, Weights},
};

/// What a family's part of the graph leads to.
#[derive(Debug, Clone, Default)]
pub struct Backbone {
    /// Feature maps `(B, H, W, C)` of the stages, each before the step that reduces it; empty for models without stages.
    pub maps: Vec<Value>,
    /// The map `(B, H, W, C)` of which `pooled` is the mean over positions; `None` where something else stands between, so that
    /// there are no class activation maps.
    pub pooled_map: Option<Value>,
    /// What a linear head takes, `(B, C)`, also the output `pooled`; `None` for models whose outputs are their own.
    pub pooled: Option<Value>,
}

impl Backbone {
    /// A backbone that ends with the mean of `map` over its positions.
    ///
    /// # Errors
    /// [`Error::Shape`] when `map` is not `(B, H, W, C)`.
    pub fn mean(g: &mut Builder, maps: Vec<Value>, map: Value) -> Result<Self> {
        let pooled = g.op("avgpool", GlobalAvgPool, vec![map])?;
        Ok(Self { maps, pooled_map: Some(map), pooled: Some(pooled) })
    }
}

/// What stands between a backbone and its classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// A linear layer behind what the backbone ends with: labels of whole images.
    Linear,
    /// UPerNet over the maps of four stages: a class for every pixel.
    UperNet {
        /// Channels of its layers.
        channels: usize,
    },
}

impl Head {
    /// The kind of head that a backbone with these keys is made for; its sizes stand elsewhere.
    pub(super) fn shown(weights: &Weights) -> Self {
        if weights.contains("outnorm0.weight") { Self::UperNet { channels: 0 } } else { Self::Linear }
    }

    /// True for heads that give a class for every pixel.
    pub const fn is_dense(self) -> bool {
        matches!(self, Self::UperNet { .. })
    }
}

/// A linear layer that makes logits.
#[derive(Debug, Clone, Copy)]
pub(super) struct LinearHead {
    /// Its path.
    pub(super) path: &'static str,
    /// Its rows; 0 where there is none.
    pub(super) classes: usize,
}

impl LinearHead {
    /// Adds the outputs `pooled` and, with a head, `logits`, and those that the options ask for.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the best classes are wanted of a model without a head.
    pub(super) fn build(
        self,
        g: &mut Builder,
        r: &Reader,
        backbone: &Backbone,
        model: &str,
        options: &BuildOptions,
    ) -> Result<()> {
        if let Some(pooled) = backbone.pooled {
            g.output("pooled", pooled, Layout::Plain);
        }
        let (Some(pooled), 1..) = (backbone.pooled, self.classes) else {
            return match options.top_k {
                Some(_) => Err(Error::InvalidArgument(format!("{model} has no classification head"))),
                None => Ok(()),
            };
        };
        let (features, r) = (g.shape(pooled).last(), r.pp(self.path));
        let weight = g.weight(&r, "weight", &[self.classes, features])?;
        let bias = g.weight(&r, "bias", &[self.classes])?;
        let logits = g.op(self.path, Linear { epilogue: Epilogue::biased(true) }, vec![pooled, weight, bias])?;
        g.output("logits", logits, Layout::Plain);
        let Some(top_k) = options.top_k else { return Ok(()) };
        let best = g.op("top_k", TopK { k: top_k.k.clamp(1, self.classes), ..top_k }, vec![logits])?;
        g.output("top_k", best, Layout::Plain);
        if let (true, Some(map)) = (options.class_activation, backbone.pooled_map) {
            let maps = g.op("class_activation", ClassActivation, vec![map, weight, bias, best])?;
            g.output("class_activation", maps, Layout::Plain);
            let maps = g.op("class_maps", Linear { epilogue: Epilogue::biased(true) }, vec![map, weight, bias])?;
            g.output("class_maps", maps, Layout::Plain);
        }
        Ok(())
    }
}

/// A head that was found in a checkpoint.
#[derive(Debug)]
pub(super) struct Found<'a> {
    pub(super) head: Head,
    pub(super) classes: usize,
    /// Its keys.
    pub(super) keys: Vec<&'a str>,
    /// Its tensors, under the keys and with the shapes that they usually have.
    pub(super) entries: Vec<(String, Entry)>,
    /// What is unusual about it, for whoever opens the model.
    pub(super) note: Option<String>,
    /// A key that it lacks.
    pub(super) missing: Option<String>,
}

impl<'a> Found<'a> {
    /// The linear layer that belongs under `path`.
    ///
    /// # Errors
    /// None in practice: the numbers of values stay.
    fn linear(path: &str, layer: Layer<'a>) -> Result<Self> {
        let Layer { weight, values, bias, classes } = layer;
        let [usual_weight, usual_bias] = ["weight", "bias"].map(|key| format!("{path}.{key}"));
        let keys = std::iter::once(weight).chain(bias.iter().map(|(key, _)| *key)).collect();
        let unbiased = if bias.is_none() { ", which has no bias" } else { "" };
        let unusual = weight != usual_weight;
        let at = weight.trim_end_matches("weight").trim_end_matches('.');
        Ok(Self {
            head: Head::Linear,
            classes,
            keys,
            note: unusual.then(|| format!("the head is {}{unbiased}", quote(at))),
            // Under its usual name the layer has its usual parts; under another one it may be without a bias.
            missing: (!unusual && bias.is_none()).then(|| format!("{usual_bias}: [{classes}]")),
            entries: vec![
                (usual_weight, Entry::Tensor(values)),
                (
                    usual_bias,
                    Entry::Tensor(match bias {
                        Some((_, values)) => values.reshape([classes])?,
                        None => Tensor::from_f32([classes], vec![0.0; classes])?,
                    }),
                ),
            ],
        })
    }

    /// True for the keys of the head.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains(&key)
    }
}

/// A linear layer that may be a head.
struct Layer<'a> {
    weight: &'a str,
    /// `[classes, features]`.
    values: Tensor,
    bias: Option<(&'a str, Tensor)>,
    classes: usize,
}

impl Layer<'_> {
    fn has(&self, key: &str) -> bool {
        key == self.weight || self.bias.as_ref().is_some_and(|(bias, _)| key == *bias)
    }
}

/// Parts of paths that name a layer of classes.
const NAMES: [&str; 6] = ["head", "classif", "fc", "cls", "linear", "logit"];

/// Parts of paths of layers that look like one, and are not.
const OTHERS: [&str; 7] = ["aux", "proj", "pred", "dist", "decode", "momentum", "teacher"];

/// The layer that makes classes of `features` channels: the one under `path`, else the only one that looks like it among `own`, the
/// tensors that the backbone does not read, else among those `elsewhere` in the file. `None` where there is none.
///
/// # Errors
/// [`Error::Checkpoint`] when there are several, the layer is a part of a head of several layers, or only its bias is there.
pub(super) fn find<'a>(
    name: &str,
    path: &str,
    features: usize,
    own: &[(&'a str, &'a Entry)],
    elsewhere: &[(&'a str, &'a Entry)],
) -> Result<Option<Found<'a>>> {
    let usual = format!("{path}.weight");
    for entries in [own, elsewhere] {
        let layer = |(key, entry): &(&'a str, &'a Entry)| linear(entries, key, entry, features);
        if let Some(found) = entries.iter().filter(|(key, _)| *key == usual).find_map(layer) {
            return Found::linear(path, found).map(Some);
        }
        let mut found: Vec<Layer<'a>> = entries.iter().filter(|(key, _)| is_head(key)).filter_map(layer).collect();
        if found.len() > 1 {
            let keys: Vec<String> = found.iter().map(|head| quote(head.weight)).collect();
            return Err(Error::checkpoint(name, format!("it has several heads ({}); leave one of them in it", listed(&keys))));
        }
        if let Some(found) = found.pop() {
            // `head.1` in `head`: what else is there would have to be computed as well.
            let module = found.weight.rsplitn(3, '.').nth(2).unwrap_or_default();
            let beside = |key: &str| {
                key.strip_prefix(module).is_some_and(|rest| rest.starts_with('.')) && !found.has(key) && !is_counter(key)
            };
            let more: Vec<String> =
                entries.iter().filter(|(key, _)| !module.is_empty() && beside(key)).map(|(key, _)| quote(key)).collect();
            if !more.is_empty() && is_head(found.weight.split_at(module.len()).0) {
                let reason =
                    format!("its head is more than one linear layer: {} stand beside {}", listed(&more), quote(found.weight));
                return Err(Error::checkpoint(name, reason));
            }
            return Found::linear(path, found).map(Some);
        }
    }
    let bias = format!("{path}.bias");
    let has = |wanted: &str| own.iter().any(|(key, _)| *key == wanted);
    if has(&bias) && !has(&usual) {
        let reason = format!("it has {}, but no {}: the head is incomplete", quote(&bias), quote(&usual));
        return Err(Error::checkpoint(name, reason));
    }
    Ok(None)
}

/// True for the path of what may be a layer of classes: by its name, or a mere number, as sequences have them.
fn is_head(key: &str) -> bool {
    let path = key.trim_end_matches("weight").trim_end_matches('.').to_ascii_lowercase();
    let has = |names: &[&str]| path.split(['.', '_']).any(|part| names.iter().any(|name| part.starts_with(name)));
    (has(&NAMES) || path.split('.').all(|part| part.parse::<usize>().is_ok())) && !has(&OTHERS)
}

/// The linear layer of which `key` is the weight, if that takes `features` channels; as a convolution of one pixel, too.
fn linear<'a>(entries: &[(&'a str, &'a Entry)], key: &'a str, entry: &'a Entry, features: usize) -> Option<Layer<'a>> {
    let float = |entry: &Entry| match entry {
        Entry::Tensor(tensor) if tensor.dtype() != DType::I64 => Some(tensor.clone()),
        _ => None,
    };
    let (path, values) = (key.strip_suffix("weight")?, float(entry)?);
    let classes = match *values.shape().dims() {
        [classes, channels] | [classes, channels, 1] | [classes, channels, 1, 1] if channels == features && classes > 0 => {
            classes
        }
        _ => return None,
    };
    let bias = entries.iter().find(|(key, _)| key.strip_suffix("bias") == Some(path));
    let bias = bias.and_then(|(key, entry)| Some((*key, float(entry)?))).filter(|(_, bias)| bias.shape().len() == classes);
    Some(Layer { weight: key, values: values.reshape([classes, features]).ok()?, bias, classes })
}
