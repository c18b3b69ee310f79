//! Dense models: checkpoints as mmengine writes them, which head they have, and what is refused.

use std::collections::HashMap;

use super::{
    common::{
        manifest::{Manifest, rel_err},
        pth_writer::{Node, write_tree},
    },
    expected, logits_of,
};
use webmamba::{
    Device, Error, Model, ModelOptions, RgbImage, Segmenter, SegmenterOptions, Tensor, Weights,
    low_level::{graph::Kind, image::CropMode, models::Head},
};

/// What a `config.json` beside the fixture would say: sizes of the backbone that tensors do not tell.
fn config(manifest: &Manifest) -> String {
    let mut config = manifest.config["backbone"].clone();
    config["model_type"] = "mambavision".into();
    config.to_string()
}

fn open(manifest: &Manifest, tensors: Vec<(String, Tensor)>) -> Result<Model, Error> {
    Model::new(Weights::from_tensors("dense", tensors), Some(&config(manifest)), &ModelOptions::default())
}

#[test]
fn a_file_of_mmengine_gives_the_fixtures_logits() {
    let (manifest, folder) = (Manifest::load("upernet_micro"), tempfile::tempdir().unwrap());
    let path = folder.path().join("iter_160000.pth");
    let meta = Node::dict([("epoch", Node::Int(16)), ("mmseg_version", Node::Text("1.2.2".into()))]);
    write_tree(&path, &Node::dict([("meta", meta), ("state_dict", Node::state("", &manifest.weights()))]));
    std::fs::write(folder.path().join("config.json"), config(&manifest)).unwrap();
    let model = Model::open(&path, &ModelOptions::default()).unwrap();
    assert_eq!((model.architecture.head(), model.architecture.num_classes()), (Head::UperNet { channels: 32 }, 6));
    assert_eq!((model.preprocess.size, model.preprocess.crop_mode), ([512, 512], CropMode::Dense));
    assert!(rel_err(&logits_of(&manifest, &model), &expected(&manifest)) < 1e-4);
    let told = model.assumptions.join("\n");
    assert!(told.contains("`auxiliary_head` (7 keys)") && !told.contains("decode_head"), "{told}");
    // Training alone needs the auxiliary head.
    let auxiliary: u64 =
        manifest.tensors.iter().filter(|t| t.name.starts_with("auxiliary_head")).map(|t| count(&t.name, &t.shape)).sum();
    assert_eq!(model.parameter_count().unwrap() + auxiliary, manifest.params);
}

/// Values of a tensor that are trained.
fn count(name: &str, shape: &[usize]) -> u64 {
    let counted = !name.contains("running_") && !name.contains("num_batches");
    if counted { shape.iter().product::<usize>() as u64 } else { 0 }
}

/// Keys and shapes of a published variant's checkpoint, from the constants of its graph, of which some are parts of tensors.
fn shapes(name: &str) -> HashMap<String, Vec<usize>> {
    let model = Model::new(Weights::zeros(name), None, &ModelOptions { arch: Some(name.into()), ..Default::default() }).unwrap();
    let mut shapes: HashMap<String, Vec<usize>> = HashMap::new();
    for node in model.graph(&model.options(1)).unwrap().nodes() {
        if !matches!(node.kind, Kind::Constant(_)) || node.name.starts_with("rope ") {
            continue;
        }
        let shape = node.shape().dims().to_vec();
        let key = node.name.trim_start_matches("-exp(").trim_end_matches(')');
        if let Some(first) = key.strip_suffix(" + conv1d_z.weight") {
            let half = vec![shape[0] / 2, 1, shape[3]];
            shapes.insert(first.replace("conv1d_x", "conv1d_z"), half.clone());
            shapes.insert(first.to_owned(), half);
        } else if let Some((key, _)) = key.split_once("[:, ") {
            // Input channels side by side.
            shapes.entry(key.to_owned()).and_modify(|whole| whole[1] += shape[1]).or_insert(shape);
        } else if let Some(key) = key.strip_suffix("[0]") {
            // The first of a stack of four.
            let stacked = if key.ends_with("A_logs") || key.ends_with("Ds") {
                [&[4 * shape[0]], &shape[1..]].concat()
            } else {
                [&[4], shape.as_slice()].concat()
            };
            shapes.insert(key.to_owned(), stacked);
        } else if !key.ends_with(']') {
            shapes.insert(key.to_owned(), shape);
        }
    }
    shapes
}

