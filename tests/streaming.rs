//! Checkpoints that are used while they are still being downloaded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{
    devices,
    manifest::{Manifest, rel_err},
    pth_writer::{Node, write_pth, write_tree},
};
use pollster::block_on;
use webmamba::{
    Classifier, Device, Error, Model, ModelOptions, Tensor, Weights,
    low_level::{
        classify::{ClassifierOptions, ClassifierPreparation, FrameOptions, MapOf},
        gpu::{Frame, Pixels},
        tensor::{Bytes, DType},
        weights::{Incoming, unpack, write_safetensors},
    },
};

const OPTIONS: ClassifierOptions = ClassifierOptions { batch: 1, top_k: 5, frames: true };

/// The bytes of a safetensors file with the weights of a manifest.
fn file(manifest: &Manifest, dtype: Option<DType>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let weights = Weights::from_tensors(&manifest.name, manifest.weights());
    write_safetensors(&weights, &path, dtype, |_, _| {}).unwrap();
    std::fs::read(path).unwrap()
}

fn scores(mut classifier: Classifier) -> Vec<f32> {
    let bytes: Vec<u8> = (0..70 * 50 * 4).map(|i| (i * 31 % 253) as u8).collect();
    let frame = Frame { width: 70, height: 50, pixels: Pixels::Host(&bytes) };
    let options = FrameOptions { scores: true, map: Some(MapOf::Best) };
    block_on(classifier.classify_frame(&frame, options)).unwrap().scores.unwrap()
}

/// Pieces of any size give what the whole file gives, and reach the device while the rest is on its way.
#[test]
fn weights_reach_the_device_as_they_arrive() {
    let gpu = Device::Gpu(devices::lavapipe());
    for (name, dtype) in [("mambavision_t", Some(DType::F16)), ("mila_t", None)] {
        let file = file(&Manifest::load(name), dtype);
        let weights = Weights::from_bytes(name, Bytes::new(file.clone())).unwrap();
        let model = Model::new(weights, None, &ModelOptions { size: Some([64, 64]), ..Default::default() }).unwrap();
        let preparation = ClassifierPreparation::new(model, &gpu, OPTIONS).unwrap();
        let wanted = scores(block_on(preparation.finish(|_, _| {})).unwrap());
        for (total, piece) in [(Some(file.len() as u64), 8 << 20), (None, 7_777_777)] {
            let mut incoming = Incoming::new("a download", total);
            let mut preparation = None;
            let mut uploaded = Vec::new();
            for chunk in file.chunks(piece) {
                incoming.push(chunk).unwrap();
                if preparation.is_none() {
                    let weights = incoming.weights().expect("the header is in the first piece");
                    let options = ModelOptions { size: Some([64, 64]), ..Default::default() };
                    let model = Model::new(weights, None, &options).unwrap();
                    preparation = Some(ClassifierPreparation::new(model, &gpu, OPTIONS).unwrap());
                }
                if let Some(preparation) = &mut preparation {
                    block_on(preparation.upload()).unwrap();
                    uploaded.push(preparation.uploaded());
                }
            }
            assert_eq!(incoming.received(), file.len() as u64);
            incoming.finish().unwrap();
            let (half, all) = uploaded[uploaded.len() / 2 - 1];
            assert!(half > all / 3 && half < all, "{half} of {all} bytes at half time");
            assert_eq!(uploaded.last(), Some(&(all, all)));
            let got = scores(block_on(preparation.unwrap().finish(|_, _| {})).unwrap());
            assert!(rel_err(&got, &wanted) < 1e-6, "{name}");
        }
    }
}

/// A header cut by a piece, tensors of no bytes, and single bytes.
#[test]
fn pieces_may_be_of_any_size() {
    let manifest = Manifest::load("mila_micro");
    let file = file(&manifest, None);
    for piece in [1, 3, 65, 1757] {
        let mut incoming = Incoming::new("a download", Some(file.len() as u64));
        for chunk in file.chunks(piece) {
            incoming.push(chunk).unwrap();
        }
        let weights = incoming.finish().unwrap();
        for (key, tensor) in manifest.weights() {
            assert_eq!(weights.stored(&key).unwrap().bytes(), tensor.bytes(), "{key}");
        }
    }
}

