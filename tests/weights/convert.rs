//! Writing safetensors.

use std::fs;

use super::{all, common::manifest::Manifest, f32, f32_file, i64, load, safetensors};
use half::{bf16, f16};
use webmamba::{
    Error, Weights,
    low_level::{
        tensor::DType,
        weights::{Gains, write_safetensors},
    },
};

fn invalid<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::InvalidArgument(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_checkpoint_survives_the_round_trip() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("x.safetensors");
    let tensors = Manifest::load("mambavision_micro").weights();
    let weights = Weights::from_tensors("micro", tensors.clone());
    for dtype in [None, Some(DType::F32), Some(DType::F16), Some(DType::BF16)] {
        let mut last = (0, 0);
        write_safetensors(&weights, &out, dtype, |done, total| {
            assert!(done >= last.0 && done <= total);
            last = (done, total);
        })
        .unwrap();
        assert_eq!(last.0, last.1);
        let back = Weights::open(&out).unwrap();
        assert_eq!((back.len(), back.dtype()), (tensors.len(), dtype.or(Some(DType::F32))));
        for (key, tensor) in &tensors {
            let got = back.stored(key).unwrap();
            assert_eq!(got.shape(), tensor.shape());
            let want: Vec<f32> = match (dtype, tensor.dtype()) {
                (Some(DType::F16), DType::F32) => tensor.to_f32().iter().map(|&x| f16::from_f32(x).to_f32()).collect(),
                (Some(DType::BF16), DType::F32) => tensor.to_f32().iter().map(|&x| bf16::from_f32(x).to_f32()).collect(),
                _ => tensor.to_f32().into_owned(),
            };
            assert_eq!(got.to_f32().as_ref(), want, "{key}");
        }
    }
    // The library that everybody uses reads it as well.
    let file = fs::read(&out).unwrap();
    let (_, metadata) = ::safetensors::SafeTensors::read_metadata(&file).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn ties_are_rounded_to_even_and_nan_stays() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("x.safetensors");
    let values = [1.0 + 0.5f32.powi(11), 1.0 + 3.0 * 0.5f32.powi(11), f32::INFINITY, f32::NAN, 65519.0];
    let weights = Weights::from_tensors("x", [("a".into(), f32(&[5], &values)), ("n".into(), i64(&[1 << 40]))]);
    write_safetensors(&weights, &out, Some(DType::F16), |_, _| {}).unwrap();
    let back = Weights::open(&out).unwrap();
    let got = back.stored("a").unwrap().to_f32().into_owned();
    assert_eq!(got[..2], [1.0, 1.0 + 0.5f32.powi(9)]);
    assert!(got[2] == f32::INFINITY && got[3].is_nan() && got[4] == 65504.0);
    assert_eq!(back.stored("n").unwrap().bytes(), (1i64 << 40).to_le_bytes());
    // Half types into each other.
    let again = dir.path().join("y.safetensors");
    write_safetensors(&back, &again, Some(DType::BF16), |_, _| {}).unwrap();
    assert_eq!(Weights::open(&again).unwrap().stored("a").unwrap().to_f32()[4], 65536.0);
}

#[test]
fn a_failure_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("x.safetensors");
    fs::write(&out, b"precious").unwrap();
    let large = Weights::from_tensors("x", [("a".into(), f32(&[2], &[1.0, 2.0])), ("deep.b".into(), f32(&[1], &[65520.0]))]);
    let message = invalid(write_safetensors(&large, &out, Some(DType::F16), |_, _| {}));
    assert!(message.contains("`deep.b`") && message.contains("65520"), "{message}");
    let message =
        invalid(write_safetensors(&load(f32_file(&[("a", &[1], &[f32::MAX])])).unwrap(), &out, Some(DType::BF16), |_, _| {}));
    assert!(message.contains("`a`"));
    let strange = load(safetensors(r#"{"q":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[0,4]}}"#, 4)).unwrap();
    assert!(invalid(write_safetensors(&strange, &out, None, |_, _| {})).contains("F8_E4M3"));
    for empty in [Weights::synthetic("s", &Gains::NONE), Weights::zeros("z"), Weights::from_tensors("e", [])] {
        assert!(invalid(write_safetensors(&empty, &out, None, |_, _| {})).contains("no tensors"));
    }
    assert!(invalid(write_safetensors(&large, &out, Some(DType::I64), |_, _| {})).contains("i64"));
    assert!(invalid(write_safetensors(&large, dir.path(), None, |_, _| {})).contains("folder"));
    let nowhere = dir.path().join("no/such/folder/x.safetensors");
    assert!(matches!(write_safetensors(&large, &nowhere, None, |_, _| {}), Err(Error::Io { .. })));
    assert_eq!(fs::read(&out).unwrap(), b"precious");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn the_input_is_never_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let file = f32_file(&[("model.a", &[1], &[1.0])]);
    fs::write(&path, &file).unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    for weights in [Weights::open(&path).unwrap(), Weights::open(dir.path()).unwrap()] {
        for same in [path.clone(), dir.path().join("sub/../model.safetensors")] {
            assert!(invalid(write_safetensors(&weights, &same, None, |_, _| {})).contains("itself"));
        }
        let reader = weights.reader();
        reader.get("a", &[1]).unwrap();
        reader.finish("m", all).unwrap();
    }
    assert_eq!(fs::read(&path).unwrap(), file);
}
