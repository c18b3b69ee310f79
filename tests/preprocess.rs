//! Decoding and preprocessing against timm, Pillow and libjpeg-turbo, and label files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failing test should say where")]

#[path = "preprocess/clips.rs"]
mod clips;
#[path = "preprocess/damage.rs"]
mod damage;
#[path = "preprocess/decode.rs"]
mod decode;
#[path = "preprocess/labels.rs"]
mod labels;
#[path = "preprocess/transform.rs"]
mod transform;

use std::{fs, path::PathBuf};

use serde_json::Value;
use sha2::{Digest, Sha256};
use webmamba::RgbImage;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn photo(name: &str) -> RgbImage {
    RgbImage::open(path("images").join(name)).unwrap()
}

fn json(name: &str) -> Value {
    serde_json::from_slice(&fs::read(path("fixtures/preprocess").join(name)).unwrap()).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// An image without symmetry, so that every flip and every swapped axis shows.
fn gradient(width: u32, height: u32) -> RgbImage {
    let pixels = (0..height)
        .flat_map(|y| {
            (0..width).flat_map(move |x| [x * 7 + y * 3, x * 2 + y * 11 + 40, (x * y) / 2 + 90].map(|v| (v % 251) as u8))
        })
        .collect();
    RgbImage::new(width, height, pixels).unwrap()
}