#[test]
fn other_formats_are_kept_until_they_are_complete() {
    let manifest = Manifest::load("mambavision_micro");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pth");
    write_pth(&path, Some("model"), "", &manifest.weights());
    let mut incoming = Incoming::new("model.pth", None);
    for chunk in std::fs::read(path).unwrap().chunks(4321) {
        incoming.push(chunk).unwrap();
        assert!(incoming.weights().is_none());
    }
    assert_eq!(incoming.finish().unwrap().len(), manifest.weights().len());
}

/// A file of `torch.save` that another module reads.
fn unpacked(name: &str, file: &[u8]) -> Result<Weights, Error> {
    let (found, tensors) = unpack(&Bytes::new(file.to_vec()));
    let mut incoming = Incoming::new(name, Some(file.len() as u64));
    incoming.unpacked(file.len() as u64, &found)?;
    for piece in tensors.iter().flat_map(|tensor| tensor.bytes().chunks(1757)) {
        incoming.push(piece)?;
    }
    incoming.finish()
}

/// Everything that is known of a checkpoint, or why it is none.
fn described(weights: Result<Weights, Error>) -> String {
    let weights = match weights {
        Ok(weights) => weights,
        Err(error) => return error.to_string(),
    };
    let tensors: Vec<_> =
        weights.keys().map(|key| (key, weights.shape(key), weights.stored(key).map(|t| t.bytes().to_vec()))).collect();
    let state = weights.state(None).map(|(state, note)| (state.keys().map(str::to_owned).collect::<Vec<_>>(), note));
    let absent = weights.state(Some("absent")).map(|_| ());
    let (container, stripped, dtypes) = (weights.container(), weights.stripped(), weights.dtypes());
    format!("{container} {stripped} {dtypes:?} {tensors:?} {state:?} {absent:?}")
}

#[test]
fn files_that_another_module_reads_are_the_same_checkpoints_and_the_same_errors() {
    let folder = std::path::Path::new("tests/fixtures/pth");
    let mut files = 0;
    for name in folder.read_dir().unwrap().map(|item| item.unwrap().file_name().into_string().unwrap()) {
        if !name.ends_with(".pth") && !name.ends_with(".tar") {
            continue;
        }
        let file = std::fs::read(folder.join(&name)).unwrap();
        let cut = [file.len(), file.len() - 1, file.len() / 2, file.len() / 3, 200, 5];
        for file in cut.map(|length| &file[..length]) {
            let whole = described(Weights::from_bytes(&name, Bytes::new(file.to_vec())));
            assert_eq!(described(unpacked(&name, file)), whole, "{name}, {} bytes", file.len());
        }
        files += 1;
    }
    assert!(files > 8);
}

#[test]
fn several_states_of_a_file_that_another_module_reads() {
    let manifest = Manifest::load("mila_micro");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.pth");
    let state = || Node::state("module.", &manifest.weights());
    write_tree(&path, &Node::dict([("student", state()), ("teacher", state()), ("epoch", Node::Int(3))]));
    let file = std::fs::read(path).unwrap();
    let whole = described(Weights::from_bytes("x", Bytes::new(file.clone())));
    assert_eq!(described(unpacked("x", &file)), whole);
    assert!(whole.contains("it holds several models"), "{whole}");
}

