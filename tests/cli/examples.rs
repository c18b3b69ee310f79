//! The programs of `examples/` do what their first lines say.

use std::{fs, path::PathBuf, process::Command};

use serde_json::json;

use super::{Sandbox, image};

/// What an example prints.
fn example(name: &str, arguments: &[&str]) -> String {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_webmamba")).with_file_name("examples").join(name);
    assert!(program.exists(), "build the examples with `cargo build --profile checked --examples`");
    let output = Command::new(program).args(arguments).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn classify_knows_a_cat() {
    let output = example("classify", &[&image("chelsea.png")]);
    assert_eq!(output.lines().next().unwrap().split_once("%  ").unwrap().1, "cat");
}

#[test]
fn batch_folder_names_every_picture() {
    let folder = tempfile::tempdir().unwrap();
    // One more than a batch, and something that is no picture.
    for n in 0..9 {
        fs::copy(image("chelsea.png"), folder.path().join(format!("{n}.png"))).unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "no picture").unwrap();
    let output = example("batch_folder", &[folder.path().to_str().unwrap()]);
    assert_eq!(output.lines().filter(|line| line.ends_with(".png: cat")).count(), 9, "{output}");
    assert_eq!(output.lines().count(), 9);
}

#[test]
fn custom_labels_are_those_of_the_file() {
    let sandbox = Sandbox::new("mambavision_micro");
    let model = sandbox.hugging_face(json!({}));
    let names: Vec<String> = (0..10).map(|n| format!("thing {n}")).collect();
    fs::write(sandbox.path("labels.txt"), names.join("\n")).unwrap();
    let output = example("custom_labels", &[&model, &sandbox.arg("labels.txt"), &image("coffee.png")]);
    assert_eq!(output.lines().filter(|line| line.contains("%  thing ")).count(), 3, "{output}");
}

#[test]
fn features_tell_how_alike_pictures_are() {
    let alike = |a: &str, b: &str| {
        let output = example("features", &[&image(a), &image(b)]);
        output.trim().strip_prefix("cosine similarity ").unwrap().parse::<f32>().unwrap()
    };
    assert!((alike("chelsea.png", "chelsea.png") - 1.0).abs() < 1e-3);
    assert!(alike("chelsea.png", "coffee.png") < 0.9);
}

#[test]
fn own_device_runs_on_a_device_of_the_program() {
    assert_eq!(example("own_device", &[&image("chelsea.png")]), "cat\n");
}
