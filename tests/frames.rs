//! Images that are resized and normalised on the device, and what a classifier makes of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{devices, manifest::Manifest};
use pollster::block_on;
use webmamba::{
    Classifier, Device, Error, Model, ModelOptions, Preprocess, RgbImage, Segmenter, SegmenterOptions, Tensor, Weights,
    low_level::{
        classify::{ClassifierOptions, ClassifierPreparation, FrameOptions, MapOf},
        gpu::{Frame, Pixels},
        graph::{Graph, Layout},
        image::CropMode,
        ops::Add,
        segment::SegmenterPreparation,
        session::Session,
    },
};

/// RGBA bytes with an alpha that must not matter.
fn rgba(image: &RgbImage) -> Vec<u8> {
    image.pixels().as_chunks::<3>().0.iter().enumerate().flat_map(|(i, &[r, g, b])| [r, g, b, i as u8]).collect()
}

fn photo(name: &str) -> RgbImage {
    RgbImage::open(format!("{}/tests/images/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn stripes(width: u32, height: u32) -> RgbImage {
    let pixels = (0..width * height * 3).map(|i| (i * 37 % 251) as u8).collect();
    RgbImage::new(width, height, pixels).unwrap()
}

/// The device's resize is Pillow's, or OpenCV's for dense models: exact in 8 bits, so the normalised values differ by roundings of f32 only.
#[test]
fn the_device_prepares_images_as_the_cpu_does() {
    let mut cases: Vec<(RgbImage, Preprocess)> = Vec::new();
    for mode in [CropMode::Center, CropMode::Squash, CropMode::Border] {
        for (image, size, crop_pct) in [
            (photo("coffee.png"), [224, 224], 0.875),
            (photo("tiny_61x40.png"), [224, 192], 1.0),
            (stripes(1, 1), [3, 5], 1.0),
            (stripes(63, 65), [64, 64], 0.9),
            (stripes(640, 3), [64, 64], 1.0),
        ] {
            cases.push((image, Preprocess { crop_pct, crop_mode: mode, ..Preprocess::imagenet(size) }));
        }
    }
    for image in [photo("coffee.png"), photo("tiny_61x40.png"), stripes(1, 1), stripes(63, 65), stripes(640, 3)] {
        let preprocess = Preprocess::dense(64).for_image(image.width(), image.height());
        cases.push((image, preprocess));
    }
    for gpu in [devices::lavapipe(), devices::swiftshader()].into_iter().chain(devices::hardware()) {
        for (image, preprocess) in &cases {
            let [h, w] = preprocess.size;
            let mut graph = Graph::new();
            let x = graph.input("image", [1, h, w, 3]);
            let y = graph.op("y", Add, vec![x, x]).unwrap();
            graph.output("y", y, Layout::Plain);
            let mut session = block_on(Session::new(&graph, &Device::Gpu(gpu.clone()))).unwrap();
            let bytes = rgba(image);
            let frame = Frame { width: image.width(), height: image.height(), pixels: Pixels::Host(&bytes) };
            let (outputs, _) = block_on(session.run_frame(&frame, preprocess, &["y"])).unwrap();
            let wanted = preprocess.apply(image).unwrap();
            for (got, want) in outputs[0].to_f32().iter().zip(wanted.to_f32().iter()) {
                assert!((got - 2.0 * want).abs() < 4e-6, "{image:?} {preprocess:?}: {got} instead of twice {want}");
            }
        }
    }
}

fn classifier(device: &Device) -> Classifier {
    let model = Model::synthetic("mila_t", Some([64, 96])).unwrap();
    let options = ClassifierOptions { batch: 1, top_k: 5, frames: true };
    block_on(ClassifierPreparation::new(model, device, options).unwrap().finish(|_, _| {})).unwrap()
}

/// Scores, maps and features of frames are those of the CPU, and a map's mean is its class's logit.
#[test]
fn frames_give_the_same_on_every_device() {
    let image = photo("chelsea.png");
    let bytes = rgba(&image);
    let frame = Frame { width: image.width(), height: image.height(), pixels: Pixels::Host(&bytes) };
    let all = FrameOptions { scores: true, map: Some(MapOf::Best) };
    let mut cpu = classifier(&Device::Cpu);
    let wanted = block_on(cpu.classify_frame(&frame, all)).unwrap();
    let stages = block_on(cpu.features(&frame)).unwrap();
    let names: Vec<&str> = stages.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["stage0", "stage1", "stage2", "stage3", "pooled", "logits"]);
    let map = wanted.map.as_ref().unwrap();
    assert_eq!(map.size, [2, 3]);
    let logit = stages[5].1.to_f32()[map.index];
    let mean = map.values.iter().sum::<f32>() / map.values.len() as f32;
    assert!((mean - logit).abs() < 1e-4 * logit.abs().max(1.0), "{mean} instead of {logit}");
    // Height decides for 64 x 96 at crop_pct 0.875: the map covers the middle.
    let [left, top, width, height] = map.region;
    assert!(top > 0.0 && left > 0.0 && (top + height) < 300.0 && (left + width) < 451.0, "{:?}", map.region);
    let scores = wanted.scores.as_ref().unwrap();
    assert!((scores.iter().sum::<f32>() - 1.0).abs() < 1e-4 && scores.len() == 1000);
    assert!((scores[map.index] - wanted.predictions[0].score).abs() < 1e-5);

    let mut gpu = classifier(&Device::Gpu(devices::lavapipe()));
    let got = block_on(gpu.classify_frame(&frame, all)).unwrap();
    let places = |r: &webmamba::low_level::classify::FrameResult| r.predictions.iter().map(|p| p.index).collect::<Vec<_>>();
    assert_eq!(places(&got), places(&wanted));
    assert!(common::manifest::rel_err(&got.map.unwrap().values, &map.values) < 1e-4);
    for ((name, got), (_, want)) in block_on(gpu.features(&frame)).unwrap().iter().zip(&stages) {
        assert!(common::manifest::rel_err(&got.to_f32(), &want.to_f32()) < 1e-4, "{name}");
    }
    for classifier in [&mut cpu, &mut gpu] {
        let pooled = block_on(classifier.embed_frame(&frame)).unwrap();
        assert!(common::manifest::rel_err(&pooled.to_f32(), &stages[4].1.to_f32()) < 1e-4);
    }
}

/// Images of a list are placed one by one and run together: each gives what it gives alone, places that were not filled give nothing,
/// and a second list makes nothing new.
#[test]
fn lists_give_what_their_images_give_alone() {
    let images = [photo("chelsea.png"), photo("tiny_61x40.png"), photo("coffee.png"), stripes(3, 50), photo("chelsea.png")];
    let bytes: Vec<Vec<u8>> = images.iter().map(rgba).collect();
    let frame = |i: usize| Frame { width: images[i].width(), height: images[i].height(), pixels: Pixels::Host(&bytes[i]) };
    let gpus = [devices::lavapipe(), devices::swiftshader()].into_iter().chain(devices::hardware());
    for gpu in gpus.map(Device::Gpu) {
        let mut classifier = classifier(&gpu);
        assert_eq!(block_on(classifier.list_batch()).unwrap(), 8);
        let place = |classifier: &mut Classifier| {
            for place in 0..images.len() {
                block_on(classifier.place_frame(&frame(place), place)).unwrap();
            }
        };
        place(&mut classifier);
        let results = block_on(classifier.classify_placed(images.len(), true)).unwrap();
        let made = classifier.allocations();
        place(&mut classifier);
        let pooled = block_on(classifier.embed_placed(images.len())).unwrap();
        assert_eq!(classifier.allocations(), made);
        assert_eq!((results.len(), pooled.len()), (images.len(), images.len()));
        // A run takes what was placed, and as many as are placed can be run.
        block_on(classifier.place_frame(&frame(0), 0)).unwrap();
        assert!(block_on(classifier.classify_placed(2, false)).is_err());
        assert!(block_on(classifier.classify_placed(1, false)).unwrap()[0].scores.is_none());
        assert!(block_on(classifier.classify_placed(1, false)).is_err());
        for (i, (result, pooled)) in results.iter().zip(&pooled).enumerate() {
            let alone = block_on(classifier.classify_frame(&frame(i), FrameOptions { scores: true, map: None })).unwrap();
            let (scores, wanted) = (result.scores.as_ref().unwrap(), alone.scores.unwrap());
            let error = common::manifest::rel_err(scores, &wanted);
            assert!(error < 1e-4, "image {i}: scores off by {error:.1e}");
            // Of classes that score as good as alike the one or the other is first.
            assert_eq!(result.predictions.len(), 5);
            assert!(result.predictions.iter().all(|p| (p.score - wanted[p.index]).abs() < 1e-6), "{:?}", result.predictions);
            let alone = block_on(classifier.embed_frame(&frame(i))).unwrap();
            assert_eq!(pooled.shape(), alone.shape());
            assert!(common::manifest::rel_err(&pooled.to_f32(), &alone.to_f32()) < 1e-4, "image {i}");
        }
        let error = block_on(classifier.place_frame(&frame(0), 8)).unwrap_err();
        assert!(matches!(&error, Error::InvalidArgument(what) if what.contains("at place 8 of a batch")), "{error}");
    }
}

/// On the CPU a batch gains next to nothing, and there is none.
#[test]
fn lists_on_the_cpu_go_one_by_one() {
    let mut classifier = classifier(&Device::Cpu);
    assert_eq!(block_on(classifier.list_batch()).unwrap(), 1);
    let bytes = rgba(&stripes(4, 4));
    let frame = Frame { width: 4, height: 4, pixels: Pixels::Host(&bytes) };
    let error = block_on(classifier.place_frame(&frame, 0)).unwrap_err();
    assert!(matches!(&error, Error::InvalidArgument(what) if what.contains("there is no batch")), "{error}");
}

/// The map of a class is that of the best one where it is the best, its mean is the class's logit where it is any other, and
/// classes that do not exist are an error.
#[test]
fn maps_of_any_class_on_every_device() {
    let bytes = rgba(&photo("coffee.png"));
    let image = photo("coffee.png");
    let frame = Frame { width: image.width(), height: image.height(), pixels: Pixels::Host(&bytes) };
    let of = |class| FrameOptions { scores: true, map: Some(MapOf::Class(class)) };
    for device in [Device::Cpu, Device::Gpu(devices::lavapipe())] {
        let mut classifier = classifier(&device);
        let best = block_on(classifier.classify_frame(&frame, FrameOptions { scores: false, map: Some(MapOf::Best) })).unwrap();
        let logits = block_on(classifier.features(&frame)).unwrap()[5].1.to_f32().into_owned();
        let index = best.predictions[0].index;
        let same = block_on(classifier.classify_frame(&frame, of(index))).unwrap();
        assert_eq!(same.predictions, best.predictions);
        let (got, want) = (same.map.unwrap(), best.map.unwrap());
        assert_eq!((got.index, got.size, got.region), (want.index, want.size, want.region));
        assert!(common::manifest::rel_err(&got.values, &want.values) < 1e-4);
        for class in [0, 500, 999] {
            let result = block_on(classifier.classify_frame(&frame, of(class))).unwrap();
            let (map, scores) = (result.map.unwrap(), result.scores.unwrap());
            assert_eq!((map.index, map.values.len(), scores.len()), (class, 6, 1000));
            let mean = map.values.iter().sum::<f32>() / 6.0;
            assert!((mean - logits[class]).abs() < 1e-4 * logits[class].abs().max(1.0), "{class}: {mean}, {}", logits[class]);
        }
        assert!(matches!(block_on(classifier.classify_frame(&frame, of(1000))), Err(Error::InvalidArgument(_))));
    }
}

/// What a frame needs is made when its size is new, and never again.
#[test]
fn steady_frames_allocate_nothing() {
    let mut gpu = classifier(&Device::Gpu(devices::lavapipe()));
    let bytes = vec![100; 80 * 60 * 4];
    let frame = Frame { width: 80, height: 60, pixels: Pixels::Host(&bytes) };
    block_on(gpu.classify_frame(&frame, FrameOptions::default())).unwrap();
    let before = gpu.allocations().unwrap();
    for i in 0..100 {
        let options = FrameOptions { scores: i % 2 == 0, map: (i % 3 == 0).then_some(MapOf::Best) };
        block_on(gpu.classify_frame(&frame, options)).unwrap();
    }
    assert_eq!(gpu.allocations().unwrap(), before);
    let other = Frame { width: 60, height: 80, pixels: Pixels::Host(&bytes) };
    block_on(gpu.classify_frame(&other, FrameOptions::default())).unwrap();
    assert!(gpu.allocations().unwrap().buffers > before.buffers);
}

#[test]
fn pixels_that_are_not_there_are_an_error() {
    let bytes = vec![0; 15];
    let frame = Frame { width: 2, height: 2, pixels: Pixels::Host(&bytes) };
    for device in [Device::Cpu, Device::Gpu(devices::lavapipe())] {
        let mut classifier = classifier(&device);
        let failed = block_on(classifier.classify_frame(&frame, FrameOptions::default()));
        assert!(matches!(failed, Err(Error::InvalidArgument(_))), "{failed:?}");
    }
}

/// A model with one value of one weight replaced, classifying a frame on a device must say which weight is bad.
fn check_broken(fixture: &str, key: &str, bad: f32, devices: &[Device]) {
    let frame = Frame { width: 8, height: 8, pixels: Pixels::Host(&[77; 256]) };
    let manifest = Manifest::load(fixture);
    let mut config = manifest.config.clone();
    config["model_type"] = manifest.family.clone().into();
    let mut found = false;
    let tensors: Vec<(String, Tensor)> = manifest
        .weights()
        .into_iter()
        .map(|(name, tensor)| {
            if name != key {
                return (name, tensor);
            }
            found = true;
            let mut values = tensor.to_f32().into_owned();
            values[3 % tensor.shape().len()] = bad;
            (name, Tensor::from_f32(tensor.shape().clone(), values).unwrap())
        })
        .collect();
    assert!(found, "{fixture} has no {key}");
    let weights = Weights::from_tensors("broken", tensors);
    for device in devices {
        let model = Model::new(weights.clone(), Some(&config.to_string()), &Default::default()).unwrap();
        let options = ClassifierOptions { batch: 1, top_k: 5, frames: true };
        let preparation = ClassifierPreparation::new(model, device, options).unwrap();
        let mut classifier = block_on(preparation.finish(|_, _| {})).unwrap();
        for options in [FrameOptions::default(), FrameOptions { scores: true, map: Some(MapOf::Best) }] {
            let failed = block_on(classifier.classify_frame(&frame, options));
            let told = matches!(&failed, Err(Error::Config { reason, .. }) if reason.contains(key));
            assert!(told, "{bad} in {key} on {} {:?}: {failed:?}", device.name(), device.adapter().map(|a| &a.name));
        }
    }
}

fn all_devices() -> Vec<Device> {
    let gpus = [devices::lavapipe(), devices::swiftshader()].into_iter().chain(devices::hardware());
    [Device::Cpu].into_iter().chain(gpus.map(Device::Gpu)).collect()
}

/// Drivers may compute as if there were no NaN, so the device has to look for them.
#[test]
fn logits_that_are_not_numbers_are_an_error_on_every_device() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        check_broken("mambavision_micro", "head.bias", bad, &all_devices());
    }
}

