//! What the user got wrong, and what files got wrong: exit code 2 and a message that helps.

use std::fs;

use serde_json::json;
use webmamba::Tensor;

use super::{Sandbox, image, webmamba, write};

#[test]
fn a_model_that_does_not_exist_is_explained() {
    let photo = image("coffee.png");
    webmamba(&["classify", &photo, "--model", "nosuch"]).expect(2).says(&["`nosuch`", ".safetensors"]);
    webmamba(&["classify", &photo, "--model", "mamba_vision_t"]).expect(2).says(&["not built in"]);
    webmamba(&["bench", "--synthetic"]).expect(2).says(&["`--arch NAME`", "mamba_vision_t"]);
    webmamba(&["info", "nosuch"]).expect(2).says(&["mila_b"]);
    webmamba(&["classify"]).expect(2).says(&["IMAGE"]);
    webmamba(&["classify", &photo, "--size", "0x224"]).expect(2).says(&["HxW"]);
    webmamba(&["classify", &photo, "--top-k", "0"]).expect(2);
    webmamba(&["frobnicate"]).expect(2);
}

#[test]
fn an_unknown_architecture_lists_the_known_ones() {
    let names = ["`nosuch`", "mamba_vision_t,", "mamba_vision_l3_512_21k", "mila_b"];
    webmamba(&["bench", "--synthetic", "--arch", "nosuch"]).expect(2).says(&names);
    let sandbox = Sandbox::new("mambavision_micro");
    let model = sandbox.hugging_face(json!({}));
    webmamba(&["info", &model, "--arch", "nosuch"]).expect(2).says(&names);
}

#[test]
fn an_unknown_adapter_lists_those_that_there_are() {
    let arguments = ["bench", "--synthetic", "--arch", "mamba_vision_t", "--adapter", "nosuch"];
    let there_are = webmamba(&["devices", "--json"]).expect(0).json()[0]["adapters"].clone();
    for more in [[].as_slice(), &["--device", "gpu"]] {
        let output = webmamba(&[&arguments, more].concat()).expect(2).says(&["`nosuch`"]);
        for adapter in there_are.as_array().unwrap() {
            assert!(output.stderr.contains(adapter["name"].as_str().unwrap()), "{}", output.stderr);
        }
    }
    webmamba(&[&arguments[..], &["--device", "cpu"]].concat()).expect(2).says(&["--adapter nosuch"]);
}

/// The micro models are no published variant: tensors alone do not tell what they are.
#[test]
fn a_bare_file_of_an_unpublished_size_needs_a_config() {
    let sandbox = Sandbox::new("mambavision_micro");
    let file = sandbox.path("model.safetensors");
    write(&file, sandbox.manifest.weights());
    let arg = sandbox.arg("model.safetensors");
    webmamba(&["info", &arg]).expect(2).says(&["cannot recognise", "config.json", "--arch", "mamba_vision_t", "mila_b"]);
    webmamba(&["info", &arg, "--arch", "mamba_vision_t"]).expect(2).says(&[
        "does not fit mamba_vision_t",
        "missing",
        "wrong shape",
    ]);
    fs::write(sandbox.path("config.json"), sandbox.config(json!({}))).unwrap();
    webmamba(&["info", &arg]).expect(0);
}

#[test]
fn a_model_of_another_family_is_named_as_such() {
    let sandbox = Sandbox::new("mambavision_micro");
    let model = sandbox.hugging_face(json!({ "model_type": "resnet" }));
    webmamba(&["info", &model]).expect(2).says(&["resnet", "mambavision", "mila"]);
    let bare = sandbox.path("resnet.safetensors");
    let weight = Tensor::from_f32([8, 3, 7, 7], vec![0.0; 8 * 3 * 49]).unwrap();
    write(&bare, [("conv1.weight".to_owned(), weight.clone()), ("layer1.0.conv1.weight".to_owned(), weight)]);
    let arguments = ["classify", &image("tiny_61x40.png"), "--model", &sandbox.arg("resnet.safetensors")];
    webmamba(&arguments).expect(2).says(&["cannot recognise", "layer1.0.conv1.weight"]);
}

