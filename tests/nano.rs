//! The models that come with the crate: within their bounds, and the same logits as PyTorch's on every device.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};

use common::{devices, manifest::rel_err};
use webmamba::{Classifier, Device, Model, ModelOptions, RgbImage, Tensor, Weights, low_level::session::Session};

const NAMES: [&str; 2] = ["mamba_vision_nano", "mila_nano"];
const PHOTOS: [&str; 4] = ["chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg"];
const COUNT: usize = 64;
/// Largest error of the logits over their standard deviation.
const LOGITS: f64 = 1e-4;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn model(name: &str) -> Model {
    Model::open(here("models").join(name), &ModelOptions::default()).unwrap()
}

fn cut(photo: &RgbImage, [left, top]: [usize; 2], side: usize) -> RgbImage {
    let row = |y: usize| &photo.pixels()[(y * photo.width() as usize + left) * 3..][..side * 3];
    RgbImage::new(side as u32, side as u32, (top..top + side).flat_map(row).copied().collect()).unwrap()
}

/// Pieces of the photographs, cut as `training/parity.py` does, as the input of a batch.
fn pieces(model: &Model) -> Tensor {
    let photos = PHOTOS.map(|name| RgbImage::open(here("tests/images").join(name)).unwrap());
    let [side, _] = model.preprocess.size;
    let mut input = Vec::new();
    for i in 0..COUNT {
        let photo = &photos[i % PHOTOS.len()];
        let (width, height) = (photo.width() as usize, photo.height() as usize);
        let (left, top) = (37 * i % (width - side + 1), 53 * i % (height - side + 1));
        input.extend_from_slice(&model.preprocess.apply(&cut(photo, [left, top], side)).unwrap().to_f32());
    }
    Tensor::from_f32([COUNT, side, side, 3], input).unwrap()
}

fn check(device: &Device) {
    let expected = Weights::open(here("tests/fixtures/nano_logits.safetensors")).unwrap();
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

/// The built-in model knows the cat and the cup, and not by chance of one crop: squares of all and of less of the height, at the
/// left, in the middle and at the right.
#[test]
fn a_cat_is_a_cat_and_a_cup_a_cup() {
    let mut classifier = pollster::block_on(Classifier::new(model(NAMES[0]), &Device::Cpu, 1, 1)).unwrap();
    for (name, label, enough) in [("chelsea.png", "cat", 8), ("coffee.png", "cup", 9)] {
        let photo = RgbImage::open(here("tests/images").join(name)).unwrap();
        let (width, height) = (photo.width() as usize, photo.height() as usize);
        let mut said = Vec::new();
        for percent in [100, 90, 80] {
            let side = height * percent / 100;
            for left in [0, (width - side) / 2, width - side] {
                let piece = cut(&photo, [left, (height - side) / 2], side);
                let (predictions, _) = pollster::block_on(classifier.classify(&[piece])).unwrap();
                said.push(predictions[0][0].label.clone());
            }
        }
        assert_eq!(said[1], label, "the middle, which is what the classifier is shown of the whole photograph");
        assert!(said.iter().filter(|s| *s == label).count() >= enough, "{name}: {said:?}");
    }
}

#[test]
fn both_are_small() {
    for name in NAMES {
        let model = model(name);
        let file = here("models").join(name).join("model.safetensors").metadata().unwrap().len();
        assert!(file <= 5_000_000, "{name}: {file} bytes");
        let [height, width] = model.preprocess.size;
        assert!(height == width && (64..=192).contains(&height), "{name}: {height} x {width}");
        let macs = model.graph(&model.options(1)).unwrap().macs();
        assert!(macs <= 250_000_000, "{name}: {macs} multiply-adds");
    }
}
