//! A model with weights of 8 or 4 bits: which of its tensors become so, and how they are rounded.
//!
//! The filters of products take nearly all of a model's bytes, and a rounding error of theirs is averaged over many terms. Everything
//! else stays floating-point: norms, biases, parameters of scans, depthwise filters, and filters of few input channels, the first layer
//! above all.

use half::f16;

use crate::{
    error::{Error, Result},
    graph::Kind,
    models::Model,
    ops::Op,
    platform,
    tensor::{Bytes, DType, GROUP, Shape, Tensor, TensorDesc},
    weights::{Entry, Weights},
};

/// Fewer values save nothing.
const SMALLEST: usize = 8192;
/// In 4 bits, kernels of several taps with fewer values have 8: they are most of the error and little of the bytes.
const LARGEST: usize = 1_000_000;

/// The tensors of a model that are quantised, in the order of its graph, and the type that each gets: `dtype`, but at least 8 bits for the
/// head, convolutions that are not the very largest, and filters whose input channels are no pairs.
///
/// # Errors
/// Those of [`Model::graph`].
pub fn layers(model: &Model, dtype: DType) -> Result<Vec<(String, DType)>> {
    let graph = model.graph(&model.options(1))?;
    let (mut layers, mut head): (Vec<(String, DType)>, _) = (Vec::new(), "");
    for node in graph.nodes() {
        let (Kind::Op(Op::Linear(_) | Op::Conv2d(_), inputs), false) = (&node.kind, node.inputs().len() < 2) else { continue };
        let weight = graph.node(inputs[1].value);
        // Parts of a tensor, and what is made of it, are named after it.
        let of = |key: &str| {
            let rest = weight.name.strip_prefix(key);
            rest.is_some_and(|rest| matches!(weight.kind, Kind::Constant(_)) && !rest.starts_with(['.', '_']))
        };
        let Some((key, Entry::Tensor(tensor))) = model.weights.entries().find(|(key, _)| of(key)) else { continue };
        head = key;
        let dims = tensor.shape().dims();
        // What has three axes is a stack of filters, whose second axis is none of channels.
        let (size, taps) = (tensor.shape().len(), dims.get(2..).unwrap_or_default().iter().product::<usize>());
        let large = size >= SMALLEST && dims.get(1).is_some_and(|channels| *channels >= GROUP);
        if matches!(dims.len(), 2 | 4) && large && layers.iter().all(|(known, _)| known != key) {
            let coarse = dims[1] % 2 == 0 && (taps == 1 || size > LARGEST);
            layers.push((key.to_owned(), if coarse { dtype } else { DType::Q8 }));
        }
    }
    // Nothing behind the head averages its errors out.
    layers.iter_mut().filter(|(key, _)| key == head).for_each(|(_, dtype)| *dtype = DType::Q8);
    Ok(layers)
}

/// The model's weights with these tensors quantised and the others as they are.
///
/// # Errors
/// Those of [`quantised`].
pub fn with_layers(model: &Model, layers: &[(String, DType)]) -> Result<Weights> {
    map(model, layers, |tensor| Ok(tensor.clone()))
}

/// The model's weights with these tensors quantised and the others in half precision, where that keeps each value to 11 bits.
///
/// # Errors
/// Those of [`quantised`].
pub fn small(model: &Model, layers: &[(String, DType)]) -> Result<Weights> {
    map(model, layers, halved)
}

fn map(model: &Model, layers: &[(String, DType)], other: impl Fn(&Tensor) -> Result<Tensor> + Sync) -> Result<Weights> {
    let entries: Vec<(&str, &Entry)> = model.weights.entries().collect();
    let made = platform::par_map(&entries, |(key, entry)| {
        let layer = layers.iter().find(|(layer, _)| layer == key);
        let tensor = match (entry, layer) {
            (Entry::Tensor(tensor), Some((_, dtype))) => quantised(tensor, *dtype),
            (Entry::Tensor(tensor), None) => other(tensor),
            (Entry::Unreadable { .. }, _) => return Ok(((*key).to_owned(), (*entry).clone())),
        };
        let named = |error| Error::checkpoint(model.weights.name(), format!("`{key}`: {error}"));
        Ok(((*key).to_owned(), Entry::Tensor(tensor.map_err(named)?)))
    });
    Ok(model.weights.with_entries(made.into_iter().collect::<Result<_>>()?))
}

