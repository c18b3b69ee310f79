//! Whole checkpoints in every container and precision in which they are published, through the model to its logits.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "checkpoints/configs.rs"]
mod configs;
#[path = "checkpoints/dense.rs"]
mod dense;
#[path = "checkpoints/families.rs"]
mod families;
#[path = "checkpoints/folders.rs"]
mod folders;
#[path = "checkpoints/heads.rs"]
mod heads;
#[path = "checkpoints/micro.rs"]
mod micro;
#[path = "checkpoints/unified.rs"]
mod unified;
#[path = "checkpoints/wrapped.rs"]
mod wrapped;

use std::{collections::HashMap, fs, path::Path};

use common::{
    manifest::{Manifest, channels_last, rel_err},
    pth_writer::write_pth,
};
use pollster::block_on;
use webmamba::{
    Device, Error, Model, ModelOptions, Tensor, Weights,
    low_level::{
        graph::Kind,
        models::{BuildOptions, preset_names},
        quantise::{layers, small},
        session::Session,
        tensor::DType,
        weights::write_safetensors,
    },
};

/// Logits of a manifest's first case, from the checkpoint at `path`, on the CPU.
fn logits(manifest: &Manifest, path: &Path, arch: Option<&str>) -> Vec<f32> {
    let options = ModelOptions { arch: arch.map(str::to_owned), ..Default::default() };
    logits_of(manifest, &Model::open(path, &options).unwrap())
}

/// Logits of a manifest's first case on the CPU.
fn logits_of(manifest: &Manifest, model: &Model) -> Vec<f32> {
    let input = manifest.input(&manifest.cases[0].id);
    let &[batch, .., height, width] = input.shape().dims() else { panic!("{}", input.shape()) };
    let options = BuildOptions { batch, size: [height, width], top_k: None, class_activation: false };
    let graph = model.graph(&options).unwrap().select(&["logits"]).unwrap();
    let mut session = block_on(Session::new(&graph, &Device::Cpu)).unwrap();
    block_on(session.run(&channels_last(&input))).unwrap()[0].to_f32().into_owned()
}

fn expected(manifest: &Manifest) -> Vec<f32> {
    manifest.expected(&manifest.cases[0].expect.logits).to_f32().into_owned()
}

fn best(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap()
}

#[test]
fn pth_files_give_the_logits_of_safetensors() {
    let folder = tempfile::tempdir().unwrap();
    for (name, outer) in [("mambavision_t", "state_dict"), ("mila_t", "model")] {
        let manifest = Manifest::load(name);
        let pth = folder.path().join(format!("{name}.pth.tar"));
        write_pth(&pth, Some(outer), "module.", &manifest.weights());
        let safetensors = folder.path().join(format!("{name}.safetensors"));
        write_safetensors(&Weights::open(&pth).unwrap(), &safetensors, None, |_, _| {}).unwrap();
        // No config, no name: the variant is recognised by its shapes.
        let (a, b) = (logits(&manifest, &pth, None), logits(&manifest, &safetensors, None));
        assert_eq!(a, b, "{name}");
        assert!(rel_err(&a, &expected(&manifest)) < 1e-4, "{name}");
    }
}

#[test]
fn half_precision_checkpoints_agree_up_to_the_rounding_of_weights() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["mambavision_t", "mila_t"] {
        let manifest = Manifest::load(name);
        let (full, want) = (Weights::from_tensors(name, manifest.weights()), expected(&manifest));
        // Relative rounding of a weight is 2^-11 and 2^-8; errors add up like a random walk over the layers.
        for (dtype, limit) in [(DType::F16, 1e-2), (DType::BF16, 8e-2)] {
            let path = folder.path().join(format!("{name}.{dtype}.safetensors"));
            write_safetensors(&full, &path, Some(dtype), |_, _| {}).unwrap();
            assert_eq!(Weights::open(&path).unwrap().dtype(), Some(dtype));
            let got = logits(&manifest, &path, None);
            let error = rel_err(&got, &want);
            println!("{name} in {dtype}: logits off by {error:.1e} of their std");
            assert!(error < limit, "{name} in {dtype}: {error:.2e}");
            assert_eq!(best(&got), best(&want), "{name} in {dtype}");
        }
    }
}

