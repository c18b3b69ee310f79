//! What stands beside weights: sizes, preprocessing and names, in every form and encoding.

use std::fs;

use super::{common::manifest::Manifest, micro::Micro};
use serde_json::{Value, json};
use webmamba::{
    Model, ModelOptions, Result, Weights,
    low_level::{image::CropMode, models::Documents, weights::write_safetensors},
};

/// The micro model with a changed config and a preprocessor's config.
fn model(changes: Value, preprocessor: Option<Value>) -> Result<Model> {
    let micro = Micro::new();
    let documents = Documents { config: Some(micro.config(changes)), preprocessor: preprocessor.map(|text| text.to_string()) };
    Model::of(Weights::from_tensors("micro", micro.tensors()), &documents, &ModelOptions::default())
}

/// Without what the fixture's config says of preprocessing.
fn bare(mut more: Value) -> Value {
    for key in ["resolution", "mean", "std", "crop_pct", "crop_mode", "interpolation"] {
        if more.get(key).is_none() {
            more[key] = Value::Null;
        }
    }
    more
}

#[test]
fn the_input_size_has_many_names_and_forms() {
    for key in ["resolution", "input_resolution", "image_size", "input_size", "img_size"] {
        for value in
            [json!(96), json!([96, 96]), json!([3, 96, 96]), json!([96, 96, 3]), json!("96"), json!({"height": 96, "width": 96})]
        {
            let model = model(bare(json!({key: value})), None).unwrap();
            assert_eq!(model.preprocess.size, [96, 96], "{key}: {value}");
        }
    }
    let oblong = model(bare(json!({"image_size": [96, 128]})), None).unwrap();
    assert_eq!(oblong.preprocess.size, [96, 128]);
    for value in [json!("large"), json!([1, 2, 3, 4, 5]), json!({"width": 3}), json!(9.5)] {
        let error = model(bare(json!({"image_size": value})), None).unwrap_err().to_string();
        assert!(error.contains("image_size"), "{error}");
    }
}

#[test]
fn what_a_config_leaves_open_is_told() {
    let model = model(bare(json!({})), None).unwrap();
    assert_eq!(model.preprocess.size, [224, 224]);
    let told = model.assumptions.join("; ");
    assert!(told.contains("224 x 224") && told.contains("mean") && told.contains("mambavision"), "{told}");
    let full = json!({"resolution": 64, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "crop_pct": 1.0});
    assert_eq!(super::configs::model(full, None).unwrap().assumptions, Vec::<String>::new());
}

#[test]
fn the_form_of_timm_is_understood() {
    let pretrained = json!({"input_size": [3, 96, 96], "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "crop_pct": 0.9,
        "crop_mode": "squash", "interpolation": "bicubic", "license": "mit"});
    for changes in [
        json!({"pretrained_cfg": pretrained, "model_type": null, "architecture": "mambavision_tiny"}),
        json!({"default_cfg": pretrained}),
        pretrained.clone(),
    ] {
        let model = model(bare(changes.clone()), None).unwrap();
        let p = &model.preprocess;
        assert_eq!((p.size, p.mean, p.std, p.crop_pct), ([96, 96], [0.5; 3], [0.25; 3], 0.9), "{changes}");
        assert!(
            p.crop_mode == CropMode::Squash && model.licence == "mit" && model.assumptions.is_empty(),
            "{:?}",
            model.assumptions
        );
    }
    let bilinear = model(bare(json!({"pretrained_cfg": {"interpolation": "bilinear"}})), None).unwrap();
    assert!(bilinear.assumptions.iter().any(|told| told.contains("bilinear")), "{:?}", bilinear.assumptions);
}

