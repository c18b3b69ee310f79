//! The reference fixtures: checkpoints by formula, inputs, and what the official implementations make of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unreachable_pub)]

use std::{collections::HashMap, fs, path::PathBuf};

use serde::Deserialize;
use serde_json::Value;
use webmamba::{
    Tensor,
    low_level::{
        tensor::{Bytes, DType, Shape, TensorDesc},
        weights::fill_uniform,
    },
};

/// One `fixtures/<name>.json` with its expected arrays.
pub struct Manifest {
    pub name: String,
    /// Such as `mambavision`.
    pub family: String,
    pub config: Value,
    /// The `config.json` that timm writes, where it has the model.
    pub hf_config: Option<Value>,
    /// Number of trainable parameters.
    pub params: u64,
    /// Every key of the checkpoint, in order.
    pub tensors: Vec<Filled>,
    pub cases: Vec<Case>,
    expected: HashMap<String, Tensor>,
}

/// A tensor that is given by a formula.
#[derive(Debug, Clone, Deserialize)]
pub struct Filled {
    pub name: String,
    pub shape: Vec<usize>,
    pub dtype: String,
    pub fill: Value,
}

/// An input and the names of its expected outputs.
#[derive(Debug, Clone, Deserialize)]
pub struct Case {
    pub id: String,
    pub input: Filled,
    pub expect: Expect,
    /// Height and width of the image that the input was made of, in dense models.
    #[serde(default)]
    pub ori_shape: Option<[usize; 2]>,
}

/// Names of expected arrays, for [`Manifest::expected`].
#[derive(Debug, Clone, Deserialize)]
pub struct Expect {
    #[serde(default)]
    pub logits: String,
    #[serde(default)]
    pub pooled: Option<String>,
    /// Of dense models: the logits at the input's and at the image's size, and the class of every pixel.
    #[serde(default)]
    pub logits_input: Option<String>,
    #[serde(default)]
    pub logits_original: Option<String>,
    #[serde(default)]
    pub class_map: Option<String>,
    #[serde(default)]
    pub stem: Option<String>,
    #[serde(default)]
    pub stages: Vec<String>,
    #[serde(default)]
    pub trace: Vec<String>,
}

#[derive(Deserialize)]
struct Raw {
    name: String,
    family: String,
    config: Value,
    hf_config: Option<Value>,
    params: u64,
    expected_file: String,
    tensors: Vec<Filled>,
    cases: Vec<Case>,
}

/// A file below `tests/fixtures`.
pub fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

impl Manifest {
    pub fn load(name: &str) -> Self {
        let text = fs::read(fixture(&format!("{name}.json"))).expect("a fixture");
        let raw: Raw = serde_json::from_slice(&text).expect("a manifest");
        let expected = read_arrays(&raw.expected_file);
        let Raw { name, family, config, hf_config, params, tensors, cases, .. } = raw;
        Self { name, family, config, hf_config, params, tensors, cases, expected }
    }

    /// The checkpoint, every buffer included.
    pub fn weights(&self) -> Vec<(String, Tensor)> {
        self.tensors.iter().map(|filled| (filled.name.clone(), filled.tensor())).collect()
    }

    pub fn case(&self, id: &str) -> &Case {
        self.cases.iter().find(|case| case.id == id).unwrap_or_else(|| panic!("{} has no case {id}", self.name))
    }

    /// The normalised images of a case, `[B, 3, H, W]`.
    pub fn input(&self, case: &str) -> Tensor {
        self.case(case).input.tensor()
    }

    /// An expected array by its full name, such as `b1_64.logits`.
    pub fn expected(&self, name: &str) -> Tensor {
        self.expected.get(name).unwrap_or_else(|| panic!("{} has no expected array {name}", self.name)).clone()
    }
}

