//! Checkpoints: reading every container, refusing every damaged one, reporting what does not fit, converting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "weights/containers.rs"]
mod containers;
#[path = "weights/convert.rs"]
mod convert;
#[path = "weights/fuzz.rs"]
mod fuzz;
#[path = "weights/hostile.rs"]
mod hostile;
#[path = "weights/quantised.rs"]
mod quantised;

use common::manifest::{Manifest, fixture, mila_rope};
use serde_json::{Value, json};
use webmamba::{
    Error, Result, Tensor, WeightReport, Weights,
    low_level::{
        models::preset,
        tensor::{Bytes, DType, TensorDesc},
        weights::{Gains, fill_uniform, fnv1a64},
    },
};

/// A safetensors file with this header, and zeros as data.
fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + data, 0);
    file
}

/// A safetensors file of named F32 tensors.
fn f32_file(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::<u8>::new());
    for (key, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        header.insert((*key).into(), json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}));
    }
    let mut file = safetensors(&Value::Object(header).to_string(), 0);
    file.extend(data);
    file
}

fn load(bytes: Vec<u8>) -> Result<Weights> {
    Weights::from_bytes("test", Bytes::new(bytes))
}

fn f32(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_f32(shape, values.to_vec()).unwrap()
}

fn i64(values: &[i64]) -> Tensor {
    let bytes = values.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    Tensor::new(TensorDesc { dtype: DType::I64, shape: [values.len()].into() }, Bytes::new(bytes)).unwrap()
}

/// The reason for which a checkpoint is refused.
fn refusal(result: Result<Weights>) -> String {
    match result {
        Err(Error::Checkpoint { reason, .. }) => reason,
        Err(other) => panic!("another error: {other}"),
        Ok(weights) => panic!("accepted, with {:?}", weights.keys().collect::<Vec<_>>()),
    }
}

fn report(result: Result<()>) -> WeightReport {
    match result {
        Err(Error::WeightMismatch { report, .. }) => report,
        other => panic!("no report but {other:?}"),
    }
}

fn all(_: &str) -> bool {
    true
}

fn none(_: &str) -> bool {
    false
}

#[test]
fn views_and_lookups() {
    fn shareable<T: Send + Sync + Clone>() {}
    shareable::<Weights>();
    let weights = load(f32_file(&[("a.0.w", &[2, 1], &[1.0, 2.0]), ("a.0.b", &[1], &[3.0]), ("c", &[], &[4.0])])).unwrap();
    let reader = weights.reader();
    let view = reader.pp("a").pp(0);
    assert_eq!(view.path("w"), "a.0.w");
    assert_eq!(view.get("w", &[2, 1]).unwrap().to_f32().as_ref(), [1.0, 2.0]);
    assert_eq!(view.get_opt("b", &[1]).unwrap().unwrap().to_f32().as_ref(), [3.0]);
    assert!(view.get_opt("g", &[1]).unwrap().is_none());
    assert!(view.contains("b") && !view.contains("c") && weights.contains("c"));
    assert_eq!(view.shape("w").unwrap().dims(), [2, 1]);
    assert_eq!(weights.keys().collect::<Vec<_>>(), ["a.0.w", "a.0.b", "c"]);
    assert_eq!((weights.len(), weights.is_empty(), weights.parameter_count()), (3, false, 4));
    assert_eq!((weights.dtype(), weights.name()), (Some(DType::F32), "test"));
    assert_eq!(weights.stored("c").unwrap().shape().dims(), [0usize; 0]);
    assert!(reader.has_read("a.0.w") && reader.has_read("a.0.b") && !reader.has_read("c"));
    reader.get("c", &[]).unwrap();
    reader.finish("model", none).unwrap();
}

