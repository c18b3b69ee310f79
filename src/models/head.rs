//! What stands between a backbone and its classes, for all families.

use crate::{
    error::{Error, Result, listed, quote},
    graph::{Builder, Layout, Value},
    models::{BuildOptions, fit::is_counter},
    ops::{ClassActivation, Epilogue, GlobalAvgPool, Linear, TopK},
    tensor::{DType, Tensor},
    weights::{Entry, Reader},
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

/// A linear layer that makes logits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    /// Its path.
    pub(super) path: &'static str,
    /// Its rows; 0 where there is none.
    pub(super) classes: usize,
}

impl Head {
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

/// A linear layer that was found in a checkpoint.
#[derive(Debug)]
pub(super) struct Found<'a> {
    /// Its key.
    pub(super) weight: &'a str,
    /// `[classes, features]`.
    pub(super) values: Tensor,
    pub(super) bias: Option<(&'a str, Tensor)>,
    pub(super) classes: usize,
}

impl Found<'_> {
    /// True for the keys of the layer.
    pub(super) fn has(&self, key: &str) -> bool {
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
            return Ok(Some(found));
        }
        let mut found: Vec<Found<'a>> = entries.iter().filter(|(key, _)| is_head(key)).filter_map(layer).collect();
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
            return Ok(Some(found));
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
fn linear<'a>(entries: &[(&'a str, &'a Entry)], key: &'a str, entry: &'a Entry, features: usize) -> Option<Found<'a>> {
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
    Some(Found { weight: key, values: values.reshape([classes, features]).ok()?, bias, classes })
}
