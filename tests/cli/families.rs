//! Every command on small models of every family.

use std::fs;

use serde_json::{Value, json};
use webmamba::Tensor;

use super::{Sandbox, common::manifest::rel_err, image, read, webmamba};

const MICRO: [&str; 9] = [
    "vim_micro",
    "vim_micro_s8",
    "vmamba_micro",
    "vmamba_micro_s2",
    "vmamba_micro_v0",
    "mambaout_micro",
    "mambaout_micro_rw",
    "videomamba_micro_image",
    "videomamba_micro",
];

/// A model with its folder.
fn models() -> impl Iterator<Item = (Sandbox, String)> {
    MICRO.into_iter().map(|name| {
        let sandbox = Sandbox::new(name);
        let model = sandbox.hugging_face(json!({}));
        (sandbox, model)
    })
}

/// The outputs of the first case.
fn run(sandbox: &Sandbox, model: &str, outputs: &str) -> std::collections::HashMap<String, Tensor> {
    let input = sandbox.input(&sandbox.manifest.cases[0].id);
    let out = sandbox.arg("out.safetensors");
    let arguments = ["run", "--model", model, "--input", &input, "--output", &out, "--outputs", outputs, "--device", "cpu"];
    webmamba(&arguments).expect(0);
    read(&sandbox.path("out.safetensors"))
}

#[test]
fn info_tells_sizes() {
    for (sandbox, model) in models() {
        let name = &sandbox.manifest.name;
        let info = &webmamba(&["info", &model, "--json"]).expect(0).json()[0];
        assert_eq!(
            (&info["family"], &info["parameters"]),
            (&json!(sandbox.manifest.family), &json!(sandbox.manifest.params)),
            "{name}"
        );
        assert_eq!((&info["classes"], &info["dtype"]), (&json!(10), &json!("f32")), "{name}");
        let frames = if name == "videomamba_micro" { 4 } else { 1 };
        assert_eq!(info["frames"], frames, "{name}");
        let text = webmamba(&["info", &model]).expect(0).stdout;
        assert!(text.contains(&sandbox.manifest.family) && (frames == 1) != text.contains("4 frames of"), "{text}");
    }
}

#[test]
fn run_gives_logits_features_and_stages() {
    for (sandbox, model) in models() {
        let case = sandbox.manifest.cases[0].expect.clone();
        let stages: Vec<String> = (0..case.stages.len()).map(|i| format!("stage{i}")).collect();
        let outputs = run(&sandbox, &model, &[&["logits".into(), "pooled".into()], &stages[..]].concat().join(","));
        let wanted = [("logits", &case.logits), ("pooled", case.pooled.as_ref().unwrap())];
        for (output, expected) in wanted.into_iter().chain(stages.iter().map(String::as_str).zip(&case.stages)) {
            let (got, want) = (&outputs[output], sandbox.manifest.expected(expected));
            assert_eq!(got.shape(), want.shape(), "{} {output}", sandbox.manifest.name);
            let error = rel_err(&got.to_f32(), &want.to_f32());
            assert!(error <= 1e-4, "{} {output}: {error:.1e}", sandbox.manifest.name);
        }
    }
}

#[test]
fn halves_of_the_weights_are_the_same_model() {
    for (sandbox, model) in models() {
        let full = run(&sandbox, &model, "logits").remove("logits").unwrap();
        for (dtype, limit) in [("f16", 2e-2), ("bf16", 2e-1)] {
            let out = sandbox.path("half");
            fs::create_dir_all(&out).unwrap();
            fs::copy(sandbox.path("hf/config.json"), out.join("config.json")).unwrap();
            let file = sandbox.arg("half/model.safetensors");
            webmamba(&["convert", &model, &file, "--dtype", dtype]).expect(0);
            let half = sandbox.arg("half");
            let info = &webmamba(&["info", &half, "--json"]).expect(0).json()[0];
            assert_eq!((&info["dtype"], &info["parameters"]), (&json!(dtype), &json!(sandbox.manifest.params)));
            let error = rel_err(&run(&sandbox, &half, "logits")["logits"].to_f32(), &full.to_f32());
            assert!(error > 0.0 && error < limit, "{} {dtype}: {error:.1e}", sandbox.manifest.name);
        }
    }
}

#[test]
fn classify_names_classes_and_eval_counts_them() {
    for (sandbox, model) in models() {
        let labels = sandbox.path("labels.txt");
        fs::write(&labels, (0..10).map(|i| format!("thing {i}\n")).collect::<String>()).unwrap();
        let labels = labels.to_str().unwrap();
        let photo = image("chelsea.png");
        let common = ["--model", &model, "--labels", labels, "--device", "cpu", "--json"];
        let said = webmamba(&[&["classify", &photo, "--top-k", "10"], &common[..]].concat()).expect(0).json().remove(0);
        let predictions = said["predictions"].as_array().unwrap();
        let total: f64 = predictions.iter().map(|p| p["score"].as_f64().unwrap()).sum();
        assert!(predictions.len() == 10 && (total - 1.0).abs() < 1e-5, "{said}");
        assert_eq!(predictions[0]["label"], format!("thing {}", predictions[0]["index"]));

        let class = sandbox.path("data").join(predictions[0]["label"].as_str().unwrap());
        fs::create_dir_all(&class).unwrap();
        fs::copy(&photo, class.join("cat.png")).unwrap();
        let data = sandbox.arg("data");
        let report: Value = webmamba(&[&["eval", "--data", &data], &common[..]].concat()).expect(0).json().remove(0);
        assert_eq!((&report["images"], &report["top1"]), (&json!(1), &json!(1.0)), "{}", sandbox.manifest.name);
    }
}

#[test]
fn bench_tells_where_the_time_goes() {
    for (sandbox, model) in models() {
        let arguments = ["bench", &model, "--device", "cpu", "--iters", "1", "--batch", "2", "--profile", "--json"];
        let report = &webmamba(&arguments).expect(0).json()[0];
        let operators: Vec<&str> =
            report["profile"].as_array().unwrap().iter().map(|line| line["op"].as_str().unwrap()).collect();
        let scans = !sandbox.manifest.name.starts_with("mambaout");
        assert_eq!(operators.contains(&"selective_scan"), scans, "{}: {operators:?}", sandbox.manifest.name);
        assert_eq!(report["batch"], 2);
    }
}