impl Filled {
    /// The values.
    pub fn tensor(&self) -> Tensor {
        let fill = &self.fill;
        let number = |key: &str| fill[key].as_f64().unwrap_or_else(|| panic!("{}: no {key} in {fill}", self.name));
        let size = |key: &str| number(key) as usize;
        let shape = Shape::from(self.shape.as_slice());
        let values = match fill["kind"].as_str().expect("a kind") {
            "uniform" => fill_uniform(&self.name, &shape, number("lo"), number("hi")),
            "constant" if self.dtype == "I64" => {
                let bytes = (number("value") as i64).to_le_bytes().repeat(shape.len());
                return Tensor::new(TensorDesc { dtype: DType::I64, shape }, Bytes::new(bytes)).unwrap();
            }
            "constant" => vec![number("value") as f32; shape.len()],
            "computed" => {
                assert_eq!(fill["formula"], "mila_rope");
                mila_rope(size("h"), size("w"), size("dim"), number("base") as f32)
            }
            "values" => fill["values"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect(),
            "blocks" => self.blocks(size("cell")),
            "tensor" => {
                let array = &read_arrays(fill["file"].as_str().unwrap())[fill["tensor"].as_str().unwrap()];
                array.to_f32().into_owned()
            }
            other => panic!("{}: unknown fill {other}", self.name),
        };
        Tensor::from_f32(shape, values).unwrap()
    }

    /// Piecewise constant cells and noise.
    fn blocks(&self, cell: usize) -> Vec<f32> {
        // The frames of clips are filled as channels.
        let &[b, ref planes @ .., h, w] = self.shape.as_slice() else { panic!("{}: not an image", self.name) };
        let c = planes.iter().product();
        let (rows, columns) = (h.div_ceil(cell), w.div_ceil(cell));
        let part = |part: &str, shape: [usize; 4]| {
            let end = |key: &str| self.fill[part][key].as_f64().unwrap();
            fill_uniform(&format!("{}.{part}", self.name), &shape.into(), end("lo"), end("hi"))
        };
        let coarse = part("coarse", [b, c, rows, columns]);
        let mut values = part("fine", [b, c, h, w]);
        for (i, value) in values.iter_mut().enumerate() {
            let (plane, y, x) = (i / (h * w), i / w % h, i % w);
            *value += coarse[(plane * rows + y / cell) * columns + x / cell];
        }
        values
    }
}

/// `[B, 3, H, W]`, or `[B, 3, T, H, W]`, as graphs take it: `[B, H, W, 3]`, or `[B * T, H, W, 3]`.
pub fn channels_last(input: &Tensor) -> Tensor {
    let &[b, c, ref frames @ .., h, w] = input.shape().dims() else { panic!("input {}", input.shape()) };
    let frames = frames.first().copied().unwrap_or(1);
    let plane = frames * h * w;
    let (src, mut out) = (input.to_f32(), vec![0.0; input.shape().len()]);
    for (i, v) in src.iter().enumerate() {
        let (sample, channel, at) = (i / (c * plane), i / plane % c, i % plane);
        out[(sample * plane + at) * c + channel] = *v;
    }
    Tensor::from_f32([b * frames, h, w, c], out).unwrap()
}

/// MILA's table of rotations, `[h, w, dim / 2, 2]`: cosine and sine of the row's angles, then of the column's.
pub fn mila_rope(h: usize, w: usize, dim: usize, base: f32) -> Vec<f32> {
    let k_max = dim / 4;
    let theta: Vec<f32> = (0..k_max).map(|k| 1.0 / base.powf(k as f32 / k_max as f32)).collect();
    let mut values = Vec::with_capacity(h * w * dim);
    for i in 0..h {
        for j in 0..w {
            for place in [i, j] {
                for theta in &theta {
                    let angle = place as f32 * theta;
                    values.extend([angle.cos(), angle.sin()]);
                }
            }
        }
    }
    values
}

/// All arrays of a safetensors file below `tests/fixtures`, F32 and U8.
pub fn read_arrays(file: &str) -> HashMap<String, Tensor> {
    let bytes = fs::read(fixture(file)).unwrap_or_else(|error| panic!("fixture {file}: {error}"));
    let arrays = safetensors::SafeTensors::deserialize(&bytes).expect("safetensors");
    let array = |view: safetensors::tensor::TensorView<'_>| {
        if view.dtype() == safetensors::Dtype::U8 {
            let desc = TensorDesc { dtype: DType::U8, shape: view.shape().to_vec().into() };
            return Tensor::new(desc, Bytes::new(view.data().to_vec())).unwrap();
        }
        assert_eq!(view.dtype(), safetensors::Dtype::F32);
        let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        Tensor::from_f32(view.shape().to_vec(), values).unwrap()
    };
    arrays.iter().map(|(name, view)| (name.to_owned(), array(view))).collect()
}

/// The largest difference, in standard deviations of `want`.
///
/// # Panics
/// When the sizes differ, or a value is NaN or infinite.
pub fn rel_err(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len(), "{} values instead of {}", got.len(), want.len());
    assert!(!want.is_empty(), "nothing to compare");
    if let Some(i) = got.iter().position(|x| !x.is_finite()) {
        panic!("element {i} is {} instead of {}", got[i], want[i]);
    }
    let n = want.len() as f64;
    let mean = want.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let std = (want.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n).sqrt();
    let worst = got.iter().zip(want).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs()).fold(0.0, f64::max);
    // A constant has no deviation to measure by: its size takes the place.
    worst / if std > 0.0 { std } else { mean.abs().max(1.0) }
}
