//! Every container in its genuine form.

use std::{fs, path::Path};

use super::{
    common::{
        manifest::fixture,
        pth_writer::{state_pickle, write_archive, write_pth},
    },
    f32, f32_file, i64, none, refusal,
};
use serde_json::{Value, json};
use webmamba::{Error, Tensor, Weights};

fn pth(name: &str) -> std::path::PathBuf {
    fixture("pth").join(name)
}

#[test]
fn genuine_torch_files_are_read_as_torch_reads_them() {
    let expected: Value = serde_json::from_slice(&fs::read(pth("expected.json")).unwrap()).unwrap();
    let files = expected.as_object().unwrap();
    assert!(files.len() >= 6);
    for (name, tensors) in files {
        let weights = Weights::open(pth(name)).unwrap();
        for (key, want) in tensors.as_object().unwrap() {
            let tensor = weights.stored(key).unwrap_or_else(|| panic!("{name} lacks {key}"));
            let values: Vec<f32> = want["values"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect();
            let shape: Vec<usize> = serde_json::from_value(want["shape"].clone()).unwrap();
            assert_eq!(tensor.dtype().name(), want["dtype"], "{name}: {key}");
            assert_eq!((tensor.shape().dims(), tensor.to_f32().as_ref()), (&shape[..], &values[..]), "{name}: {key}");
        }
        let extra = usize::from(name == "kinds.pth");
        assert_eq!(weights.len(), tensors.as_object().unwrap().len() + extra, "{name}");
    }
    assert!(Weights::open(pth("kinds.pth")).unwrap().stored("f8").is_none());
}

/// A module saved whole, a state beside a note, and a state under a name of its author's own.
#[test]
fn genuine_torch_files_that_hold_more_than_a_state_dictionary_load() {
    let keys = |name| Weights::open(pth(name)).unwrap().keys().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(keys("whole_module.pth"), ["weight", "bias"]);
    assert_eq!(keys("not_only_tensors.pth"), ["a"]);
    assert_eq!(keys("other_key.pth").len(), 8);
}

fn sample() -> Vec<(String, Tensor)> {
    vec![("a.w".into(), f32(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])), ("a.n".into(), i64(&[7])), ("b".into(), f32(&[], &[0.5]))]
}

fn check(weights: &Weights) {
    assert_eq!(weights.keys().collect::<Vec<_>>(), ["a.w", "a.n", "b"]);
    for (key, tensor) in sample() {
        assert_eq!(weights.stored(&key).unwrap().bytes(), tensor.bytes());
        assert_eq!(weights.shape(&key).unwrap(), *tensor.shape());
    }
}

#[test]
fn the_test_writer_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    for (outer, prefix) in [(Some("state_dict"), "module."), (Some("model"), ""), (None, "model.")] {
        let path = dir.path().join("x.pth");
        write_pth(&path, outer, prefix, &sample());
        check(&Weights::open(&path).unwrap());
    }
}

#[test]
fn stored_archives_are_used_where_they_lie_and_deflated_ones_inflated() {
    let pickle = state_pickle(None, "", &sample());
    for method in [zip::CompressionMethod::Stored, zip::CompressionMethod::Deflated] {
        let mut file = std::io::Cursor::new(Vec::new());
        write_archive(&mut file, &pickle, &sample(), method);
        let file: &'static [u8] = file.into_inner().leak();
        let weights = Weights::from_bytes("x", webmamba::low_level::tensor::Bytes::new(file)).unwrap();
        check(&weights);
        let inside = file.as_ptr_range().contains(&weights.stored("a.w").unwrap().bytes().as_ptr());
        assert_eq!(inside, method == zip::CompressionMethod::Stored);
    }
}

/// A folder with these files; contents are given in full.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

fn open(dir: &tempfile::TempDir) -> Result<Weights, Error> {
    Weights::open(dir.path())
}

#[test]
fn a_folder_is_searched_in_order() {
    let one = f32_file(&[("model.one", &[1], &[1.0])]);
    let two = f32_file(&[("two", &[1], &[2.0])]);
    let keys = |dir| open(&dir).unwrap().keys().collect::<Vec<_>>().join(" ");
    assert_eq!(keys(folder(&[("model.safetensors", &one), ("other.safetensors", &two), ("config.json", b"{}")])), "one");
    assert_eq!(keys(folder(&[("other.safetensors", &two), ("config.json", b"{}")])), "two");
    // The contents decide what a file is, not its name.
    assert_eq!(keys(folder(&[("pytorch_model.bin", &two), ("README.md", b"")])), "two");
    assert_eq!(keys(folder(&[("m.pth.tar", &fs::read(pth("views.pth")).unwrap())])).split(' ').next(), Some("whole"));
    assert!(refusal(open(&folder(&[("a.pth", &one), ("b.safetensors", &two)]))).contains("a.pth, b.safetensors"));
    assert!(refusal(open(&folder(&[("config.json", b"{}"), ("notes.txt", b"")]))).contains("config.json, notes.txt"));
    assert!(refusal(open(&folder(&[]))).contains("empty"));
    assert!(matches!(Weights::open(Path::new("does/not/exist.pth")), Err(Error::Io { .. })));
}

#[test]
fn shards_are_joined() {
    let one = f32_file(&[("model.a", &[1], &[1.0])]);
    let two = f32_file(&[("model.b", &[1], &[2.0])]);
    let index = |map: Value| json!({"metadata": {}, "weight_map": map}).to_string().into_bytes();
    let full = index(json!({"model.a": "1.safetensors", "model.b": "2.safetensors"}));
    const INDEX: &str = "model.safetensors.index.json";
    let weights = open(&folder(&[(INDEX, &full), ("1.safetensors", &one), ("2.safetensors", &two)])).unwrap();
    let reader = weights.reader();
    assert_eq!(reader.get("a", &[1]).unwrap().to_f32()[0], 1.0);
    assert_eq!(reader.get("b", &[1]).unwrap().to_f32()[0], 2.0);
    reader.finish("m", none).unwrap();
    let bad = |files: &[(&str, &[u8])]| refusal(open(&folder(files)));
    assert!(bad(&[(INDEX, &full), ("1.safetensors", &one)]).contains("missing: 2.safetensors"));
    assert!(
        bad(&[(INDEX, &full), ("1.safetensors", &one), ("2.safetensors", &one)]).contains("`model.b` should be in 2.safetensors")
    );
    let both = f32_file(&[("model.a", &[1], &[1.0]), ("model.b", &[1], &[2.0])]);
    assert!(bad(&[(INDEX, &full), ("1.safetensors", &both), ("2.safetensors", &two)]).contains("is in 1.safetensors and in 2"));
    assert!(bad(&[(INDEX, &full), ("1.safetensors", &one), ("2.safetensors", b"")]).contains("empty"));
    for name in ["../1.safetensors", "/etc/passwd", "..", "", "a\\b"] {
        assert!(bad(&[(INDEX, &index(json!({"a": name})))]).contains("not a plain name"));
    }
    assert!(bad(&[(INDEX, &index(json!({"a": 3})))]).contains("not a plain name"));
    assert!(bad(&[(INDEX, b"{}")]).contains("weight_map"));
    assert!(bad(&[(INDEX, b"[")]).contains("not JSON"));
    assert!(bad(&[(INDEX, &index(json!({})))]).contains("no tensors"));
}
