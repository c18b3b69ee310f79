//! Results and errors as JavaScript takes them.

use std::time::Duration;

use js_sys::{Array, Float32Array, JsString, Object, Reflect, Uint8Array, Uint32Array};
use wasm_bindgen::prelude::*;

use super::JsResult;
use crate::{classify::FrameResult, error::Error, segment::Segmentation, session::FrameTimes, tensor::Tensor};

/// `{ indices, values, scores?, map?: { index, width, height, values, region }, preprocess, model, readback }`, times in
/// milliseconds.
pub(super) fn result_to_js(result: FrameResult) -> JsResult<Object> {
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

pub(super) fn segmentation_to_js(result: &Segmentation) -> JsResult<Object> {
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
pub(super) fn times(times: FrameTimes) -> Vec<(&'static str, JsValue)> {
    let steps = [("preprocess", times.preprocess), ("model", times.model), ("readback", times.readback)];
    steps.into_iter().map(|(name, time)| (name, milliseconds(time))).collect()
}

pub(super) fn milliseconds(time: Duration) -> JsValue {
    (time.as_secs_f64() * 1e3).into()
}

pub(super) fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Array {
    texts.into_iter().map(JsValue::from).collect()
}

pub(super) fn numbers<const N: usize>(numbers: [f64; N]) -> Array {
    numbers.into_iter().map(JsValue::from).collect()
}

pub(super) fn tensors_to_js(tensors: Vec<(String, Tensor)>) -> Array {
    let triple = |(name, tensor): (String, Tensor)| {
        let shape: Vec<u32> = tensor.shape().dims().iter().map(|n| *n as u32).collect();
        let data = Float32Array::from(&tensor.to_f32()[..]);
        Array::of3(&name.as_str().into(), &Uint32Array::from(shape.as_slice()), &data)
    };
    tensors.into_iter().map(triple).collect()
}

pub(super) fn object<'a>(fields: impl IntoIterator<Item = (&'a str, JsValue)>) -> JsResult<Object> {
    let object = Object::new();
    for (name, value) in fields {
        Reflect::set(&object, &JsString::from(name), &value)?;
    }
    Ok(object)
}

/// A JavaScript `Error` whose `code`, the error's kind, tells the package which of its classes to throw.
pub(super) fn to_js(error: Error) -> JsValue {
    let value = JsValue::from(js_sys::Error::new(&error.to_string()));
    // Setting a property of a fresh object cannot fail.
    let _ = Reflect::set(&value, &JsString::from("code"), &JsString::from(error.kind().name()));
    value
}
