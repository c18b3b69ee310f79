//! The family between linear attention and Mamba: its configs, what contradicts itself in them, and what its checkpoints share with MILA's.

use serde_json::{Value, json};
use webmamba::{Model, ModelOptions, Result, Weights, low_level::models::preset};

use super::{
    common::manifest::{Manifest, rel_err},
    expected, logits_of,
};

/// The baseline's fixture with changes to its config.
fn model(changes: &Value) -> Result<Model> {
    let manifest = Manifest::load("unified_baseline");
    let mut config = manifest.config.clone();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    Model::new(Weights::from_tensors("unified", manifest.weights()), Some(&config.to_string()), &ModelOptions::default())
}

#[test]
fn configs_that_contradict_themselves_are_refused() {
    for (changes, said) in [
        (json!({"forget_gate": true, "causal": false}), "`causal` must not be false"),
        (json!({"feature_map": "identity"}), "needs positive queries"),
        (json!({"expand": 2}), "expand must be 1, not 2"),
        (json!({"num_heads": [2]}), "the same 1 to 8 stages"),
        (json!({"num_heads": [3, 4]}), "does not split 16 channels"),
        (json!({"num_heads": [8, 4]}), "multiples of 4"),
        (json!({"block": "resnet"}), "none of `transformer`, `mila` and `mamba`"),
        (json!({"stem": "fold"}), "none of `patch` and `conv`"),
        (json!({"feature_map": "relu"}), "none of `identity` and `elu1`"),
        (json!({"position": ["cpe", "sine"]}), "position `sine`"),
        (json!({"shortcut": 1}), "`shortcut`"),
        (json!({"image_size": "wide", "position": ["ape"]}), "image_size"),
        (json!({"causal": true, "multi_head": false, "head_dim": 200}), "scans have 1 to 128"),
    ] {
        let error = model(&changes).unwrap_err().to_string();
        assert!(error.contains(said), "{changes}: {error}");
    }
}

#[test]
fn a_switch_that_the_weights_do_not_have_is_told_by_its_keys() {
    let error = model(&json!({"shortcut": true})).unwrap_err().to_string();
    assert!(error.contains("attn.D"), "{error}");
}

#[test]
fn positions_are_for_one_size() {
    let manifest = Manifest::load("unified_ape");
    let open = |size: Option<[usize; 2]>| {
        let weights = Weights::from_tensors("ape", manifest.weights());
        Model::new(weights, Some(&manifest.config.to_string()), &ModelOptions { size, ..ModelOptions::default() })
    };
    assert_eq!(open(None).unwrap().preprocess.size, [24, 32]);
    let error = open(Some([32, 32])).unwrap_err().to_string();
    assert!(error.contains("24 x 32, not 32 x 32"), "{error}");
}

#[test]
fn checkpoints_of_mila_are_of_this_family_where_a_config_says_so() {
    let manifest = Manifest::load("mila_micro");
    let open = |name: &str, changes: Value| {
        let mut config = manifest.config.clone();
        config["model_type"] = name.into();
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        let weights = Weights::from_tensors("mila", manifest.weights());
        Model::new(weights, Some(&config.to_string()), &ModelOptions::default()).unwrap()
    };
    let own = open("mila", json!({}));
    assert_eq!((own.architecture.family(), own.assumptions.len()), ("mila", 0), "{:?}", own.assumptions);
    let switches = json!({"block": "mila", "stem": "conv", "downsample": "conv", "position": ["cpe", "lepe", "rope"]});
    let unified = open("mamba_linear_attention", switches);
    assert_eq!(unified.architecture.family(), "unified");
    assert!(rel_err(&logits_of(&manifest, &unified), &expected(&manifest)) < 1e-4);
    // Without a config nobody asks for the family.
    let model = Model::new(Weights::from_tensors("mila_t", Manifest::load("mila_t").weights()), None, &ModelOptions::default());
    let model = model.unwrap();
    assert_eq!((model.name.as_str(), model.assumptions.len()), ("mila_t", 0), "{:?}", model.assumptions);
}

#[test]
fn what_tensors_do_not_tell_is_asked_for() {
    let weights = Weights::from_tensors("unified", Manifest::load("unified_single_head_mila").weights());
    let error = Model::new(weights, None, &ModelOptions::default()).unwrap_err().to_string();
    assert!(error.contains("unified") && error.contains("config.json"), "{error}");
}

/// Millions of parameters and billions of multiply-adds, as counted by hand from the definition.
#[test]
fn the_rows_of_the_paper_have_their_sizes() {
    for (name, parameters, macs) in [
        ("unified_t", "28.27", "4.44"),
        ("unified_t_input_gate", "28.54", "4.49"),
        ("unified_t_forget_gate", "28.68", "4.67"),
        ("unified_t_shortcut", "28.27", "4.44"),
        ("unified_t_no_normalization", "28.27", "4.44"),
        ("unified_t_single_head", "24.23", "3.84"),
        ("unified_t_block", "30.47", "4.80"),
        ("unified_t_ape", "29.70", "4.44"),
        ("unified_t_lepe", "28.31", "4.46"),
        ("unified_t_cpe", "28.35", "4.47"),
        ("unified_t_rope", "28.27", "4.44"),
        ("unified_t_mila", "24.39", "4.13"),
    ] {
        let weights = Weights::zeros(name);
        let options = ModelOptions { arch: Some(name.to_owned()), ..ModelOptions::default() };
        let model = Model::new(weights, None, &options).unwrap();
        assert_eq!(model.architecture, preset(name).unwrap().architecture);
        let counted = format!("{:.2}", model.parameter_count().unwrap() as f64 / 1e6);
        assert_eq!(counted, parameters, "{name}");
        let counted = format!("{:.2}", model.graph(&model.options(1)).unwrap().macs() as f64 / 1e9);
        assert_eq!(counted, macs, "{name}");
    }
}