#[test]
fn published_variants_are_recognised_by_their_tensors() {
    for (name, norm) in [("mamba_vision_t_upernet", "outnorm"), ("vmamba_t_s1l8_upernet", "outnorm"), ("mila_b_upernet", "norm")]
    {
        let named = shapes(name).into_iter().map(|(key, shape)| {
            let zeros = Tensor::from_f32(shape.clone(), vec![0.0; shape.iter().product()]).unwrap();
            match key.starts_with("decode_head.") {
                true => (key, zeros),
                false => (format!("backbone.{}", key.replacen("outnorm", norm, 1)), zeros),
            }
        });
        let model = Model::new(Weights::from_tensors("x", named), None, &ModelOptions::default()).unwrap();
        assert_eq!((model.name.as_str(), model.preprocess.size), (name, [512, 512]), "{:?}", model.assumptions);
        assert_eq!((model.labels.get(0), model.labels.get(149), model.labels.len()), (Some("wall"), Some("flag"), 150));
        assert!(model.assumptions.is_empty(), "{:?}", model.assumptions);
    }
}

#[test]
fn what_the_head_lacks_is_named() {
    let manifest = Manifest::load("upernet_micro");
    let lacking = |end: &str| manifest.weights().into_iter().filter(|(key, _)| !key.ends_with(end)).collect();
    match open(&manifest, lacking("fpn_convs.1.bn.running_var")) {
        Err(Error::WeightMismatch { report, .. }) => {
            assert!(report.missing[0].contains("decode_head.fpn_convs.1.bn.running_var"))
        }
        other => panic!("{other:?}"),
    }
    let headless: Vec<_> = manifest.weights().into_iter().filter(|(key, _)| key.starts_with("backbone.")).collect();
    let error = open(&manifest, headless.clone()).unwrap_err().to_string();
    assert!(error.contains("no `decode_head.conv_seg.weight`"), "{error}");
    let ones = |key: &str| (key.to_owned(), Tensor::from_f32([1], vec![1.0]).unwrap());
    let detector = headless.into_iter().chain([ones("rpn_head.rpn_cls.weight"), ones("neck.lateral_convs.0.conv.weight")]);
    let error = open(&manifest, detector.collect()).unwrap_err().to_string();
    assert!(error.contains("Mask R-CNN"), "{error}");
    let more = manifest.weights().into_iter().chain([ones("decode_head.lateral_convs.3.conv.weight")]).collect();
    match open(&manifest, more) {
        Err(Error::WeightMismatch { report, .. }) => assert!(report.unread[0].contains("lateral_convs.3"), "{report}"),
        other => panic!("{other:?}"),
    }
}

/// The fixture with a last layer for so many classes.
fn with_classes(manifest: &Manifest, classes: usize) -> Result<Model, Error> {
    let mut tensors = manifest.weights();
    for (key, tensor) in tensors.iter_mut().filter(|(key, _)| key.starts_with("decode_head.conv_seg")) {
        let shape = if key.ends_with("bias") { vec![classes] } else { vec![classes, 32, 1, 1] };
        *tensor = Tensor::from_f32(shape.clone(), vec![0.1; shape.iter().product()]).unwrap();
    }
    open(manifest, tensors)
}

#[test]
fn classes_are_as_many_as_the_last_layer_has() {
    let manifest = Manifest::load("upernet_micro");
    let model = with_classes(&manifest, 150).unwrap();
    assert_eq!((model.architecture.num_classes(), model.labels.get(20)), (150, Some("car")));
    let model = with_classes(&manifest, 21).unwrap();
    assert_eq!((model.architecture.num_classes(), model.labels.get(20)), (21, None));
    // A class is a byte.
    assert!(Segmenter::new(with_classes(&manifest, 255).unwrap(), &Device::Cpu, SegmenterOptions::default()).is_ok());
    let error = Segmenter::new(with_classes(&manifest, 256).unwrap(), &Device::Cpu, SegmenterOptions::default());
    assert!(error.unwrap_err().to_string().contains("255 classes apart, not 256"));
}

