//! A small checkpoint, and what its model says of one input.
#![allow(unreachable_pub)]

use pollster::block_on;
use serde_json::Value;
use webmamba::{
    Device, Model, ModelOptions, Result, Tensor, Weights,
    low_level::{models::BuildOptions, session::Session, tensor::DType},
};

use super::common::manifest::{Manifest, rel_err};

/// The checkpoint of `mambavision_micro`.
pub struct Micro {
    manifest: Manifest,
    logits: Vec<f32>,
}

impl Micro {
    pub fn new() -> Self {
        let manifest = Manifest::load("mambavision_micro");
        let mut micro = Self { manifest, logits: Vec::new() };
        micro.logits = logits(&micro.model(micro.tensors()).unwrap());
        micro
    }

    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        self.manifest.weights()
    }

    /// Its config with changes on top; null takes a key away.
    pub fn config(&self, changes: Value) -> String {
        let mut config = self.manifest.config.clone();
        config["model_type"] = "mambavision".into();
        for (key, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(config.as_object_mut().unwrap().remove(key)),
                value => config[key] = value.clone(),
            }
        }
        config.to_string()
    }

    pub fn model(&self, tensors: impl IntoIterator<Item = (String, Tensor)>) -> Result<Model> {
        Model::new(Weights::from_tensors("micro", tensors), Some(&self.config(serde_json::json!({}))), &ModelOptions::default())
    }

    /// Holds that a model is this one.
    pub fn same(&self, model: &Model, what: &str) {
        assert_eq!(logits(model), self.logits, "{what}");
    }

    pub fn differs(&self, model: &Model) {
        assert!(rel_err(&logits(model), &self.logits) > 1e-2);
    }
}

/// The same keys with half the values.
pub fn halved(tensors: &[(String, Tensor)]) -> Vec<(String, Tensor)> {
    let half = |tensor: &Tensor| match tensor.dtype() {
        DType::I64 => tensor.clone(),
        _ => Tensor::from_f32(tensor.shape().clone(), tensor.to_f32().iter().map(|v| v * 0.5).collect()).unwrap(),
    };
    tensors.iter().map(|(key, tensor)| (key.clone(), half(tensor))).collect()
}

pub fn logits(model: &Model) -> Vec<f32> {
    let options = BuildOptions { batch: 1, size: [64, 64], top_k: None, class_activation: false };
    let graph = model.graph(&options).unwrap().select(&["logits"]).unwrap();
    let mut session = block_on(Session::new(&graph, &Device::Cpu)).unwrap();
    let input = (0..64 * 64 * 3).map(|i| (i * 31 % 97) as f32 / 50.0 - 1.0).collect();
    block_on(session.run(&Tensor::from_f32([1, 64, 64, 3], input).unwrap())).unwrap()[0].to_f32().into_owned()
}