#[test]
fn one_report_names_everything_that_does_not_fit() {
    let file = f32_file(&[("kept", &[1], &[1.0]), ("shape", &[2], &[1.0; 2]), ("extra", &[1], &[1.0]), ("known", &[1], &[1.0])]);
    let weights = load(file).unwrap();
    let reader = weights.reader();
    reader.get("kept", &[1]).unwrap();
    let zeros = reader.get("shape", &[3]).unwrap();
    assert_eq!((zeros.dtype(), zeros.to_f32().as_ref()), (DType::F32, [0.0; 3].as_slice()));
    reader.get("gone", &[2, 2]).unwrap();
    reader.pp("deep").get("gone", &[]).unwrap();
    reader.pp("deep").get("gone", &[]).unwrap();
    let error = reader.finish("tiny", |key| key == "known").unwrap_err().to_string();
    assert!(error.contains("tiny") && error.contains("shape: expected [3], found [2]"), "{error}");
    let report = report(reader.finish("tiny", none));
    assert_eq!(report.missing, ["gone: [2, 2]", "deep.gone: []"]);
    assert_eq!(report.mismatched, ["shape: expected [3], found [2]"]);
    assert_eq!(report.unread, ["extra: [1]", "known: [1]"]);
}

/// The account belongs to one build: a wrong question of one reader is no matter of another, not even at the same time.
#[test]
fn readers_do_not_share_an_account() {
    let weights = load(f32_file(&[("a", &[1], &[1.0]), ("b", &[1], &[2.0])])).unwrap();
    let curious = weights.reader();
    curious.get("c", &[1]).unwrap();
    let build = || {
        let reader = weights.reader();
        reader.get("a", &[1]).unwrap();
        reader.get("b", &[1]).unwrap();
        reader.finish("model", none)
    };
    build().unwrap();
    std::thread::scope(|scope| {
        let builds: Vec<_> = (0..8).map(|_| scope.spawn(|| (0..100).try_for_each(|_| build()))).collect();
        builds.into_iter().for_each(|build| build.join().unwrap().unwrap());
    });
    assert_eq!(report(curious.finish("model", none)).missing, ["c: [1]"]);
}

/// A layer may be stored as a convolution of one pixel.
#[test]
fn ones_at_the_end_of_a_shape_do_not_matter() {
    let weights = load(f32_file(&[("w", &[2, 1, 1, 1], &[1.0, 2.0])])).unwrap();
    let reader = weights.reader();
    assert_eq!(reader.get("w", &[2, 1]).unwrap().shape().dims(), [2, 1]);
    assert_eq!(reader.get("w", &[2]).unwrap().to_f32().as_ref(), [1.0, 2.0]);
    reader.finish("m", none).unwrap();
    reader.get("w", &[1, 2]).unwrap();
    assert_eq!(report(reader.finish("m", none)).mismatched, ["w: expected [1, 2], found [2, 1, 1, 1]"]);
}

#[test]
fn integers_and_unknown_types_matter_only_when_read() {
    let header = r#"{"n":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},"q":{"dtype":"F8_E4M3","shape":[4],"data_offsets":[8,12]},
        "w":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}"#;
    let weights = load(safetensors(header, 16)).unwrap();
    assert_eq!(weights.stored("n").unwrap().dtype(), DType::I64);
    assert!(weights.contains("q") && weights.stored("q").is_none());
    let reader = weights.reader();
    reader.get("w", &[1]).unwrap();
    reader.finish("m", |key| key == "n" || key == "q").unwrap();
    reader.get("n", &[1]).unwrap();
    reader.get("q", &[4]).unwrap();
    let report = report(reader.finish("m", none));
    assert_eq!(
        report.mismatched,
        ["n: expected floating point, found integers without scales", "q: expected floating point, found F8_E4M3"]
    );
    assert!(report.unread.is_empty());
}

#[test]
fn common_prefixes_are_taken_away() {
    let keys = |keys: &[&str]| {
        let tensors: Vec<_> = keys.iter().map(|key| (*key, [1usize].as_slice(), [1.0f32].as_slice())).collect();
        load(f32_file(&tensors)).map(|w| w.keys().map(str::to_owned).collect::<Vec<_>>())
    };
    assert_eq!(keys(&["model.a", "model.b"]).unwrap(), ["a", "b"]);
    assert_eq!(keys(&["module.model.a.w", "module.model.b"]).unwrap(), ["a.w", "b"]);
    assert_eq!(keys(&["module.encoder.a", "module.encoder.b"]).unwrap(), ["a", "b"]);
    assert_eq!(keys(&["model.a", "b"]).unwrap(), ["model.a", "b"]);
    assert_eq!(keys(&["modelled.a"]).unwrap(), ["modelled.a"]);
    assert_eq!(keys(&["model."]).unwrap(), ["model."]);
    let averaged =
        r#"{"n":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"module.w":{"dtype":"F32","shape":[],"data_offsets":[8,12]}}"#;
    assert_eq!(load(safetensors(averaged, 12)).unwrap().keys().collect::<Vec<_>>(), ["n", "w"]);
    let clash = averaged.replace("\"n\"", "\"w\"");
    assert!(refusal(load(safetensors(&clash, 12))).contains("with and without the prefix"));
}

