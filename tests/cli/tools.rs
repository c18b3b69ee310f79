//! `webmamba run`, `info`, `devices`, `convert` and `bench`, and the help.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{
    Sandbox,
    common::manifest::{Manifest, rel_err},
    read, webmamba,
};

/// Largest error over the standard deviation of what the official implementation gives.
const LOGITS: f64 = 1e-4;
const STAGES: f64 = 3e-4;

fn run(model: &str, input: &str, output: &str, more: &[&str]) {
    let arguments = ["run", "--model", model, "--input", input, "--output", output, "--device", "cpu"];
    webmamba(&[&arguments[..], more].concat()).expect(0);
}

fn error(got: &Path, name: &str, manifest: &Manifest, expected: &str) -> f64 {
    let (got, want) = (&read(got)[name], manifest.expected(expected));
    assert_eq!(got.shape(), want.shape());
    rel_err(&got.to_f32(), &want.to_f32())
}

#[test]
fn run_gives_what_the_official_implementation_gives() {
    for name in ["mambavision_micro", "mila_micro", "mambaout_micro", "vim_micro", "vmamba_micro_v0"] {
        let sandbox = Sandbox::new(name);
        let model = sandbox.hugging_face(json!({}));
        let out = sandbox.path("out.safetensors");
        for case in &sandbox.manifest.cases {
            run(&model, &sandbox.input(&case.id), &sandbox.arg("out.safetensors"), &[]);
            let mut keys: Vec<String> = read(&out).into_keys().collect();
            keys.sort();
            assert_eq!(keys, ["logits", "pooled"]);
            assert!(error(&out, "logits", &sandbox.manifest, &case.expect.logits) <= LOGITS, "{name} {}", case.id);
            assert!(
                error(&out, "pooled", &sandbox.manifest, case.expect.pooled.as_ref().unwrap()) <= LOGITS,
                "{name} {}",
                case.id
            );
        }
    }
}

#[test]
fn run_writes_the_outputs_that_were_asked_for() {
    let sandbox = Sandbox::new("mambavision_micro");
    let (model, input) = (sandbox.hugging_face(json!({})), sandbox.input("b1_64"));
    let out = sandbox.path("out.safetensors");
    run(&model, &input, &sandbox.arg("out.safetensors"), &["--outputs", "stem,stage0,stage3,stage3"]);
    let mut keys: Vec<String> = read(&out).into_keys().collect();
    keys.sort();
    assert_eq!(keys, ["stage0", "stage3", "stem"]);
    let expect = &sandbox.manifest.case("b1_64").expect;
    for (name, expected) in
        [("stem", expect.stem.as_ref().unwrap()), ("stage0", &expect.stages[0]), ("stage3", &expect.stages[3])]
    {
        assert!(error(&out, name, &sandbox.manifest, expected) <= STAGES, "{name}");
    }
}

