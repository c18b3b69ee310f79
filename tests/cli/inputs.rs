//! Names, links and pipes as they lie about in people's folders.
#![cfg(unix)]

use std::{
    ffi::{CString, OsStr},
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    thread,
};

use serde_json::{Value, json};

use super::{Output, Sandbox, image, webmamba};

/// A micro model, and a folder `photos` for pictures.
fn sandbox() -> (Sandbox, String) {
    let sandbox = Sandbox::new("mambavision_micro");
    let model = sandbox.hugging_face(json!({}));
    fs::create_dir(sandbox.path("photos")).unwrap();
    (sandbox, model)
}

fn classify(model: &str, images: &[&str]) -> Output {
    webmamba(&[&["classify", "--device", "cpu", "--json", "--model", model], images].concat())
}

fn photo(to: &Path) {
    fs::copy(image("tiny_61x40.png"), to).unwrap();
}

fn names(output: &Output) -> Vec<String> {
    let name = |line: Value| line["image"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    output.json().into_iter().map(name).collect()
}

pub(super) fn pipe(path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path ends in 0 and lives until the call returns.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

#[test]
fn names_need_not_be_utf8() {
    let (sandbox, model) = sandbox();
    photo(&sandbox.path("photos").join(OsStr::from_bytes(b"caf\xe9.png")));
    photo(&sandbox.path("photos/ok.png"));
    for argument in ["photos/*.png", "photos/???*.png", "phot*/caf?.png", "photos"] {
        let output = classify(&model, &[&sandbox.arg(argument)]).expect(0);
        assert_eq!(names(&output)[0], "caf\u{fffd}.png", "{argument}");
    }
}

#[test]
fn links_in_circles_end_and_each_image_counts_once() {
    let (sandbox, model) = sandbox();
    fs::create_dir(sandbox.path("photos/sub")).unwrap();
    photo(&sandbox.path("photos/sub/x.png"));
    photo(&sandbox.path("outside.png"));
    for (link, to) in
        [("photos/a", "."), ("photos/b", "."), ("photos/sub/up", ".."), ("photos/sub/top", "../.."), ("photos/s", "s")]
    {
        symlink(to, sandbox.path(link)).unwrap();
    }
    for argument in ["photos/**/*.png", "photos/**", "photos", "p*/**/x.*", "**/photos/**/x.png"] {
        let argument = if argument.starts_with("**") { format!("{}/{argument}", sandbox.arg("")) } else { sandbox.arg(argument) };
        assert_eq!(names(&classify(&model, &[&argument]).expect(0)), ["x.png"], "{argument}");
    }
}

#[test]
fn links_to_folders_elsewhere_are_followed_once() {
    let (sandbox, model) = sandbox();
    fs::create_dir(sandbox.path("elsewhere")).unwrap();
    photo(&sandbox.path("elsewhere/x.png"));
    symlink("../elsewhere", sandbox.path("photos/one")).unwrap();
    symlink("../elsewhere", sandbox.path("photos/two")).unwrap();
    for argument in ["photos", "photos/**/*.png"] {
        assert_eq!(names(&classify(&model, &[&sandbox.arg(argument)]).expect(0)), ["x.png"], "{argument}");
    }
}

#[test]
fn pipes_that_lie_about_are_passed_over() {
    let (sandbox, model) = sandbox();
    photo(&sandbox.path("photos/ok.png"));
    pipe(&sandbox.path("photos/pipe.png"));
    for argument in ["photos", "photos/*.png", "photos/**/*.png"] {
        let output = classify(&model, &[&sandbox.arg(argument)]).expect(0).says(&["pipe.png is neither a file nor a folder"]);
        assert_eq!(names(&output), ["ok.png"], "{argument}");
    }
}

#[test]
fn a_pipe_that_is_named_is_read() {
    let (sandbox, model) = sandbox();
    let path = sandbox.path("pipe");
    pipe(&path);
    let writer = thread::spawn(move || fs::write(path, fs::read(image("tiny_61x40.png")).unwrap()).unwrap());
    assert_eq!(names(&classify(&model, &[&sandbox.arg("pipe")]).expect(0)), ["pipe"]);
    writer.join().unwrap();
}

#[test]
fn links_to_nothing_are_named() {
    let (sandbox, model) = sandbox();
    photo(&sandbox.path("photos/ok.png"));
    symlink("gone.png", sandbox.path("photos/link.png")).unwrap();
    symlink("self.png", sandbox.path("photos/self.png")).unwrap();
    for argument in ["photos", "photos/*"] {
        let output =
            classify(&model, &[&sandbox.arg(argument)]).expect(1).says(&["link.png", "self.png", "2 of 3 images failed"]);
        assert_eq!(names(&output), ["link.png", "ok.png", "self.png"], "{argument}");
    }
}

#[test]
fn pictures_of_other_formats_are_named_and_counted() {
    let (sandbox, model) = sandbox();
    photo(&sandbox.path("photos/IMG_0002.png"));
    fs::write(sandbox.path("photos/IMG_0001.HEIC"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
    fs::write(sandbox.path("photos/notes.txt"), "no picture").unwrap();
    for argument in ["photos", "photos/*.[HhPp]*", "photos/**/IMG*"] {
        let output =
            classify(&model, &[&sandbox.arg(argument)]).expect(1).says(&["IMG_0001.HEIC", "HEIC", "1 of 2 images failed"]);
        let lines = output.json();
        assert!(lines[0]["error"].as_str().unwrap().contains("HEIC") && lines[1]["predictions"].is_array(), "{argument}");
    }
}

#[test]
fn what_was_repaired_is_said() {
    let (_sandbox, model) = sandbox();
    let damaged = |name: &str| format!("{}/tests/fixtures/damaged/{name}", env!("CARGO_MANIFEST_DIR"));
    let files = ["restart_swap.jpg", "no_end.png", "sound.png"].map(damaged);
    let output = classify(&model, &files.each_ref().map(String::as_str)).expect(0);
    let lines = output.json();
    assert!(lines[0]["note"].as_str().unwrap().contains("restart markers"), "{}", lines[0]);
    assert!(lines[1]["note"].as_str().unwrap().contains("checksums"), "{}", lines[1]);
    assert!(lines[2].get("note").is_none());
    assert_eq!(lines[1]["predictions"], lines[2]["predictions"]);
    output.says(&["restart_swap.jpg: its data", "no_end.png: its checksums"]);
}

#[test]
fn patterns_that_match_nothing_or_are_none_are_named() {
    let (sandbox, model) = sandbox();
    photo(&sandbox.path("photos/.hidden.png"));
    let [none, hidden, broken] = ["photos/*.webp", "photos/*", "photos/[z-"].map(|name| sandbox.arg(name));
    let output = classify(&model, &[&none, &hidden, &broken]).expect(1);
    output.says(&["no image matches this pattern", "valid pattern", "3 of 3 images failed"]);
    assert_eq!(names(&classify(&model, &[&sandbox.arg("photos/.h*")]).expect(0)), [".hidden.png"]);
}
