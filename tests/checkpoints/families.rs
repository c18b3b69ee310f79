//! Each family's own forms of checkpoints: configs, older names, and what tensors do not tell.

use super::{common::manifest::Manifest, logits_of};
use serde_json::{Value, json};
use webmamba::{
    Error, Model, ModelOptions, Result, Tensor, Weights,
    low_level::{image::CropMode, models::MambaOut, ops::Act},
};

type Tensors = Vec<(String, Tensor)>;

fn open(tensors: Tensors, config: Option<&Value>) -> Result<Model> {
    let config = config.map(Value::to_string);
    Model::new(Weights::from_tensors("checkpoint", tensors), config.as_deref(), &ModelOptions::default())
}

/// Holds the logits of the first case to be those of the official implementation, and the parameters to be as many.
fn holds(manifest: &Manifest, model: &Model) {
    let want = super::expected(manifest);
    assert!(super::rel_err(&logits_of(manifest, model), &want) < 1e-4, "{}", manifest.name);
    assert_eq!(model.parameter_count().unwrap(), manifest.params, "{}", manifest.name);
}

/// The tensors under other keys.
fn renamed(tensors: Tensors, name: impl Fn(&str) -> String) -> Tensors {
    tensors.into_iter().map(|(key, tensor)| (name(&key), tensor)).collect()
}

#[test]
fn mambaout_is_what_timm_writes_beside_it() {
    for (name, called, size, act) in [
        ("mambaout_femto", "mambaout_femto", 224, Act::Gelu),
        ("mambaout_micro", "mambaout", 224, Act::Gelu),
        ("mambaout_micro_rw", "mambaout", 160, Act::Silu),
    ] {
        let manifest = Manifest::load(name);
        let mut config = manifest.hf_config.clone().unwrap();
        let model = open(manifest.weights(), Some(&config)).unwrap();
        holds(&manifest, &model);
        assert_eq!((model.name.as_str(), model.preprocess.size), (called, [size, size]));
        assert_eq!(model.architecture.sizes::<MambaOut>().unwrap().act, act);
        assert!(model.licence == "apache-2.0" && model.preprocess.crop_pct == 1.0, "{}", model.licence);
        assert_eq!(model.assumptions, Vec::<String>::new(), "{name}");
        // Older exports say nothing of the sizes: the tensors show them.
        config.as_object_mut().unwrap().remove("model_args");
        holds(&manifest, &open(manifest.weights(), Some(&config)).unwrap());
    }
}

#[test]
fn mambaout_is_recognised_by_its_tensors() {
    let manifest = Manifest::load("mambaout_femto");
    let model = open(manifest.weights(), None).unwrap();
    holds(&manifest, &model);
    assert_eq!((model.name.as_str(), model.labels.get(281)), ("mambaout_femto", Some("tabby")));
    assert_eq!(model.assumptions, Vec::<String>::new());
    let prefixed = renamed(manifest.weights(), |key| format!("model.backbone.{key}"));
    assert_eq!(open(prefixed, None).unwrap().name, "mambaout_femto");
}

#[test]
fn mambaout_has_other_names_in_its_authors_files() {
    let manifest = Manifest::load("mambaout_micro");
    let name = |key: &str| {
        let parts: Vec<&str> = key.split('.').collect();
        match parts.as_slice() {
            ["stem", rest @ ..] => format!("downsample_layers.0.{}", rest.join(".")),
            ["stages", stage, "downsample", rest @ ..] => format!("downsample_layers.{stage}.{}", rest.join(".")),
            ["stages", stage, "blocks", rest @ ..] => format!("stages.{stage}.{}", rest.join(".")),
            ["head", "norm", end] => format!("norm.{end}"),
            ["head", "pre_logits", "fc", end] => format!("head.fc1.{end}"),
            ["head", "pre_logits", "norm", end] => format!("head.norm.{end}"),
            ["head", "fc", end] => format!("head.fc2.{end}"),
            _ => panic!("{key}"),
        }
    };
    let tensors = renamed(manifest.weights(), name);
    let model = open(tensors, None).unwrap();
    holds(&manifest, &model);
    assert_eq!((model.name.as_str(), model.assumptions.len()), ("mambaout", 0));
}

#[test]
fn the_activation_of_mambaout_is_not_guessed() {
    let manifest = Manifest::load("mambaout_micro_rw");
    match open(manifest.weights(), None) {
        Err(Error::Unrecognised { reason, .. }) => assert!(reason.contains("do not tell the activation"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let mut config = json!({"architecture": "mambaout_mine"});
    match open(manifest.weights(), Some(&config)) {
        Err(Error::Config { reason, .. }) => assert!(reason.contains("act_layer"), "{reason}"),
        other => panic!("{other:?}"),
    }
    config["model_args"] = json!({"act_layer": "mish"});
    assert!(open(manifest.weights(), Some(&config)).unwrap_err().to_string().contains("`mish`"));
    config["model_args"] = json!({"act_layer": "silu"});
    holds(&manifest, &open(manifest.weights(), Some(&config)).unwrap());
    // Published shapes tell it.
    let wide = Model::synthetic("mambaout_base_wide_rw", None).unwrap();
    assert_eq!(wide.architecture.sizes::<MambaOut>().unwrap().act, Act::Silu);
}

#[test]
fn sizes_of_mambaout_that_contradict_themselves_are_refused() {
    let manifest = Manifest::load("mambaout_micro");
    for (key, value, said) in [
        ("depths", json!([1, 1, 0, 1]), "depths"),
        ("dims", json!([15, 24, 40, 56]), "dims"),
        ("conv_ratio", json!(3.0), "cannot be convolved"),
        ("expansion_ratio", json!("wide"), "invalid type"),
        ("depths", json!([1, 1]), "length"),
    ] {
        let mut config = manifest.hf_config.clone().unwrap();
        config["model_args"][key] = value;
        let error = open(manifest.weights(), Some(&config)).unwrap_err().to_string();
        assert!(error.contains(said), "{key}: {error}");
    }
}

#[test]
fn the_384_pixels_of_mambaout_are_squashed() {
    let manifest = Manifest::load("mambaout_femto");
    let mut config = manifest.hf_config.clone().unwrap();
    config["pretrained_cfg"]["input_size"] = json!([3, 384, 384]);
    config["pretrained_cfg"]["crop_mode"] = json!("squash");
    let model = open(manifest.weights(), Some(&config)).unwrap();
    assert_eq!((model.preprocess.size, model.preprocess.crop_mode), ([384, 384], CropMode::Squash));
}