/// Noise in the weights becomes noise in the logits, more in these networks of noise than in trained ones.
#[test]
fn quantised_checkpoints_agree_up_to_the_rounding_of_weights() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["mambavision_t", "mila_t"] {
        let manifest = Manifest::load(name);
        let full = folder.path().join(format!("{name}.safetensors"));
        write_safetensors(&Weights::from_tensors(name, manifest.weights()), &full, None, |_, _| {}).unwrap();
        let (model, want) = (Model::open(&full, &ModelOptions::default()).unwrap(), expected(&manifest));
        for (dtype, limit) in [(DType::Q8, 8e-2), (DType::Q4, 1.2)] {
            let path = folder.path().join(format!("{name}.{dtype}.safetensors"));
            let small = small(&model, &layers(&model, dtype).unwrap()).unwrap();
            write_safetensors(&small, &path, None, |_, _| {}).unwrap();
            assert_eq!(Weights::open(&path).unwrap().dtype(), Some(dtype));
            let got = logits(&manifest, &path, None);
            let (error, bytes) = (rel_err(&got, &want), fs::metadata(&path).unwrap().len());
            println!("{name} in {dtype}: {bytes} bytes, logits off by {error:.1e} of their std at most");
            assert!(error < limit, "{name} in {dtype}: {error:.2e}");
            if dtype == DType::Q8 {
                assert_eq!(best(&got), best(&want), "{name} in {dtype}");
            }
        }
    }
}

#[test]
fn variants_are_recognised_by_shape_and_ambiguity_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = Manifest::load("mambavision_t");
    let path = folder.path().join("t.safetensors");
    write_safetensors(&Weights::from_tensors("t", manifest.weights()), &path, None, |_, _| {}).unwrap();
    let model = Model::open(&path, &ModelOptions::default()).unwrap();
    assert_eq!((model.name.as_str(), model.preprocess.size, model.assumptions.len()), ("mamba_vision_t", [224, 224], 0));
    assert_eq!(model.parameter_count().unwrap(), manifest.params);
    assert_eq!(model.labels.get(281), Some("tabby"));
    // The tensors of B fit two releases.
    for (arch, assumed) in [("mamba_vision_b_21k", "mamba_vision_b"), ("mamba_vision_l2_512_21k", "mamba_vision_l2")] {
        let tensors = checkpoint_of(&Model::synthetic(arch, None).unwrap());
        let model = Model::new(Weights::from_tensors("w", tensors), None, &ModelOptions::default()).unwrap();
        assert_eq!(model.name, assumed);
        assert!(model.assumptions[0].contains(arch), "{:?}", model.assumptions);
    }
}

/// The tensors of a model under their keys, taken from its graph; derived constants stand for the keys they come from.
fn checkpoint_of(model: &Model) -> HashMap<String, Tensor> {
    let mut tensors = HashMap::new();
    for node in model.graph(&model.options(1)).unwrap().nodes() {
        let Kind::Constant(tensor) = &node.kind else { continue };
        if let Some(key) = node.name.strip_prefix("-exp(").and_then(|n| n.strip_suffix(')')) {
            tensors.insert(key.to_owned(), tensor.clone());
        } else if let Some(key) = node.name.strip_suffix(" + conv1d_z.weight") {
            let half = tensor.shape().dims()[0] / 2;
            let part = Tensor::from_f32([half, 1, 3], tensor.to_f32()[..half * 3].to_vec()).unwrap();
            tensors.insert(key.to_owned(), part.clone());
            tensors.insert(key.replace("conv1d_x", "conv1d_z"), part);
        } else {
            tensors.insert(node.name.clone(), tensor.clone());
        }
    }
    tensors
}

/// The rows of the head are the classes, whatever the named variant or the config says.
#[test]
fn a_head_of_any_size_fits_a_named_variant_with_a_config() {
    let mut tensors = Manifest::load("mambavision_t").weights();
    for (key, tensor) in &mut tensors {
        let rows = |n: usize| tensor.to_f32()[..n].to_vec();
        match key.as_str() {
            "head.weight" => *tensor = Tensor::from_f32([7, 640], rows(7 * 640)).unwrap(),
            "head.bias" => *tensor = Tensor::from_f32([7], rows(7)).unwrap(),
            _ => {}
        }
    }
    let config = r#"{"model_type": "mambavision", "num_classes": 1000, "mean": [0.5, 0.5, 0.5]}"#;
    let options = ModelOptions { arch: Some("mamba_vision_t".into()), ..Default::default() };
    let model = Model::new(Weights::from_tensors("t", tensors), Some(config), &options).unwrap();
    assert_eq!((model.architecture.num_classes(), model.preprocess.mean), (7, [0.5; 3]));
    assert!(model.assumptions.iter().any(|told| told.contains("1000") && told.contains('7')), "{:?}", model.assumptions);
}

