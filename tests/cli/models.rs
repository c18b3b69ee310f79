//! What can be named as a model, and what `info` says of whatever it is.

use std::{fs, process::Command};

use super::{Sandbox, webmamba, write};
use serde_json::{Value, json};
use webmamba::Tensor;

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::from_f32(shape, vec![0.0; shape.iter().product()]).unwrap()
}

#[test]
fn info_describes_checkpoints_of_other_models() {
    let sandbox = Sandbox::new("mila_micro");
    for (keys, likely) in [
        (["module.layer1.0.conv1.weight", "module.layer4.0.conv1.weight", "module.fc.weight"], json!("ResNet")),
        (["blocks.0.attn.qkv.weight", "patch_embed.proj.weight", "cls_token"], json!("a vision transformer (ViT, DeiT)")),
        (["encoder.a", "encoder.b", "encoder.c"], Value::Null),
    ] {
        let path = sandbox.path("other.safetensors");
        write(&path, keys.map(|key| (key.to_owned(), zeros(&[2, 3]))));
        let output = webmamba(&["info", path.to_str().unwrap(), "--json"]).expect(0);
        let facts = &output.json()[0];
        assert_eq!(
            (&facts["likely_family"], &facts["tensors"], &facts["parameters"]),
            (&likely, &json!(3), &json!(18)),
            "{facts}"
        );
        assert!(facts["container"] == "safetensors" && facts["family"].is_null() && facts["dtypes"]["f32"] == 3, "{facts}");
        let text = webmamba(&["info", path.to_str().unwrap()]).expect(0).stdout;
        assert!(text.contains("3 of f32 (3)") && text.contains("none that is run here"), "{text}");
    }
}

#[test]
fn models_of_the_hub_come_from_the_local_cache() {
    let sandbox = Sandbox::new("mila_micro");
    let home = sandbox.path("hf_home");
    let snapshot = home.join("hub/models--owner--name/snapshots/0123");
    fs::create_dir_all(&snapshot).unwrap();
    fs::write(snapshot.join("config.json"), sandbox.config(json!({}))).unwrap();
    write(&snapshot.join("model.safetensors"), sandbox.manifest.weights());
    let refs = home.join("hub/models--owner--name/refs");
    fs::create_dir_all(&refs).unwrap();
    fs::write(refs.join("main"), "0123").unwrap();
    let info = |name: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_webmamba"));
        command
            .args(["info", name, "--json"])
            .env("HF_HOME", &home)
            .env_remove("HF_HUB_CACHE")
            .env_remove("HUGGINGFACE_HUB_CACHE");
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let folder = home.join("hub/models--owner--name");
    for name in [
        "owner/name",
        "https://huggingface.co/owner/name",
        "huggingface.co/owner/name/tree/main",
        "hf://owner/name",
        folder.to_str().unwrap(),
    ] {
        let (code, stdout, stderr) = info(name);
        assert!(code == Some(0) && stdout.contains("\"family\":\"mila\""), "{name}: {stderr}");
    }
    let (code, _, stderr) = info("https://huggingface.co/owner/other/blob/v2/best.pth");
    assert!(code == Some(2) && stderr.contains("hf download owner/other best.pth --revision v2"), "{stderr}");
    let (code, _, stderr) = info("owner/other");
    assert!(code == Some(2) && stderr.contains("`hf download owner/other`"), "{stderr}");
}

#[test]
fn the_state_is_chosen_and_the_choice_is_told() {
    let sandbox = Sandbox::new("mila_micro");
    let weights = sandbox.manifest.weights();
    let both =
        ["raw", "ema"].into_iter().flat_map(|state| weights.iter().map(move |(key, t)| (format!("{state}.{key}"), t.clone())));
    let path = sandbox.path("both.safetensors");
    write(&path, both);
    fs::write(sandbox.path("config.json"), sandbox.config(json!({}))).unwrap();
    let path = path.to_str().unwrap();
    let text = webmamba(&["info", path]).expect(0).stdout;
    assert!(text.contains("the averaged weights under `ema` were taken, not those under `raw`"), "{text}");
    let text = webmamba(&["info", path, "--state", "raw"]).expect(0).stdout;
    assert!(!text.contains("averaged"), "{text}");
    webmamba(&["info", path, "--state", "nosuch"]).expect(2).says(&["`ema`", "`raw`"]);
    let out = sandbox.arg("one.safetensors");
    webmamba(&["convert", path, &out, "--state", "raw"]).expect(0);
    assert_eq!(super::read(&sandbox.path("one.safetensors")).len(), weights.len());
}
