//! `webmamba segment`: class maps as files and as lines.

use std::fs;

use serde_json::json;
use webmamba::RgbImage;

use super::{Sandbox, image, webmamba, write};

/// A dense model with its config beside it.
fn dense() -> (Sandbox, String) {
    let sandbox = Sandbox::new("upernet_micro");
    let mut config = sandbox.manifest.config["backbone"].clone();
    config["model_type"] = "mambavision".into();
    config["label_names"] = json!(["wall", "sky", "tree", "road", "car", "cat"]);
    fs::write(sandbox.path("config.json"), config.to_string()).unwrap();
    write(&sandbox.path("model.safetensors"), sandbox.manifest.weights());
    let model = sandbox.arg("model.safetensors");
    (sandbox, model)
}

#[test]
fn maps_are_written_and_shares_told() {
    let (sandbox, model) = dense();
    let out = sandbox.arg("maps");
    let photo = image("tiny_61x40.png");
    let call = ["segment", &photo, &photo, "--model", &model, "--size", "64", "--out", &out, "--device", "cpu", "--json"];
    let lines = webmamba(&call).expect(0).says(&["auxiliary_head"]).json();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["width"], &lines[0]["height"], &lines[0]["device"]), (&json!(61), &json!(40), &json!("cpu")));
    let classes = lines[0]["classes"].as_array().unwrap();
    let shares: Vec<f64> = classes.iter().map(|class| class["share"].as_f64().unwrap()).collect();
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-4 && shares.is_sorted_by(|a, b| a >= b), "{shares:?}");
    let open = |name: &str| RgbImage::open(sandbox.path("maps").join(name)).unwrap();
    let (map, colours, overlay) = (open("tiny_61x40_classes.png"), open("tiny_61x40_colors.png"), open("tiny_61x40_overlay.png"));
    assert_eq!((map.width(), map.height(), colours.width(), overlay.height()), (61, 40, 61, 40));
    let most = classes[0]["index"].as_u64().unwrap() as u8;
    let counted = map.pixels().iter().step_by(3).filter(|class| **class == most).count();
    assert!((counted as f64 / (61.0 * 40.0) - shares[0]).abs() < 1e-5);
    assert!(map.pixels().iter().all(|class| *class < 6));
    // The second image of the name has a number.
    assert!(sandbox.path("maps/tiny_61x40-2_overlay.png").is_file());
    assert!(lines[1]["files"]["classes"].as_str().unwrap().ends_with("tiny_61x40-2_classes.png"));
}

#[test]
fn without_a_folder_only_shares_are_told() {
    let (_sandbox, model) = dense();
    let output = webmamba(&["segment", &image("tiny_61x40.png"), "--model", &model, "--size", "64", "--device", "cpu"]).expect(0);
    assert!(
        output.stdout.contains(" %  ")
            && ["wall", "sky", "tree", "road", "car", "cat"].iter().any(|name| output.stdout.contains(name))
    );
}

#[test]
fn what_cannot_be_segmented_is_an_error() {
    let (sandbox, model) = dense();
    fs::write(sandbox.path("no.png"), "no picture").unwrap();
    let (bad, good) = (sandbox.arg("no.png"), image("tiny_61x40.png"));
    let call = ["segment", &bad, &good, "--model", &model, "--size", "64", "--device", "cpu", "--json"];
    let output = webmamba(&call).expect(1).says(&["1 of 2 images failed"]);
    assert_eq!((output.json()[0]["kind"].as_str(), output.json()[1]["width"].as_u64()), (Some("invalid-image"), Some(61)));
    webmamba(&["segment", &good, "--model", "mamba_vision_nano", "--device", "cpu"])
        .expect(2)
        .says(&["tells no classes of pixels"]);
    webmamba(&["classify", &good, "--model", &model, "--device", "cpu"]).expect(2).says(&["webmamba segment"]);
}
