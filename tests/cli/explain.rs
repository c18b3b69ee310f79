//! `webmamba explain`.

use std::fs;

use serde_json::{Value, json};
use webmamba::RgbImage;

use super::{Sandbox, image, webmamba};

/// Explains a photograph: the report.
fn explain(model: &str, picture: &str, out: &str, more: &[&str]) -> Value {
    let arguments = [&["explain", picture, "--model", model, "--out", out, "--device", "cpu", "--json"], more].concat();
    webmamba(&arguments).expect(0).json().remove(0)
}

fn values(map: &Value) -> Vec<f64> {
    map["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

#[test]
fn every_family_has_its_maps() {
    for (name, kinds, layer, size, frames) in [
        ("mambavision_micro", &["cam", "delta", "forget", "contribution"][..], "levels.3.blocks.", [2, 2], 1),
        ("mila_micro", &["cam"], "", [2, 2], 1),
        ("mambaout_micro", &[], "", [0, 0], 1),
        ("vim_micro", &["delta", "forget", "contribution"], "layers.2.mixer", [4, 4], 1),
        ("vmamba_micro", &["cam", "delta", "forget", "contribution"], "layers.3.blocks.", [2, 2], 1),
        ("videomamba_micro", &["delta", "forget", "contribution"], "layers.2.mixer", [4, 4], 4),
    ] {
        let sandbox = Sandbox::new(name);
        let model = sandbox.hugging_face(json!({}));
        let out = sandbox.arg("maps/deeper");
        let photo = image("coffee.png");
        if kinds.is_empty() {
            let output = webmamba(&["explain", &photo, "--model", &model, "--out", &out, "--device", "cpu"]);
            output.expect(2).says(&["nothing to show"]);
            continue;
        }
        let report = explain(&model, &photo, &out, &[]);
        let maps = report["maps"].as_array().unwrap();
        let found: Vec<&str> = maps.iter().map(|map| map["kind"].as_str().unwrap()).collect();
        assert_eq!(found, kinds, "{name}");
        for map in maps {
            let values = values(map);
            assert_eq!((values.len(), &map["frames"]), (size[0] * size[1] * frames, &json!(frames)), "{name} {map}");
            assert_eq!(map["size"], json!(size), "{name}");
            match map["kind"].as_str().unwrap() {
                "cam" => assert!(map["layer"].is_null() && map["class"].is_u64()),
                kind => {
                    assert!(map["layer"].as_str().unwrap().starts_with(layer), "{map}");
                    let sum: f64 = values.iter().sum();
                    match kind {
                        "delta" => assert!(values.iter().all(|v| *v > 0.0)),
                        "forget" => assert!(values.iter().all(|v| (0.0..=1.0).contains(v))),
                        // The class token keeps a share for itself.
                        _ if name.starts_with('v') && name != "vmamba_micro" => assert!(sum.is_finite() && sum != 0.0),
                        _ => assert!((sum - 1.0).abs() < 1e-4, "{name}: {sum}"),
                    }
                }
            }
            let files = map["files"].as_array().unwrap();
            assert_eq!(files.len(), frames);
            for file in files {
                let drawn = RgbImage::open(sandbox.path("maps/deeper").join(file.as_str().unwrap())).unwrap();
                let picture = RgbImage::open(&photo).unwrap();
                assert!((drawn.width(), drawn.height()) == (600, 400) && drawn.pixels() != picture.pixels());
                // Left of the centre crop nothing is drawn.
                assert_eq!(drawn.pixels()[..3], picture.pixels()[..3], "{name}");
            }
        }
        let written: Value = serde_json::from_slice(&fs::read(sandbox.path("maps/deeper/coffee.json")).unwrap()).unwrap();
        assert_eq!(written, report);
    }
}

/// The mean of a class activation map is the logit that `run` gives.
#[test]
fn maps_are_those_of_the_network() {
    let sandbox = Sandbox::new("vmamba_micro");
    let model = sandbox.hugging_face(json!({}));
    let out = sandbox.arg("maps");
    let report = explain(&model, &image("coffee.png"), &out, &["--kind", "cam"]);
    let said = webmamba(&["classify", &image("coffee.png"), "--model", &model, "--device", "cpu", "--json"]).expect(0).json();
    assert_eq!(report["maps"][0]["class"], said[0]["predictions"][0]["index"]);
    assert_eq!(report["maps"].as_array().unwrap().len(), 1);
}

#[test]
fn layers_are_chosen_by_name() {
    let sandbox = Sandbox::new("vim_micro");
    let model = sandbox.hugging_face(json!({}));
    let out = sandbox.arg("maps");
    let listed = webmamba(&["explain", "-", "--model", &model, "--out", &out, "--layer", "?"]).expect(0).stdout;
    assert_eq!(listed.lines().collect::<Vec<_>>(), ["layers.0.mixer", "layers.1.mixer", "layers.2.mixer"]);
    let report = explain(&model, &image("chelsea.png"), &out, &["--kind", "delta", "--layer", "layers.0.mixer,layers.2.mixer"]);
    let maps = report["maps"].as_array().unwrap();
    assert_eq!(maps.iter().map(|map| map["layer"].as_str().unwrap()).collect::<Vec<_>>(), ["layers.0.mixer", "layers.2.mixer"]);
    assert_ne!(values(&maps[0]), values(&maps[1]));
    let photo = image("chelsea.png");
    let bad = |more: &[&str], says: &[&str]| {
        let arguments = [&["explain", &photo, "--model", &model, "--out", &out, "--device", "cpu"], more].concat();
        webmamba(&arguments).expect(2).says(says);
    };
    bad(&["--layer", "layers.9.mixer"], &["layers.9.mixer", "`layers.0.mixer`"]);
    bad(&["--kind", "attention"], &["attention", "cam, delta, forget, contribution"]);
    bad(&["--kind", "cam"], &["no class activation maps"]);
}

#[test]
fn one_picture_at_a_time() {
    let sandbox = Sandbox::new("vim_micro");
    let model = sandbox.hugging_face(json!({}));
    let out = sandbox.arg("maps");
    webmamba(&["explain", &image(""), "--model", &model, "--out", &out]).expect(2).says(&["one picture"]);
    fs::write(sandbox.path("file"), "").unwrap();
    let into = sandbox.arg("file/maps");
    webmamba(&["explain", &image("tiny_61x40.png"), "--model", &model, "--out", &into, "--device", "cpu"]).expect(2);
}
