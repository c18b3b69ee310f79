//! The command line as a script sees it: the real binary on real files, on the CPU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "cli/classify.rs"]
mod classify;
#[path = "cli/clips.rs"]
mod clips;
mod common;
#[path = "cli/costs.rs"]
mod costs;
#[path = "cli/errors.rs"]
mod errors;
#[path = "cli/eval.rs"]
mod eval;
#[path = "cli/examples.rs"]
mod examples;
#[path = "cli/explain.rs"]
mod explain;
#[path = "cli/families.rs"]
mod families;
#[path = "cli/inputs.rs"]
mod inputs;
#[path = "cli/measures.rs"]
mod measures;
#[path = "cli/models.rs"]
mod models;
#[path = "cli/outputs.rs"]
mod outputs;
#[path = "cli/segment.rs"]
mod segment;
#[path = "cli/tools.rs"]
mod tools;

use std::{
    collections::HashMap,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use common::{manifest::Manifest, pth_writer};
use serde_json::{Value, json};
use webmamba::{Tensor, Weights, low_level::weights::write_safetensors};

/// What a call left behind.
struct Output {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Output {
    /// Every line of standard output as JSON.
    fn json(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// Holds the exit code, and that errors look as they should.
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n{}{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked") && !self.stderr.contains("backtrace"), "{}", self.stderr);
        assert!(code == 0 || self.stderr.contains("error: "), "{}", self.stderr);
        self
    }

    /// Holds that standard error has all of these.
    fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "no `{part}` in: {}", self.stderr);
        }
        self
    }
}

/// Calls the binary with arguments divided by blanks, `input` on its standard input.
fn webmamba_with(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_webmamba"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that ends without reading closes the pipe: its own business.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Output {
        code: output.status.code().expect("an exit code"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn webmamba(arguments: &[&str]) -> Output {
    webmamba_with(arguments, &[])
}

/// A photograph below `tests/images`.
fn image(name: &str) -> String {
    format!("{}/tests/images/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A folder for one test with the checkpoints of a micro model.
struct Sandbox {
    folder: tempfile::TempDir,
    manifest: Manifest,
}

impl Sandbox {
    /// An empty folder, and the manifest of `mambavision_micro` or `mila_micro`.
    fn new(name: &str) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), manifest: Manifest::load(name) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The fixture's config with changes on top.
    fn config(&self, changes: Value) -> String {
        let mut config = self.manifest.config.clone();
        config["model_type"] = self.manifest.family.clone().into();
        for (key, value) in changes.as_object().unwrap() {
            config[key] = value.clone();
        }
        config.to_string()
    }

    /// A folder as on Hugging Face: config.json, and keys after `model.`.
    fn hugging_face(&self, changes: Value) -> String {
        self.hugging_face_of(changes, self.manifest.weights())
    }

    fn hugging_face_of(&self, changes: Value, weights: Vec<(String, Tensor)>) -> String {
        let folder = self.path("hf");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config.json"), self.config(changes)).unwrap();
        let weights = weights.into_iter().map(|(key, tensor)| (format!("model.{key}"), tensor));
        write(&folder.join("model.safetensors"), weights);
        folder.to_str().unwrap().to_owned()
    }

    /// A file of `torch.save` with a config beside it.
    fn pth(&self) -> String {
        fs::write(self.path("config.json"), self.config(json!({}))).unwrap();
        let path = self.path("model_best.pth.tar");
        pth_writer::write_pth(&path, Some("state_dict"), "module.", &self.manifest.weights());
        path.to_str().unwrap().to_owned()
    }

    /// The input of a case, for `run`.
    fn input(&self, case: &str) -> String {
        let path = self.path(&format!("{case}.safetensors"));
        write(&path, [("input".to_owned(), self.manifest.input(case))]);
        path.to_str().unwrap().to_owned()
    }
}

fn write(path: &Path, tensors: impl IntoIterator<Item = (String, Tensor)>) {
    write_safetensors(&Weights::from_tensors("test", tensors), path, None, |_, _| {}).unwrap();
}

fn read(path: &Path) -> HashMap<String, Tensor> {
    let weights = Weights::open(path).unwrap();
    weights.keys().map(|key| (key.to_owned(), weights.stored(key).unwrap())).collect()
}