#[test]
fn preprocessors_of_hugging_face_are_understood() {
    let half = json!({"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25], "resample": 3});
    let with = |more: Value| {
        let mut all = half.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        model(bare(json!({})), Some(all)).unwrap().preprocess
    };
    let p = with(json!({"size": {"height": 96, "width": 128}}));
    assert_eq!((p.size, p.crop_mode, p.crop_pct, p.mean, p.std), ([96, 128], CropMode::Center, 1.0, [0.5; 3], [0.25; 3]));
    let p = with(json!({"size": {"height": 96, "width": 128}, "do_center_crop": false}));
    assert_eq!((p.size, p.crop_mode), ([96, 128], CropMode::Squash));
    // What is only concluded gives way to what the config says.
    let p = model(bare(json!({"crop_mode": "border", "crop_pct": 0.9})), Some(json!({"size": {"height": 96, "width": 96}})));
    let p = p.unwrap().preprocess;
    assert_eq!((p.size, p.crop_mode, p.crop_pct), ([96, 96], CropMode::Border, 0.9));
    for size in [json!({"shortest_edge": 128}), json!(128)] {
        let p = with(json!({"size": size, "crop_size": {"height": 96, "width": 96}, "do_center_crop": true}));
        assert_eq!((p.size, p.crop_mode, p.crop_pct), ([96, 96], CropMode::Center, 0.75), "{size}");
    }
    let p = with(json!({"size": 96, "crop_size": 64, "do_center_crop": false}));
    assert_eq!((p.size, p.crop_mode), ([96, 96], CropMode::Squash));
    let p = with(json!({"size": {"shortest_edge": 96}, "crop_pct": 0.875}));
    assert_eq!((p.size, p.crop_mode, p.crop_pct), ([96, 96], CropMode::Center, 0.875));
    assert_eq!(with(json!({"do_normalize": false})).std, [1.0; 3]);
    let p = with(json!({"do_rescale": false, "image_mean": [127.5, 127.5, 127.5], "image_std": [51.0, 51.0, 51.0]}));
    assert!((p.mean[0] - 0.5).abs() < 1e-6 && (p.std[0] - 0.2).abs() < 1e-6, "{p:?}");
    assert!((with(json!({"rescale_factor": 2.0 / 255.0})).mean[0] - 0.25).abs() < 1e-6);
    // Sizes are rounded down: the crop must lead back to the very edge.
    for (edge, crop) in [(137, 120), (232, 224), (248, 224), (72, 64), (1000, 999)] {
        let p = with(json!({"size": {"shortest_edge": edge}, "crop_size": crop}));
        assert_eq!((p.size[0] as f64 / p.crop_pct).floor() as usize, edge, "{edge} {crop}");
    }
    // It counts before the config, and a difference is told.
    let both = model(json!({"mean": [0.1, 0.1, 0.1]}), Some(half.clone())).unwrap();
    assert_eq!(both.preprocess.mean, [0.5; 3]);
    assert!(both.assumptions.iter().any(|told| told.contains("differ in the mean")), "{:?}", both.assumptions);
}

#[test]
fn a_config_counts_beside_any_weights_file_in_any_encoding() {
    let micro = Micro::new();
    let folder = tempfile::tempdir().unwrap();
    let text = micro.config(json!({"resolution": 96}));
    let wide = |unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<u8>>();
    let path = folder.path().join("best.safetensors");
    write_safetensors(&Weights::from_tensors("micro", micro.tensors()), &path, None, |_, _| {}).unwrap();
    for bytes in [
        text.clone().into_bytes(),
        ["\u{feff}", text.as_str()].concat().into_bytes(),
        wide(u16::to_le_bytes),
        [vec![0xff, 0xfe], wide(u16::to_le_bytes)].concat(),
        [vec![0xfe, 0xff], wide(u16::to_be_bytes)].concat(),
    ] {
        fs::write(folder.path().join("config.json"), bytes).unwrap();
        for path in [path.as_path(), folder.path()] {
            let model = Model::open(path, &ModelOptions::default()).unwrap();
            assert_eq!(model.preprocess.size, [96, 96]);
            micro.same(&model, "encoded");
        }
    }
    fs::write(folder.path().join("preprocessor_config.json"), r#"{"size": {"height": 64, "width": 64}}"#).unwrap();
    assert_eq!(Model::open(&path, &ModelOptions::default()).unwrap().preprocess.size, [64, 64]);
}

/// Sizes that a config does not have are those that the tensors show, and of the variant that has them.
#[test]
fn configs_without_sizes_are_completed() {
    let tensors = || Weights::from_tensors("t", Manifest::load("mambavision_t").weights());
    for config in [
        json!({"architecture": "mamba_vision_T", "num_classes": 1000}),
        json!({"model_type": "mambavision"}),
        json!({"architectures": ["MambaVisionModelForImageClassification"], "model_type": "timm_wrapper"}),
        json!({"num_classes": 1000, "image_size": 224}),
        json!({"model_type": "mambavision", "dim": 80, "in_dim": 32}),
    ] {
        let model = Model::new(tensors(), Some(&config.to_string()), &ModelOptions::default()).unwrap();
        assert_eq!((model.name.as_str(), model.preprocess.size), ("mamba_vision_t", [224, 224]), "{config}");
        assert!(model.assumptions.iter().any(|told| told.contains("mamba_vision_t")), "{config}: {:?}", model.assumptions);
    }
}