/// An F32 tensor in half precision, unless that loses more than its last bits: values may be too large or too small for it.
fn halved(tensor: &Tensor) -> Result<Tensor> {
    let values = tensor.to_f32();
    let kept = |v: &f32| (f16::from_f32(*v).to_f32() - v).abs() <= v.abs() / 2048.0;
    if tensor.dtype() != DType::F32 || !values.iter().all(kept) {
        return Ok(tensor.clone());
    }
    halves(tensor.shape().clone(), values.iter().map(|v| f16::from_f32(*v)))
}

fn halves(shape: Shape, values: impl Iterator<Item = f16>) -> Result<Tensor> {
    let bytes: Vec<u8> = values.flat_map(f16::to_le_bytes).collect();
    Tensor::new(TensorDesc { dtype: DType::F16, shape }, Bytes::new(bytes))
}

/// Filters `[N, C, ..]` in 8 or 4 bits, as [`Tensor::quantised`] has them.
///
/// # Errors
/// [`Error::InvalidArgument`] when a value is not finite, or so large that its scale is no number in half precision.
pub fn quantised(tensor: &Tensor, dtype: DType) -> Result<Tensor> {
    let (shape, values) = (tensor.shape().clone(), tensor.to_f32());
    let &[rows, channels, ref kernel @ ..] = shape.dims() else {
        return Err(Error::InvalidArgument(format!("a tensor {} has no input channels", tensor.desc())));
    };
    let (taps, groups) = (kernel.iter().product::<usize>(), channels.div_ceil(GROUP));
    let bits = if dtype == DType::Q8 { 8 } else { 4 };
    let mut levels = vec![0i8; values.len()];
    let mut scales = vec![f16::ZERO; rows * groups * taps];
    for (i, scale) in scales.iter_mut().enumerate() {
        let (row, group, tap) = (i / taps / groups, i / taps % groups, i % taps);
        let places = (group * GROUP..channels.min((group + 1) * GROUP)).map(|c| (row * channels + c) * taps + tap);
        let own: Vec<f32> = places.clone().map(|at| values[at]).collect();
        *scale = best_scale(&own, bits);
        if !scale.is_finite() || own.iter().any(|v| !v.is_finite()) {
            return Err(Error::InvalidArgument("a value is not finite, or too large for scales in half precision".into()));
        }
        places.zip(own).for_each(|(at, v)| levels[at] = level(v, scale.to_f32(), bits));
    }
    let bytes: Vec<u8> = match dtype {
        DType::Q8 => levels.iter().map(|level| *level as u8).collect(),
        // An even channel and the one after it share a byte.
        _ => {
            let pairs = levels.chunks_exact((2 * taps).max(1));
            pairs.flat_map(|pair| (0..taps).map(|tap| (pair[tap] + 8) as u8 | ((pair[taps + tap] + 8) as u8) << 4)).collect()
        }
    };
    let of_scales = [&[rows, groups], kernel].concat();
    Tensor::quantised(dtype, shape.clone(), Bytes::new(bytes), halves(of_scales.into(), scales.into_iter())?)
}

/// The level that comes nearest to a value.
fn level(value: f32, scale: f32, bits: u32) -> i8 {
    let end = (1 << (bits - 1)) as f32;
    if scale == 0.0 { 0 } else { (value / scale).round().clamp(-end, end - 1.0) as i8 }
}

/// The scale with the smallest sum of squared errors among those that take the value that is farthest from zero to the lowest level, or
/// somewhat past it.
fn best_scale(values: &[f32], bits: u32) -> f16 {
    let farthest = values.iter().fold(0.0f32, |far, v| if v.abs() > far.abs() { *v } else { far });
    let candidates = (0..16).map(|i| f16::from_f32(farthest / -((1 << (bits - 1)) as f32) * (1.0 - 0.02 * i as f32)));
    let error = |scale: &f16| {
        let scale = scale.to_f32();
        values.iter().map(|v| (f64::from(level(*v, scale, bits)) * f64::from(scale) - f64::from(*v)).powi(2)).sum::<f64>()
    };
    candidates.min_by(|a, b| error(a).total_cmp(&error(b))).unwrap_or(f16::ZERO)
}

/// How far values are from others: the root of the mean squared difference over that of the others' distance to their mean.
pub fn relative_error(got: &[f32], want: &[f32]) -> f64 {
    let count = want.len().max(1) as f64;
    let mean = want.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let variance: f64 = want.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum();
    let error: f64 = got.iter().zip(want).map(|(g, w)| (f64::from(*g) - f64::from(*w)).powi(2)).sum();
    if error == 0.0 { 0.0 } else { (error / variance).sqrt() }
}
