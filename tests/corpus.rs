//! The corpus of the fuzz targets, replayed: no input may panic, or take memory or time out of proportion.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../fuzz/targets.rs"]
mod targets;

use std::{fs, path::Path, time::Instant};

/// Replays the inputs of one target; each must take no longer than a few seconds, also on a busy machine.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let start = Instant::now();
        run(&bytes);
        let seconds = start.elapsed().as_secs_f64();
        assert!(seconds < 20.0, "{}: {seconds:.1} s", path.display());
        count += 1;
    }
    assert!(count > 0, "no corpus in {}", folder.display());
}

#[test]
fn safetensors() {
    replay("safetensors", targets::checkpoint);
}

#[test]
fn torch() {
    replay("torch", targets::checkpoint);
}

#[test]
fn config() {
    replay("config", targets::config);
}

#[test]
fn incoming() {
    replay("incoming", targets::incoming);
}

#[test]
fn jpeg() {
    replay("jpeg", targets::image);
}

#[test]
fn image() {
    replay("image", targets::image);
}

#[test]
fn the_corpus_stays_small() {
    fn size(path: &Path) -> u64 {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries.map(|path| if path.is_dir() { size(&path) } else { fs::metadata(&path).unwrap().len() }).sum()
    }
    let bytes = size(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus"));
    assert!(bytes < 2 << 20, "{bytes} bytes");
}