#[test]
fn layers_of_other_widths_are_named() {
    let manifest = Manifest::load("upernet_micro");
    let mut tensors = manifest.weights();
    for (_, tensor) in tensors.iter_mut().filter(|(key, _)| key == "decode_head.fpn_bottleneck.conv.weight") {
        *tensor = Tensor::from_f32([32, 96, 3, 3], vec![0.0; 32 * 96 * 9]).unwrap();
    }
    let error = open(&manifest, tensors).unwrap_err().to_string();
    assert!(error.contains("decode_head.fpn_bottleneck.conv.weight"), "{error}");
}

#[test]
fn sizes_that_cannot_be_are_errors_and_thin_images_are_not() {
    let manifest = Manifest::load("upernet_micro");
    let sized = |size| {
        let options = ModelOptions { size: Some(size), ..ModelOptions::default() };
        Model::new(Weights::from_tensors("dense", manifest.weights()), Some(&config(&manifest)), &options)
    };
    for size in [[0, 0], [100_000, 64]] {
        assert!(sized(size).is_err(), "{size:?}");
    }
    let mut segmenter = Segmenter::new(sized([32, 32]).unwrap(), &Device::Cpu, SegmenterOptions::default()).unwrap();
    for [width, height] in [[1, 1], [1, 700], [700, 2]] {
        let image = RgbImage::new(width, height, vec![90; (width * height * 3) as usize]).unwrap();
        let map = pollster::block_on(segmenter.segment(&image)).unwrap();
        assert_eq!([map.width, map.height], [width as usize, height as usize]);
    }
    let run = |segmenter: &mut Segmenter, shape: &[usize], image| {
        let input = Tensor::from_f32(shape, vec![0.0; shape.iter().product()]).unwrap();
        pollster::block_on(segmenter.run(&input, image, &["decode_head.fpn_bottleneck.activate"])).map(|(tensors, map)| {
            let shapes: Vec<_> = tensors.iter().map(|tensor| tensor.shape().dims().to_vec()).collect();
            (shapes, map.class_map.len())
        })
    };
    assert_eq!(run(&mut segmenter, &[1, 64, 96, 3], [10, 7]).unwrap(), (vec![vec![1, 6, 16, 24], vec![1, 32, 16, 24]], 70));
    for (shape, image) in
        [([2, 64, 96, 3], [10, 7]), ([1, 64, 96, 4], [10, 7]), ([1, 0, 96, 3], [10, 7]), ([1, 64, 96, 3], [0, 7])]
    {
        assert!(matches!(run(&mut segmenter, &shape, image), Err(Error::InvalidArgument(_))), "{shape:?}");
    }
}

#[test]
fn the_task_must_be_the_models() {
    let manifest = Manifest::load("upernet_micro");
    let dense = open(&manifest, manifest.weights()).unwrap();
    let error = pollster::block_on(webmamba::Classifier::new(dense, &Device::Cpu, 1, 5)).unwrap_err().to_string();
    assert!(error.contains("Segmenter"), "{error}");
    let classifier = Model::synthetic("mila_t", None).unwrap();
    let error = Segmenter::new(classifier, &Device::Cpu, SegmenterOptions::default()).unwrap_err().to_string();
    assert!(error.contains("mila_t") && error.contains("dense"), "{error}");
}

#[test]
fn windows_that_take_minutes_are_refused_with_their_cost() {
    let model = || Model::synthetic("mamba_vision_s_upernet", None).unwrap();
    let error = Segmenter::new(model(), &Device::Cpu, SegmenterOptions::default()).unwrap_err().to_string();
    assert!(error.contains("25600 tokens") && error.contains("billion") && error.contains("--large"), "{error}");
    assert!(Segmenter::new(model(), &Device::Cpu, SegmenterOptions { large: true }).is_ok());
    let usual = Model::synthetic("mamba_vision_t_upernet", None).unwrap();
    assert!(Segmenter::new(usual, &Device::Cpu, SegmenterOptions::default()).is_ok());
}
