//! Weights of 8 and 4 bits in files: whole, arriving in pieces, damaged, and as others read them.

use std::fs;

use super::{common::manifest::Manifest, f32, load, refusal, safetensors};
use serde_json::json;
use webmamba::{
    Weights,
    low_level::{
        quantise::quantised,
        tensor::{DType, GROUP},
        weights::{Incoming, write_safetensors},
    },
};

/// A file of one weight in 8 or 4 bits beside others.
fn written(dtype: DType) -> (Weights, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("q.safetensors");
    let mut tensors: Vec<_> = Manifest::load("mambavision_micro").weights().into_iter().collect();
    tensors.retain(|(key, _)| !key.ends_with("num_batches_tracked"));
    for (_, tensor) in &mut tensors {
        if matches!(tensor.shape().rank(), 2 | 4) && tensor.shape().dims()[1] % 2 == 0 {
            *tensor = quantised(tensor, dtype).unwrap();
        }
    }
    let weights = Weights::from_tensors("micro", tensors);
    write_safetensors(&weights, &path, None, |_, _| {}).unwrap();
    (weights, fs::read(path).unwrap())
}

fn same(got: &Weights, want: &Weights) {
    assert_eq!(got.len(), want.len());
    for key in want.keys() {
        let (got, want) = (got.stored(key).unwrap(), want.stored(key).unwrap());
        assert_eq!((got.desc(), got.to_f32()), (want.desc(), want.to_f32()), "{key}");
    }
}

#[test]
fn a_file_is_read_as_it_was_written() {
    for dtype in [DType::Q8, DType::Q4] {
        let (weights, file) = written(dtype);
        assert_eq!(weights.dtype(), Some(dtype));
        same(&load(file.clone()).unwrap(), &weights);
        // Scales come before levels here; in pieces, a tensor is there once both are.
        let mut incoming = Incoming::new("q", Some(file.len() as u64));
        for piece in file.chunks(4099) {
            incoming.push(piece).unwrap();
        }
        same(&incoming.finish().unwrap(), &weights);
    }
}

#[test]
fn a_tensor_that_arrives_is_ready_with_its_levels_and_scales() {
    let (_, file) = written(DType::Q8);
    let header = 8 + u64::from_le_bytes(*file.first_chunk().unwrap()) as usize;
    let mut incoming = Incoming::new("q", None);
    incoming.push(&file[..header]).unwrap();
    let tensor = incoming.weights().unwrap().stored("head.weight").unwrap();
    assert!(!tensor.ready() && tensor.to_f32().is_empty());
    incoming.push(&file[header..]).unwrap();
    assert!(tensor.ready() && tensor.to_f32().len() == tensor.shape().len());
}

/// What the documentation says, with nothing of this crate.
#[test]
fn others_can_make_sense_of_a_file() {
    for dtype in [DType::Q8, DType::Q4] {
        let (weights, file) = written(dtype);
        let views = ::safetensors::SafeTensors::deserialize(&file).unwrap();
        let (_, metadata) = ::safetensors::SafeTensors::read_metadata(&file).unwrap();
        assert!(metadata.metadata().as_ref().unwrap()["quantization_config"].contains("group_size"));
        let (levels, scales) = (views.tensor("head.weight").unwrap(), views.tensor("head.weight.scales").unwrap());
        let want = weights.stored("head.weight").unwrap();
        let (rows, channels) = (want.shape().dims()[0], want.shape().dims()[1]);
        for row in 0..rows {
            for channel in 0..channels {
                let level = match dtype {
                    DType::Q8 => i32::from(levels.data()[row * channels + channel] as i8),
                    _ => i32::from(levels.data()[row * channels / 2 + channel / 2] >> (4 * (channel % 2)) & 15) - 8,
                };
                let at = (row * channels.div_ceil(GROUP) + channel / GROUP) * 2;
                let scale = half::f16::from_le_bytes([scales.data()[at], scales.data()[at + 1]]).to_f32();
                assert_eq!(level as f32 * scale, want.to_f32()[row * channels + channel]);
            }
        }
    }
}

#[test]
fn quantised_tensors_are_written_as_floats_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f.safetensors");
    let (weights, _) = written(DType::Q4);
    write_safetensors(&weights, &path, Some(DType::F32), |_, _| {}).unwrap();
    let back = Weights::open(&path).unwrap();
    assert_eq!((back.len(), back.dtype()), (weights.len(), Some(DType::F32)));
    for key in weights.keys() {
        assert_eq!(back.stored(key).unwrap().to_f32(), weights.stored(key).unwrap().to_f32(), "{key}");
    }
}

#[test]
fn rounding_costs_what_the_steps_are() {
    let values: Vec<f32> = (0..64 * 3).map(|i| (i as f32 * 0.37).sin()).collect();
    for (dtype, steps) in [(DType::Q8, 256.0), (DType::Q4, 16.0)] {
        let got = quantised(&f32(&[3, 64], &values), dtype).unwrap();
        let worst = got.to_f32().iter().zip(&values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        // A step of a range of two, as there is one level fewer above zero, and what half precision takes of the scale.
        assert!(worst <= 2.4 / steps, "{dtype}: {worst}");
    }
    assert_eq!(quantised(&f32(&[1, 2], &[0.0, 0.0]), DType::Q4).unwrap().to_f32()[..], [0.0, 0.0]);
    for bad in [f32::NAN, f32::INFINITY, 1e30] {
        assert!(quantised(&f32(&[1, 2], &[1.0, bad]), DType::Q8).is_err());
    }
    assert!(quantised(&f32(&[3], &[1.0; 3]), DType::Q8).is_err() && quantised(&f32(&[1, 3], &[1.0; 3]), DType::Q4).is_err());
}

#[test]
fn damaged_scales_are_refused() {
    // Levels [2, 34] as I8 or [2, 17] as U8, and scales of this type and shape.
    let file = |levels: &str, columns: usize, scales: &str, shape: &[usize]| {
        let size = if scales == "F16" { 2 } else { 4 };
        let (end, all) = (2 * columns, 2 * columns + size * shape.iter().product::<usize>());
        let header = json!({
            "w": {"dtype": levels, "shape": [2, columns], "data_offsets": [0, end]},
            "w.scales": {"dtype": scales, "shape": shape, "data_offsets": [end, all]},
        });
        safetensors(&header.to_string(), all)
    };
    for (levels, columns) in [("I8", 34), ("U8", 17)] {
        assert!(load(file(levels, columns, "F16", &[2, 2])).unwrap().stored("w").unwrap().scales().is_some());
        for shape in [vec![2, 1], vec![1, 2], vec![4], vec![2, 2, 1]] {
            let bytes = file(levels, columns, "F16", &shape);
            assert!(refusal(load(bytes.clone())).contains("one for each 32 input channels"), "{shape:?}");
            assert!(Incoming::new("q", None).push(&bytes).is_err());
        }
        // Integers beside what are no scales are integers.
        assert_eq!(load(file(levels, columns, "F32", &[2, 2])).unwrap().stored("w").unwrap().dtype(), DType::I64);
    }
    let mut infinite = file("I8", 34, "F16", &[2, 2]);
    let last = infinite.len() - 1;
    infinite[last] = 0x7c;
    assert_eq!(load(infinite).unwrap().non_finite(), ["w"]);
    let huge = json!({
        "w": {"dtype": "U8", "shape": [0, usize::MAX], "data_offsets": [0, 0]},
        "w.scales": {"dtype": "F16", "shape": [0, 1], "data_offsets": [0, 0]},
    });
    refusal(load(safetensors(&huge.to_string(), 0)));
}