/// A comparison or maximum on the way would make a number of it: the ReLU of the stem, softplus, ELU + 1.
#[test]
fn mambavision_weights_that_are_not_numbers_are_an_error_on_every_device() {
    let devices = all_devices();
    for key in [
        "patch_embed.conv_down.0.weight",
        "patch_embed.conv_down.4.running_var",
        "levels.0.blocks.0.conv1.bias",
        "levels.2.blocks.0.mixer.conv1d_x.weight",
        "levels.2.blocks.0.mixer.dt_proj.bias",
        "levels.2.blocks.0.mixer.A_log",
        "levels.2.blocks.0.mlp.fc1.bias",
    ] {
        check_broken("mambavision_micro", key, f32::NAN, &devices);
    }
}

#[test]
fn mila_weights_that_are_not_numbers_are_an_error_on_every_device() {
    let devices = all_devices();
    for key in [
        "patch_embed.conv1.conv.weight",
        "layers.0.blocks.0.act_proj.bias",
        "layers.0.blocks.0.attn.qk.bias",
        "layers.0.downsample.conv.0.conv.bias",
    ] {
        check_broken("mila_micro", key, f32::NAN, &devices);
    }
}

fn dense_model() -> Model {
    let manifest = Manifest::load("upernet_micro");
    let mut config = manifest.config["backbone"].clone();
    config["model_type"] = "mambavision".into();
    let options = ModelOptions { size: Some([64, 64]), ..ModelOptions::default() };
    Model::new(Weights::from_tensors("micro", manifest.weights()), Some(&config.to_string()), &options).unwrap()
}