#[test]
fn values_that_are_not_finite_are_named() {
    let file = f32_file(&[("ok", &[2], &[1e38, -0.0]), ("nan", &[2], &[0.0, f32::NAN]), ("inf", &[1], &[f32::NEG_INFINITY])]);
    assert_eq!(load(file).unwrap().non_finite(), ["nan", "inf"]);
    for (dtype, infinity) in [("F16", 0xfc00u16), ("BF16", 0x7f80)] {
        let header = format!(r#"{{"a":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,4]}}}}"#);
        let mut file = safetensors(&header, 4);
        assert!(load(file.clone()).unwrap().non_finite().is_empty());
        let end = file.len();
        file[end - 2..].copy_from_slice(&infinity.to_le_bytes());
        assert_eq!(load(file).unwrap().non_finite(), ["a"]);
    }
}

#[test]
fn zeros_have_every_key_and_little_memory() {
    let zeros = Weights::zeros("z");
    let reader = zeros.reader();
    let large = reader.pp("a").get("w", &[1 << 14, 1 << 14]).unwrap();
    assert_eq!((large.bytes().len(), large.bytes()[12345]), (1 << 30, 0));
    let small = reader.get("b", &[3]).unwrap();
    assert!(std::ptr::eq(&large.bytes()[0], &small.bytes()[0]));
    assert!(reader.get_opt("c", &[1]).unwrap().is_none() && zeros.is_empty());
    reader.finish("any", none).unwrap();
}

#[test]
fn shapes_beyond_memory_are_errors() {
    for weights in [Weights::zeros("z"), Weights::synthetic("s", &Gains::NONE), Weights::from_tensors("t", [])] {
        for shape in [[usize::MAX, 2].as_slice(), &[1 << 60, 1], &[1 << 32, 1 << 32]] {
            assert!(matches!(weights.reader().get("w", shape), Err(Error::InvalidArgument(_))));
        }
    }
    assert!(matches!(Weights::zeros("z").reader().get("w", &[1 << 58]), Err(Error::InvalidArgument(_))));
}

#[test]
fn the_fill_formula_gives_its_check_values() {
    assert_eq!(fnv1a64(""), 0xCBF2_9CE4_8422_2325);
    assert_eq!(fnv1a64("foobar"), 0x8594_4171_F739_67E8);
    let checks: Vec<Value> = serde_json::from_slice(&std::fs::read(fixture("fill_check.json")).unwrap()).unwrap();
    for check in &checks {
        let hex = |value: &Value| u64::from_str_radix(&value.as_str().unwrap()[2..], 16).unwrap();
        let bits: Vec<u32> = check["f32_bits"].as_array().unwrap().iter().map(|bits| hex(bits) as u32).collect();
        let name = check["name"].as_str().unwrap();
        let values: Vec<f32> = if let Some(places) = check["at"].as_array() {
            let filled: common::manifest::Filled =
                serde_json::from_value(json!({"name": name, "shape": check["shape"], "dtype": "F32", "fill": check["fill"]}))
                    .unwrap();
            let image = filled.tensor().to_f32().into_owned();
            let place = |at: &Value| {
                at.as_array().unwrap().iter().zip(&filled.shape).fold(0, |n, (i, size)| n * size + i.as_u64().unwrap() as usize)
            };
            places.iter().map(|at| image[place(at)]).collect()
        } else {
            let first = check["first_index"].as_u64().unwrap_or(0) as usize;
            if let Some(hash) = check.get("fnv1a64") {
                assert_eq!(fnv1a64(name), hex(hash));
            }
            let (lo, hi) = (check["lo"].as_f64().unwrap(), check["hi"].as_f64().unwrap());
            fill_uniform(name, &[first + bits.len()].into(), lo, hi)[first..].to_vec()
        };
        assert_eq!(values.iter().map(|x| x.to_bits()).collect::<Vec<_>>(), bits, "{name}");
    }
}

/// The gains of a family give the very values of the fixtures; what they cannot tell apart by the key alone is listed.
#[test]
fn synthetic_weights_are_those_of_the_manifest() {
    let mila = ["norm.bias", "head.weight"];
    for (name, variant, exceptions) in [
        ("mambavision_micro", "mamba_vision_t", [].as_slice()),
        ("mambavision_t", "mamba_vision_t", &[]),
        ("mila_micro", "mila_t", &mila),
        ("mila_t", "mila_t", &mila),
        ("mambaout_micro", "mambaout_femto", &[]),
        ("mambaout_micro_rw", "mambaout_small_rw", &[]),
        ("mambaout_femto", "mambaout_femto", &[]),
        ("vim_micro", "vim_t", &[]),
        ("vim_micro_s8", "vim_t_s8", &[]),
        ("vim_t", "vim_t", &[]),
        ("vmamba_micro", "vmamba_t_s1l8", &[]),
        ("vmamba_micro_s2", "vmamba_t_s2l5", &[]),
        ("vmamba_micro_v0", "vmamba_t_v0", &[]),
        ("vmamba_t", "vmamba_t_s1l8", &[]),
        ("videomamba_micro_image", "videomamba_t", &[]),
    ] {
        let reader = preset(variant).unwrap().architecture.synthetic("s").reader();
        for filled in Manifest::load(name).tensors.iter().filter(|filled| filled.fill["kind"] == "uniform") {
            if exceptions.contains(&filled.name.as_str()) {
                continue;
            }
            let (want, got) = (filled.tensor(), reader.get(&filled.name, &filled.shape).unwrap());
            assert_eq!((got.desc(), got.bytes()), (want.desc(), want.bytes()), "{name}: {}", filled.name);
        }
        reader.finish(name, none).unwrap();
    }
}

#[test]
fn manifests_describe_whole_checkpoints() {
    for (name, case) in [
        ("mambavision_micro", "b2_96x80"),
        ("mila_micro", "b1_64"),
        ("mambavision_t", "b2_224"),
        ("mila_t", "b1_224"),
        ("mambaout_micro", "b1_48x64"),
        ("mambaout_micro_rw", "b1_48x64"),
        ("mambaout_femto", "b1_96x128"),
        ("vim_micro", "b1_64"),
        ("vim_micro_s8", "b1_64"),
        ("vim_t", "b1_224"),
        ("vmamba_micro", "b1_64"),
        ("vmamba_micro_s2", "b1_48x64"),
        ("vmamba_micro_v0", "b1_48x64"),
        ("vmamba_t", "b1_224"),
        ("videomamba_micro_image", "b1_64"),
    ] {
        let manifest = Manifest::load(name);
        assert_eq!(manifest.name, name);
        let weights = Weights::from_tensors(name, manifest.weights());
        assert_eq!(weights.parameter_count(), manifest.params, "{name}");
        assert!(weights.non_finite().is_empty());
        let expect = manifest.case(case).expect.clone();
        let logits = manifest.expected(&expect.logits);
        assert_eq!(logits.shape().dims()[0], manifest.input(case).shape().dims()[0]);
        assert_eq!(common::manifest::rel_err(&logits.to_f32(), &logits.to_f32()), 0.0);
        assert!(
            expect.stages.iter().chain(&expect.stem).chain(&expect.trace).all(|key| !manifest.expected(key).shape().is_empty())
        );
    }
    let rope = mila_rope(2, 3, 8, 10000.0);
    assert_eq!((rope.len(), rope[0], rope[1]), (2 * 3 * 8, 1.0, 0.0));
    // Row 0, column 2: cosine and sine of 2 stand after the row's two pairs.
    assert_eq!(rope[16 + 4..16 + 6], [2f32.cos(), 2f32.sin()]);
}