#[test]
fn info_describes_checkpoints() {
    let sandbox = Sandbox::new("mambavision_micro");
    let names: serde_json::Map<String, Value> = (0..10).map(|i| (i.to_string(), json!(format!("thing {i}")))).collect();
    let model = sandbox.hugging_face(json!({ "id2label": names }));
    let info = webmamba(&["info", &model, "--json"]).expect(0).json()[0].clone();
    for (key, want) in [
        ("model", json!("mambavision")),
        ("family", json!("mambavision")),
        ("source", json!(model)),
        ("parameters", json!(sandbox.manifest.params)),
        ("size", json!([64, 64])),
        ("crop_pct", json!(1.0)),
        ("crop_mode", json!("center")),
        ("mean", json!([0.485, 0.456, 0.406])),
        ("classes", json!(10)),
        ("labels", json!(["thing 0", "thing 1", "thing 2", "thing 3", "thing 4"])),
        ("dtype", json!("f32")),
        ("assumptions", json!([])),
    ] {
        assert_eq!(info[key], want, "{key}");
    }
    let weights = info["weights_bytes"].as_u64().unwrap();
    assert!((4 * sandbox.manifest.params * 9 / 10..4 * sandbox.manifest.params * 12 / 10).contains(&weights), "{weights}");
    assert!(info["activation_bytes"].as_u64() > Some(0) && info["macs"].as_u64() > Some(0));
    assert!(info["licence"].as_str().unwrap().contains("NVIDIA"));
    let text = webmamba(&["info", &model]).expect(0).stdout;
    for part in ["677,402", "64 x 64", "thing 0", "f32", "licence"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[test]
fn info_tells_the_terms_that_a_config_states() {
    let sandbox = Sandbox::new("mambavision_micro");
    let model = sandbox.hugging_face(json!({ "licence": "ours, for everybody" }));
    assert_eq!(webmamba(&["info", &model, "--json"]).expect(0).json()[0]["licence"], "ours, for everybody");
    let built_in = webmamba(&["info", "mamba_vision_nano", "--json"]).expect(0).json()[0]["licence"].clone();
    assert!(built_in.as_str().unwrap().contains("Tiny-ImageNet"), "{built_in}");
}

#[test]
fn info_describes_published_variants_without_their_files() {
    for (name, model, params) in [
        ("mamba_vision_t", "mamba_vision_t", 31_794_248),
        ("mlla-t", "mila_t", 24_392_200),
        ("mambaout_femto", "mambaout_femto", 7_304_536),
        ("vim-t", "vim_t", 7_148_008),
        ("vmamba_t_s1l8", "vmamba_t_s1l8", 30_249_064),
    ] {
        let info = webmamba(&["info", name, "--json"]).expect(0).json()[0].clone();
        assert_eq!((&info["model"], &info["parameters"]), (&json!(model), &json!(params)));
        assert_eq!((&info["dtype"], &info["source"], &info["classes"]), (&Value::Null, &Value::Null, &json!(1000)));
        // Four bytes a number, folded norms apart, and some padding.
        let bytes = info["weights_bytes"].as_u64().unwrap() as f64 / f64::from(4 * params);
        assert!((0.98..1.1).contains(&bytes), "{name}: {bytes} of the parameters are on the device");
    }
}

#[test]
fn devices_lists_adapters_and_the_cpu() {
    let devices = webmamba(&["devices", "--json"]).expect(0).json()[0].clone();
    assert!(devices["cpu"]["threads"].as_u64() >= Some(1));
    for adapter in devices["adapters"].as_array().unwrap() {
        for key in ["name", "backend", "kind", "driver", "features", "max_storage_binding", "max_buffer"] {
            assert!(!adapter[key].is_null(), "{key} of {adapter}");
        }
    }
    assert!(webmamba(&["devices"]).expect(0).stdout.contains("CPU ("));
}

#[test]
fn weights_of_8_and_4_bits_are_converted_reported_and_used() {
    let sandbox = Sandbox::new("mambavision_micro");
    let (pth, input) = (sandbox.pth(), sandbox.input("b1_64"));
    let [a, b] = ["a.safetensors", "b.safetensors"].map(|name| sandbox.arg(name));
    run(&pth, &input, &a, &[]);
    let mut sizes = vec![fs::metadata(&pth).unwrap().len()];
    for (dtype, limit) in [("q8", 0.1), ("q4", 1.0)] {
        let folder = sandbox.path(dtype);
        fs::create_dir(&folder).unwrap();
        fs::copy(sandbox.path("config.json"), folder.join("config.json")).unwrap();
        let out = folder.join("model.safetensors");
        let output = webmamba(&["convert", &pth, out.to_str().unwrap(), "--dtype", dtype, "--report"]).expect(0);
        assert!(output.stdout.is_empty());
        output.says(&["levels.3.blocks.1.mlp.fc1.weight", "all others"]);
        sizes.push(fs::metadata(&out).unwrap().len());
        let folder = folder.to_str().unwrap();
        run(folder, &input, &b, &[]);
        let [one, other] = [&a, &b].map(|file| read(Path::new(file))["logits"].clone());
        let error = rel_err(&other.to_f32(), &one.to_f32());
        println!("{dtype}: {error:.1e}");
        assert!(error <= limit, "{dtype}: {error:.2e} of the std");
    }
    assert!(sizes[0] * 4 > sizes[1] * 10 && sizes[1] * 10 > sizes[2] * 12, "{sizes:?}");
    webmamba(&["convert", &pth, &b, "--report"]).expect(2).says(&["--dtype q8"]);
}

#[test]
fn converted_checkpoints_give_the_same_results() {
    let sandbox = Sandbox::new("mambavision_micro");
    let (pth, input) = (sandbox.pth(), sandbox.input("b1_64"));
    let [a, b] = ["a.safetensors", "b.safetensors"].map(|name| sandbox.arg(name));
    run(&pth, &input, &a, &[]);
    for (dtype, limit) in [("f32", 0.0), ("f16", 0.02), ("bf16", 0.2)] {
        let folder = sandbox.path(dtype);
        fs::create_dir(&folder).unwrap();
        let out = folder.join("model.safetensors");
        let output = webmamba(&["convert", &pth, out.to_str().unwrap(), "--dtype", dtype]).expect(0);
        assert!(output.stdout.is_empty() && output.stderr.contains("config.json was not copied"), "{}", output.stderr);
        fs::copy(sandbox.path("config.json"), folder.join("config.json")).unwrap();
        let folder = folder.to_str().unwrap();
        assert_eq!(webmamba(&["info", folder, "--json"]).expect(0).json()[0]["dtype"], dtype);
        run(folder, &input, &b, &[]);
        let [one, other] = [&a, &b].map(|file| read(Path::new(file))["logits"].clone());
        let error = rel_err(&other.to_f32(), &one.to_f32());
        println!("{dtype}: {error:.1e}");
        assert!(error <= limit, "{dtype}: {error:.2e} of the std");
    }
    webmamba(&["convert", &pth, &pth]).expect(2).says(&["is the checkpoint itself"]);
    webmamba(&["convert", &pth, &sandbox.arg("no/such/out.safetensors")]).expect(2).says(&["out.safetensors"]);
    webmamba(&["convert", &sandbox.arg("nosuch.pth"), &b]).expect(2).says(&["nosuch.pth"]);
}

#[test]
fn bench_needs_no_file_and_reports_what_it_promises() {
    let arguments = ["bench", "--synthetic", "--arch", "mamba_vision_t", "--iters", "1", "--device", "cpu", "--json"];
    let report = webmamba(&arguments).expect(0).json()[0].clone();
    let keys: Vec<&String> = report.as_object().unwrap().keys().collect();
    let promised = "model device adapter batch size frames dtype load_ms first_ms median_ms min_ms max_ms iters images_per_s \
                    gflops dispatches weights_bytes activation_bytes gemm_gflops";
    assert_eq!(keys, promised.split_whitespace().collect::<Vec<_>>());
    assert_eq!(report["size"], json!([224, 224]));
    for key in ["load_ms", "first_ms", "median_ms", "images_per_s", "gflops", "gemm_gflops"] {
        assert!(report[key].as_f64() > Some(0.0), "{key}: {}", report[key]);
    }
}

#[test]
fn bench_measures_checkpoints_and_says_where_time_goes() {
    let sandbox = Sandbox::new("mila_micro");
    let model = sandbox.hugging_face(json!({}));
    let arguments = ["bench", &model, "--batch", "3", "--size", "96x64", "--iters", "2", "--device", "cpu", "--profile"];
    let report = webmamba(&[&arguments[..], &["--json"]].concat()).expect(0).json()[0].clone();
    assert_eq!((&report["batch"], &report["size"], &report["iters"]), (&json!(3), &json!([96, 64]), &json!(2)));
    let profile = report["profile"].as_array().unwrap();
    let share: f64 = profile.iter().map(|line| line["share"].as_f64().unwrap()).sum();
    assert!((share - 1.0).abs() < 0.01, "{share}");
    let count: u64 = profile.iter().map(|line| line["count"].as_u64().unwrap()).sum();
    assert_eq!(Some(count), report["dispatches"].as_u64());
    assert!(profile.is_sorted_by(|a, b| a["ms"].as_f64() >= b["ms"].as_f64()));
    let text = webmamba(&arguments).expect(0).stdout;
    assert!(text.contains("3 images of 96 x 64") && text.contains("linear_attention") && text.contains(" %"), "{text}");
}

#[test]
fn help_and_version_are_there() {
    let help = webmamba(&["--help"]).expect(0).stdout;
    for name in ["classify", "run", "info", "devices", "convert", "bench", "Examples:"] {
        assert!(help.contains(name), "{name}");
        if name != "Examples:" {
            assert!(webmamba(&[name, "--help"]).expect(0).stdout.contains("Usage: webmamba"), "{name}");
        }
    }
    assert_eq!(webmamba(&["--version"]).expect(0).stdout.trim(), concat!("webmamba ", env!("CARGO_PKG_VERSION")));
}