fn segmenter(device: &Device) -> Segmenter {
    Segmenter::new(dense_model(), device, SegmenterOptions::default()).unwrap()
}

/// Of classes whose logits are as good as equal one device finds one, and another one the other.
fn differing(a: &[u8], b: &[u8]) -> usize {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

/// Images and frames of any size have their classes on every device, and frames of one size make nothing new.
#[test]
fn class_maps_are_the_same_on_every_device() {
    let mut cpu = segmenter(&Device::Cpu);
    let gpus = [devices::lavapipe(), devices::swiftshader()].into_iter().chain(devices::hardware());
    let mut gpus: Vec<Segmenter> = gpus.map(|gpu| segmenter(&Device::Gpu(gpu))).collect();
    for image in [photo("tiny_61x40.png"), photo("chelsea.png"), stripes(3, 50)] {
        let bytes = rgba(&image);
        let frame = Frame { width: image.width(), height: image.height(), pixels: Pixels::Host(&bytes) };
        let want = block_on(cpu.segment(&image)).unwrap();
        assert_eq!([want.width, want.height], [image.width() as usize, image.height() as usize]);
        assert!((want.shares().iter().map(|(_, share)| share).sum::<f64>() - 1.0).abs() < 1e-9);
        assert_eq!(block_on(cpu.segment_frame(&frame)).unwrap().class_map, want.class_map);
        for gpu in &mut gpus {
            let got = block_on(gpu.segment(&image)).unwrap();
            assert!(differing(&got.class_map, &want.class_map) * 10_000 < want.class_map.len(), "{image:?}");
            let first = block_on(gpu.segment_frame(&frame)).unwrap();
            let made = gpu.allocations().unwrap();
            let again = block_on(gpu.segment_frame(&frame)).unwrap();
            assert!(differing(&first.class_map, &want.class_map) * 10_000 < want.class_map.len(), "{image:?}");
            assert_eq!((again.class_map, gpu.allocations().unwrap()), (first.class_map, made));
        }
    }
}

/// What images of all sizes need is made once, before the first of them.
#[test]
fn images_of_other_sizes_find_weights_and_kernels_made() {
    for device in [Device::Cpu, Device::Gpu(devices::lavapipe()), Device::Gpu(devices::swiftshader())] {
        let mut kernels = (0, 0);
        let preparation = SegmenterPreparation::new(dense_model(), &device, SegmenterOptions::default()).unwrap();
        let mut segmenter = block_on(preparation.finish(|done, all| kernels = (done, all))).unwrap();
        assert_eq!(kernels.0, kernels.1);
        assert_eq!(kernels.1 > 0, matches!(device, Device::Gpu(_)));
        let images = [photo("tiny_61x40.png"), stripes(3, 50)];
        let mut made = |image: &RgbImage| {
            block_on(segmenter.segment(image)).unwrap();
            (segmenter.stats().unwrap().weights_bytes, segmenter.allocations())
        };
        let (weights, first) = made(&images[0]);
        for image in [&images[1], &images[0]] {
            let (now, allocations) = made(image);
            assert_eq!(now, weights);
            if let (Some(first), Some(now)) = (first, allocations) {
                assert_eq!(now.pipelines, first.pipelines);
                // Slots, parameters, the empty buffer and the readback of each; no pages of weights.
                assert!(now.buffers - first.buffers < 40, "{} buffers", now.buffers - first.buffers);
            }
        }
    }
}

#[test]
fn a_class_map_of_no_numbers_is_an_error() {
    let manifest = Manifest::load("upernet_micro");
    let mut config = manifest.config["backbone"].clone();
    config["model_type"] = "mambavision".into();
    let mut tensors = manifest.weights();
    for (_, tensor) in tensors.iter_mut().filter(|(key, _)| key == "decode_head.conv_seg.bias") {
        *tensor = Tensor::from_f32([6], vec![0.0, f32::NAN, 0.0, 0.0, 0.0, 0.0]).unwrap();
    }
    let options = ModelOptions { size: Some([32, 32]), ..ModelOptions::default() };
    let model = Model::new(Weights::from_tensors("micro", tensors), Some(&config.to_string()), &options).unwrap();
    for device in [Device::Cpu, Device::Gpu(devices::lavapipe()), Device::Gpu(devices::swiftshader())] {
        let mut segmenter = Segmenter::new(model.clone(), &device, SegmenterOptions::default()).unwrap();
        let error = block_on(segmenter.segment(&photo("tiny_61x40.png"))).unwrap_err().to_string();
        assert!(error.contains("not a number") && error.contains("decode_head.conv_seg.bias"), "{error}");
    }
}