#[test]
fn another_model_is_named_and_every_key_accounted_for() {
    let manifest = Manifest::load("mambavision_t");
    let weights = || Weights::from_tensors("t", manifest.weights());
    let arch = |name: &str| ModelOptions { arch: Some(name.into()), ..Default::default() };
    match Model::new(weights(), None, &arch("mila_t")) {
        Err(Error::WeightMismatch { report, .. }) => assert!(report.missing.len() > 100 && report.unread.len() > 100),
        other => panic!("{other:?}"),
    }
    match Model::new(weights(), None, &arch("mamba_vision_s")) {
        Err(Error::WeightMismatch { report, .. }) => {
            assert!(report.mismatched.iter().any(|line| line.contains("[96, 64, 3, 3]")), "{report}");
        }
        other => panic!("{other:?}"),
    }
    match Model::new(weights(), None, &arch("resnet50")) {
        Err(Error::UnknownArch { known, .. }) => assert_eq!(known, preset_names()),
        other => panic!("{other:?}"),
    }
    let mut tensors = manifest.weights();
    tensors.retain(|(key, _)| key != "levels.2.blocks.0.mixer.D");
    tensors.push(("levels.extra.weight".into(), Tensor::from_f32([1], vec![0.0]).unwrap()));
    match Model::new(Weights::from_tensors("t", tensors), None, &ModelOptions::default()) {
        Err(Error::WeightMismatch { report, .. }) => {
            assert!(report.missing.len() == 1 && report.missing[0].starts_with("levels.2.blocks.0.mixer.D"));
            assert!(report.unread.len() == 1 && report.unread[0].starts_with("levels.extra.weight"));
        }
        other => panic!("{other:?}"),
    }
    let vim = [("layers.0.mixer.A_log".to_owned(), Tensor::from_f32([1], vec![0.0]).unwrap())];
    let error = Model::new(Weights::from_tensors("vim", vim), None, &ModelOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Unrecognised { .. }) && error.to_string().contains("layers.0.mixer.A_log"), "{error}");
}

#[test]
fn configurations_that_contradict_themselves_are_refused() {
    let manifest = Manifest::load("mambavision_micro");
    for (key, value, said) in [
        ("num_heads", serde_json::json!([2, 2, 3, 4]), "num_heads[2] = 3"),
        ("window_size", serde_json::json!([8, 8, 0, 2]), "window_size[2] = 0"),
        ("dim", serde_json::json!(1_000_000_000u64), "beyond all reason"),
        ("depths", serde_json::json!([1, 1]), "no list of four whole numbers"),
        ("model_type", serde_json::json!("resnet"), "resnet"),
        ("std", serde_json::json!([0.2, 0.0, 0.2]), "std"),
        ("crop_pct", serde_json::json!(0.0), "crop_pct"),
        ("resolution", serde_json::json!("large"), "resolution"),
        ("id2label", serde_json::json!({"0": "a", "2": "b"}), "2"),
        ("temperature", serde_json::json!(-1.0), "temperature -1"),
        ("min_score", serde_json::json!(1.5), "min_score 1.5"),
        ("unknown_label", serde_json::json!("else"), "unknown_label `else`"),
        ("d_conv", serde_json::json!(4), "d_conv 4"),
    ] {
        let mut config = manifest.config.clone();
        config["model_type"] = "mambavision".into();
        config[key] = value;
        let weights = Weights::from_tensors("micro", manifest.weights());
        let error = Model::new(weights, Some(&config.to_string()), &ModelOptions::default()).unwrap_err().to_string();
        assert!(error.contains(said), "{key}: {error}");
    }
}

/// What a config says of `min_score` and of the class for everything else decides what is an answer; without either all are.
#[test]
fn a_config_says_when_a_model_is_not_sure() {
    let manifest = Manifest::load("mambavision_micro");
    let open = |more: serde_json::Value| {
        let mut config = manifest.config.clone();
        config["model_type"] = "mambavision".into();
        config["id2label"] =
            (0..10).map(|i| (i.to_string(), format!("thing {i}").into())).collect::<serde_json::Map<_, _>>().into();
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Model::new(Weights::from_tensors("micro", manifest.weights()), Some(&config.to_string()), &ModelOptions::default())
            .unwrap()
    };
    let plain = open(serde_json::json!({}));
    assert!(!plain.can_be_unsure() && plain.is_confident(3, 0.01));
    let careful = open(serde_json::json!({ "min_score": 0.25, "unknown_label": "thing 3" }));
    assert!(careful.can_be_unsure());
    assert!(careful.is_confident(2, 0.25) && !careful.is_confident(2, 0.24) && !careful.is_confident(3, 0.9));
}