#[test]
fn what_another_module_found_is_refused_where_it_is_cut_or_does_not_follow() {
    let file = std::fs::read("tests/fixtures/pth/state_dict.pth.tar").unwrap();
    let (found, tensors) = unpack(&Bytes::new(file));
    for length in 0..found.len() {
        let error = Incoming::new("x", None).unpacked(1, &found[..length]).unwrap_err().to_string();
        assert!(error.contains("load it again"), "{error}");
    }
    let error = Incoming::new("x", Some(9)).unpacked(8, &found).unwrap_err().to_string();
    assert!(error.contains("the download ended after 8 of 9 bytes"), "{error}");
    let mut incoming = Incoming::new("x", None);
    incoming.unpacked(1, &found).unwrap();
    incoming.push(tensors[0].bytes()).unwrap();
    assert!(incoming.finish().unwrap_err().to_string().contains("the download ended after"));
}

fn refused(bytes: &[u8], total: Option<u64>) -> String {
    let mut incoming = Incoming::new("a download", total);
    let failed = bytes.chunks(1000).find_map(|chunk| incoming.push(chunk).err());
    match failed.or_else(|| incoming.finish().err()) {
        Some(Error::Checkpoint { what, reason }) if what == "a download" => reason,
        other => panic!("{other:?}"),
    }
}

/// A file of safetensors that is nothing but a header.
fn header(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

#[test]
fn a_file_without_tensors_is_refused_as_in_one_piece() {
    assert!(refused(&header("{}"), None).contains("no tensors"));
}

/// The size of the file is not known, so only memory can say no.
#[test]
fn a_header_that_asks_for_more_than_there_is_ends_in_an_error() {
    let bytes = 1u64 << 60;
    let text = format!(r#"{{"a":{{"dtype":"F32","shape":[{}],"data_offsets":[0,{bytes}]}}}}"#, bytes / 4);
    let mut file = header(&text);
    file.push(0);
    // Nothing is set aside for what only the header claims.
    assert!(refused(&file, None).contains("truncated"));
}

#[test]
fn what_is_wrong_shows_as_early_as_it_can() {
    let file = file(&Manifest::load("mila_micro"), None);
    let len = file.len() as u64;
    assert!(refused(&file[..file.len() - 5], Some(len)).contains("the download ended after"));
    assert!(refused(&file[..file.len() - 5], None).contains("not complete"));
    assert!(refused(&file[..500], None).contains("truncated"));
    assert!(refused(b"", None).contains("empty"));
    assert!(refused(b"<!doctype html><html></html>", None).contains("web page"));
    assert!(refused(&[file.clone(), vec![0]].concat(), None).contains("longer than its header says"));
    // The header alone tells that the file on the server is too short.
    assert!(refused(&file[..2000.max(file.len() / 4)], Some(len - 9)).contains("truncated"));
    let mut huge = file.clone();
    huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(refused(&huge, Some(len)).contains("header is larger"));
    let mut damaged = file.clone();
    damaged[9] = 0xff;
    assert!(refused(&damaged, Some(len)).contains("damaged"));
}

/// Weights that have not arrived are an error, not zeros.
#[test]
fn nothing_runs_before_its_weights_are_there() {
    let file = file(&Manifest::load("mila_micro"), None);
    let mut incoming = Incoming::new("a download", None);
    incoming.push(&file[..file.len() / 2]).unwrap();
    let weights = incoming.weights().unwrap();
    assert!(weights.keys().filter_map(|key| weights.stored(key)).any(|tensor: Tensor| !tensor.ready()));
    let config = r#"{"model_type": "mila", "embed_dim": 16, "depths": [1, 1, 2, 1], "num_heads": [1, 2, 4, 4],
        "mlp_ratio": 4, "num_classes": 10, "resolution": 64}"#;
    for device in [Device::Cpu, Device::Gpu(devices::lavapipe())] {
        let model = Model::new(weights.clone(), Some(config), &ModelOptions::default()).unwrap();
        let preparation = ClassifierPreparation::new(model, &device, OPTIONS).unwrap();
        let failed = block_on(preparation.finish(|_, _| {}));
        assert!(matches!(&failed, Err(Error::InvalidArgument(reason)) if reason.contains("has not arrived")), "{failed:?}");
    }
}
