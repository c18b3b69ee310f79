//! Where commands write: links, pipes, files with a mode of their own, `-`, and what is left behind.
#![cfg(unix)]

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{PermissionsExt, symlink},
        process::ExitStatusExt,
    },
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use super::{Sandbox, inputs::pipe, webmamba};

/// A checkpoint, and what convert makes of it.
fn sandbox() -> (Sandbox, String, Vec<u8>) {
    let sandbox = Sandbox::new("mambavision_micro");
    let model = sandbox.pth();
    webmamba(&["convert", &model, &sandbox.arg("plain.safetensors")]).expect(0);
    let bytes = fs::read(sandbox.path("plain.safetensors")).unwrap();
    (sandbox, model, bytes)
}

fn parts(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".part")).collect()
}

#[test]
fn links_are_followed_also_to_nothing() {
    let (sandbox, model, bytes) = sandbox();
    fs::create_dir(sandbox.path("store")).unwrap();
    fs::write(sandbox.path("store/old"), "old").unwrap();
    for (link, to) in [("a", "store/old"), ("b", "store/new"), ("c", "b2"), ("b2", "store/newer")] {
        symlink(to, sandbox.path(link)).unwrap();
    }
    for (link, target) in [("a", "store/old"), ("b", "store/new"), ("c", "store/newer")] {
        webmamba(&["convert", &model, &sandbox.arg(link)]).expect(0);
        assert!(fs::symlink_metadata(sandbox.path(link)).unwrap().is_symlink(), "{link}");
        assert_eq!(fs::read(sandbox.path(target)).unwrap(), bytes, "{link}");
    }
    assert!(parts(&sandbox.path("store")).is_empty() && parts(sandbox.folder.path()).is_empty());
}

#[test]
fn the_mode_of_a_file_is_kept() {
    let (sandbox, model, bytes) = sandbox();
    fs::write(sandbox.path("private"), "old").unwrap();
    fs::set_permissions(sandbox.path("private"), Permissions::from_mode(0o640)).unwrap();
    webmamba(&["convert", &model, &sandbox.arg("private")]).expect(0);
    let mode = fs::metadata(sandbox.path("private")).unwrap().permissions().mode();
    assert_eq!((mode & 0o777, fs::read(sandbox.path("private")).unwrap() == bytes), (0o640, true));
}

#[test]
fn pipes_are_written_into() {
    let (sandbox, model, bytes) = sandbox();
    let path = sandbox.path("pipe");
    pipe(&path);
    let reader = thread::spawn(move || fs::read(path).unwrap());
    webmamba(&["convert", &model, &sandbox.arg("pipe")]).expect(0);
    assert!(reader.join().unwrap() == bytes);
    assert!(!fs::metadata(sandbox.path("pipe")).unwrap().is_file());
}

#[test]
fn a_dash_is_standard_output() {
    let (sandbox, model, bytes) = sandbox();
    let output = Command::new(env!("CARGO_BIN_EXE_webmamba"))
        .args(["convert", &model, "-"])
        .current_dir(sandbox.folder.path())
        .output()
        .unwrap();
    assert!(output.status.success() && output.stdout == bytes);
    assert!(!sandbox.path("-").exists());
    let input = sandbox.input("b1_64");
    let hf = sandbox.hugging_face(json!({}));
    let output = Command::new(env!("CARGO_BIN_EXE_webmamba"))
        .args(["run", "--model", &hf, "--input", &input, "--output", "-", "--outputs", " logits, , pooled,", "--device", "cpu"])
        .output()
        .unwrap();
    fs::write(sandbox.path("run.safetensors"), output.stdout).unwrap();
    let mut names: Vec<_> = super::read(&sandbox.path("run.safetensors")).into_keys().collect();
    names.sort();
    assert_eq!(names, ["logits", "pooled"]);
}

#[test]
fn a_reader_that_hangs_up_is_no_error() {
    let (_sandbox, model, _) = sandbox();
    let mut child = Command::new(env!("CARGO_BIN_EXE_webmamba"))
        .args(["convert", &model, "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && !stderr.contains("error") && !stderr.contains("panicked"), "{stderr}");
}

#[test]
fn inputs_are_never_overwritten() {
    let (sandbox, model, bytes) = sandbox();
    let plain = sandbox.arg("plain.safetensors");
    symlink("plain.safetensors", sandbox.path("link")).unwrap();
    fs::hard_link(&plain, sandbox.path("hard")).unwrap();
    for out in [&plain, &sandbox.arg("link"), &sandbox.arg("hard")] {
        webmamba(&["convert", &plain, out]).expect(2).says(&["the checkpoint itself"]);
    }
    assert!(fs::read(&plain).unwrap() == bytes);

    let (input, hf) = (sandbox.input("b1_64"), sandbox.hugging_face(json!({})));
    symlink(&input, sandbox.path("input")).unwrap();
    let weights = format!("{hf}/model.safetensors");
    let before = [&input, &weights].map(|file| fs::read(file).unwrap());
    for out in [&input, &sandbox.arg("input"), &weights] {
        webmamba(&["run", "--model", &hf, "--input", &input, "--output", out, "--device", "cpu"])
            .expect(2)
            .says(&["is an input"]);
    }
    assert!([&input, &weights].map(|file| fs::read(file).unwrap()) == before);
    drop(model);
}

/// Half a gigabyte of zeros, sparse: long enough to be met in the middle.
fn large(sandbox: &Sandbox) -> String {
    const BYTES: u64 = 1 << 29;
    let header = json!({ "a": { "dtype": "F32", "shape": [BYTES / 4], "data_offsets": [0, BYTES] } }).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    let path = sandbox.path("large.safetensors");
    fs::write(&path, &bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(bytes.len() as u64 + BYTES).unwrap();
    sandbox.arg("large.safetensors")
}

#[test]
fn signals_leave_nothing_behind() {
    let sandbox = Sandbox::new("mambavision_micro");
    let model = large(&sandbox);
    fs::write(sandbox.path("out"), "old").unwrap();
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_webmamba"))
            .args(["convert", &model, &sandbox.arg("out"), "--dtype", "bf16"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        while parts(sandbox.folder.path()).is_empty() {
            assert!(start.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(), "too late to interrupt it");
            thread::sleep(Duration::from_millis(1));
        }
        // SAFETY: the process was started above and has not been waited for.
        assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
        assert_eq!(child.wait().unwrap().signal(), Some(signal));
        assert!(parts(sandbox.folder.path()).is_empty(), "signal {signal}");
        assert_eq!(fs::read(sandbox.path("out")).unwrap(), b"old");
    }
}

#[test]
fn folders_are_no_place_to_write() {
    let (sandbox, model, _) = sandbox();
    fs::create_dir(sandbox.path("folder")).unwrap();
    webmamba(&["convert", &model, &sandbox.arg("folder")]).expect(2).says(&["is a folder"]);
    webmamba(&["convert", &model, &sandbox.arg("none/x")]).expect(2).says(&["none/x"]);
}
