//! The models that come with the crate: within their bounds, and the same logits as PyTorch's on every device.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};

use common::{devices, manifest::rel_err};
use webmamba::{
    image::{RgbImage, decode::decode_file},
    models::{Model, ModelOptions},
    session::{Device, Session},
    tensor::Tensor,
    weights::Weights,
};

const NAMES: [&str; 2] = ["mamba_vision_nano", "mila_nano"];
const PHOTOS: [&str; 4] = ["chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg"];
const COUNT: usize = 64;
/// Largest error of the logits over their standard deviation.
const LOGITS: f64 = 1e-4;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn model(name: &str) -> Model {
    Model::open(&here("models").join(name), &ModelOptions::default()).unwrap()
}

/// Pieces of the photographs, cut as `training/parity.py` does, as the input of a batch.
fn pieces(model: &Model) -> Tensor {
    let photos = PHOTOS.map(|name| decode_file(&here("tests/images").join(name)).unwrap());
    let [side, _] = model.preprocess.size;
    let mut input = Vec::new();
    for i in 0..COUNT {
        let photo = &photos[i % PHOTOS.len()];
        let (width, height) = (photo.width() as usize, photo.height() as usize);
        let (left, top) = (37 * i % (width - side + 1), 53 * i % (height - side + 1));
        let row = |y: usize| &photo.pixels()[(y * width + left) * 3..][..side * 3];
        let piece = RgbImage::new(side as u32, side as u32, (top..top + side).flat_map(row).copied().collect()).unwrap();
        input.extend_from_slice(&model.preprocess.apply(&piece).unwrap().to_f32());
    }
    Tensor::from_f32([COUNT, side, side, 3], input).unwrap()
}

fn check(device: &Device) {
    let expected = Weights::open(&here("tests/fixtures/nano_logits.safetensors")).unwrap();
    for name in NAMES {
        let model = model(name);
        let graph = model.graph(&model.options(COUNT)).unwrap().select(&["logits"]).unwrap();
        let logits =
            pollster::block_on(async { Session::new(&graph, device).await.unwrap().run(&pieces(&model)).await.unwrap() });
        let want = expected.stored(name).unwrap();
        assert_eq!(logits[0].shape(), want.shape());
        let error = rel_err(&logits[0].to_f32(), &want.to_f32());
        println!("{name} on {}: {error:.1e}", device.name());
        assert!(error <= LOGITS, "{name}: error {error:.2e} of the std");
    }
}

#[test]
fn logits_on_the_cpu() {
    check(&Device::Cpu);
}

#[test]
fn logits_on_lavapipe() {
    check(&Device::Gpu(devices::lavapipe()));
}

#[test]
fn logits_on_swiftshader() {
    check(&Device::Gpu(devices::swiftshader()));
}

#[test]
fn both_are_small() {
    for name in NAMES {
        let model = model(name);
        let file = here("models").join(name).join("model.safetensors").metadata().unwrap().len();
        assert!(file <= 4 << 20, "{name}: {file} bytes");
        let [height, width] = model.preprocess.size;
        assert!(height == width && (64..=128).contains(&height), "{name}: {height} x {width}");
        let macs = model.graph(&model.options(1)).unwrap().macs();
        assert!(macs <= 120_000_000, "{name}: {macs} multiply-adds");
    }
}