#[test]
fn keys_that_do_not_fit_are_all_named() {
    let sandbox = Sandbox::new("mambavision_micro");
    let mut weights = sandbox.manifest.weights();
    weights.retain(|(key, _)| key != "head.bias" && key != "levels.2.blocks.0.norm1.weight");
    weights.push(("extra.weight".into(), Tensor::from_f32([1], vec![0.0]).unwrap()));
    let model = sandbox.hugging_face_of(json!({}), weights);
    webmamba(&["info", &model]).expect(2).says(&["head.bias", "levels.2.blocks.0.norm1.weight", "extra.weight"]);
}

#[test]
fn damaged_checkpoints_are_refused() {
    let sandbox = Sandbox::new("mambavision_micro");
    let model = sandbox.hugging_face(json!({}));
    let file = sandbox.path("hf/model.safetensors");
    let whole = fs::read(&file).unwrap();
    for (bytes, says) in [
        (&whole[..whole.len() / 2], "not a usable checkpoint"),
        (&whole[..100], "not a usable checkpoint"),
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>", "web page"),
    ] {
        fs::write(&file, bytes).unwrap();
        webmamba(&["classify", &image("coffee.png"), "--model", &model, "--device", "cpu"]).expect(2).says(&[says]);
    }
    fs::write(&file, &whole).unwrap();
    fs::write(sandbox.path("hf/config.json"), "{").unwrap();
    webmamba(&["info", &model]).expect(2).says(&["config.json"]);
}

/// Warned and named; here the whole output becomes NaN with them, which no image survives.
#[test]
fn weights_that_are_not_numbers_are_named() {
    let sandbox = Sandbox::new("mambavision_micro");
    let mut weights = sandbox.manifest.weights();
    for (key, tensor) in &mut weights {
        if key == "head.bias" {
            *tensor = Tensor::from_f32([10], vec![f32::NAN; 10]).unwrap();
        }
    }
    let model = sandbox.hugging_face_of(json!({}), weights);
    webmamba(&["info", &model]).expect(0).says(&["warning: ", "NaN", "head.bias"]);
    let output = webmamba(&["classify", &image("coffee.png"), "--model", &model, "--device", "cpu", "--json"]).expect(1);
    let output = output.says(&["warning: ", "head.bias", "coffee.png"]);
    assert!(output.json()[0]["error"].as_str().unwrap().contains("head.bias"));
}

#[test]
fn run_refuses_what_it_cannot_use() {
    let sandbox = Sandbox::new("mambavision_micro");
    let (model, input, out) = (sandbox.hugging_face(json!({})), sandbox.input("b1_64"), sandbox.arg("out.safetensors"));
    let run = |input: &str, more: &[&str]| {
        let arguments = ["run", "--model", &model, "--device", "cpu", "--output", &out, "--input", input];
        webmamba(&[&arguments[..], more].concat()).expect(2)
    };
    run(&input, &["--outputs", "logits,attention"])
        .says(&["`attention`", "stem, stage0, stage1, stage2, stage3, pooled, logits"]);
    run(&sandbox.arg("missing.safetensors"), &[]).says(&["missing.safetensors"]);
    let bad = |name: &str, key: &str, shape: &[usize]| {
        let values = vec![0.0; shape.iter().product()];
        write(&sandbox.path(name), [(key.to_owned(), Tensor::from_f32(shape.to_vec(), values).unwrap())]);
        sandbox.arg(name)
    };
    run(&bad("key.safetensors", "x", &[1, 3, 8, 8]), &[]).says(&["no tensor `input`", "`x`"]);
    run(&bad("shape.safetensors", "input", &[1, 8, 8, 3]), &[]).says(&["[B, 3, H, W]", "[1, 8, 8, 3]"]);
    fs::write(sandbox.path("text.safetensors"), "hello").unwrap();
    run(&sandbox.arg("text.safetensors"), &[]).says(&["not a usable safetensors file"]);
    assert!(!sandbox.path("out.safetensors").exists());
}
