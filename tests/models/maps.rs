//! Backbones below a dense head, of families whose authors' segmentation networks there are no outputs of: the maps that the head takes.
//!
//! MILA's are those of the authors' detector, which has the same norms behind its stages; of VMamba's, the blocks are the authors', and
//! the norm behind them is evaluated here. The head itself is held against mmsegmentation over a MambaVision.

use webmamba::{
    Model, ModelOptions, Tensor, Weights,
    low_level::{
        graph::{Layout, Output},
        weights::fill_uniform,
    },
};

use super::{LOGITS, Run, channels_last, graph_for, manifest::Manifest, rel_err};

/// Fixtures, and of each the channels of its stages.
pub(super) const BACKBONES: [(&str, [usize; 4]); 3] =
    [("mila_micro_maps", [16, 32, 64, 128]), ("vmamba_micro", [16, 32, 64, 128]), ("vmamba_micro_s2", [16, 32, 64, 128])];

/// Channels and classes of the head.
const HEAD: [usize; 2] = [8, 3];

fn tensor(key: &str, shape: &[usize], lo: f64, hi: f64) -> (String, Tensor) {
    (key.to_owned(), Tensor::from_f32(shape, fill_uniform(key, &shape.into(), lo, hi)).unwrap())
}

/// A UPerNet for maps of these widths.
fn head(widths: [usize; 4]) -> Vec<(String, Tensor)> {
    let [n, classes] = HEAD;
    let mut layers: Vec<(String, [usize; 2])> = (0..4).map(|i| (format!("psp_modules.{i}.1"), [widths[3], 1])).collect();
    layers.extend((0..3).map(|k| (format!("lateral_convs.{k}"), [widths[k], 1])));
    layers.extend((0..3).map(|k| (format!("fpn_convs.{k}"), [n, 3])));
    layers.extend([("bottleneck".into(), [widths[3] + 4 * n, 3]), ("fpn_bottleneck".into(), [4 * n, 3])]);
    let mut all = Vec::new();
    for (path, [inputs, kernel]) in layers {
        all.push(tensor(&format!("decode_head.{path}.conv.weight"), &[n, inputs, kernel, kernel], -0.1, 0.1));
        for vector in ["weight", "bias", "running_mean", "running_var"] {
            all.push(tensor(&format!("decode_head.{path}.bn.{vector}"), &[n], 0.5, 1.5));
        }
    }
    all.push(tensor("decode_head.conv_seg.weight", &[classes, n, 1, 1], -1.0, 1.0));
    all.push(tensor("decode_head.conv_seg.bias", &[classes], -1.0, 1.0));
    all
}

/// A layer norm over the channels of `[1, C, H, W]`.
fn normalised(map: &Tensor, [weight, bias]: [&Tensor; 2]) -> Vec<f32> {
    let (channels, values) = (map.shape().dims()[1], map.to_f32());
    let (weight, bias, plane) = (weight.to_f32(), bias.to_f32(), values.len() / channels);
    let at = |channel: usize, pixel: usize| f64::from(values[channel * plane + pixel]);
    let mut out = vec![0.0; values.len()];
    for pixel in 0..plane {
        let mean = (0..channels).map(|c| at(c, pixel)).sum::<f64>() / channels as f64;
        let variance = (0..channels).map(|c| (at(c, pixel) - mean).powi(2)).sum::<f64>() / channels as f64;
        for c in 0..channels {
            let unit = (at(c, pixel) - mean) / (variance + 1e-5).sqrt();
            out[c * plane + pixel] = (unit * f64::from(weight[c]) + f64::from(bias[c])) as f32;
        }
    }
    out
}

/// Holds the four maps against the authors' on a device.
pub(super) fn check(name: &str, widths: [usize; 4], run: &Run) {
    let manifest = Manifest::load(name);
    let whole = manifest.tensors.iter().any(|filled| filled.name.starts_with("backbone.norm"));
    let mut weights = manifest.weights();
    if !whole {
        weights.retain(|(key, _)| !key.starts_with("classifier."));
        weights.iter_mut().for_each(|(key, _)| *key = format!("backbone.{key}"));
    }
    let norms: Vec<(String, Tensor)> = (0..4)
        .flat_map(|k| ["weight", "bias"].map(|part| tensor(&format!("backbone.outnorm{k}.{part}"), &[widths[k]], 0.5, 1.5)))
        .collect();
    weights.extend(norms.iter().filter(|_| !whole).cloned());
    weights.extend(head(widths));
    let mut config = manifest.config.clone();
    config["model_type"] = manifest.family.clone().into();
    let model = Model::new(Weights::from_tensors(name, weights), Some(&config.to_string()), &ModelOptions::default()).unwrap();
    assert_eq!(model.architecture.num_classes(), HEAD[1]);

    let case = &manifest.cases[0];
    let input = manifest.input(&case.id);
    let graph = graph_for(&model, &input);
    let value = |k: usize| graph.iter().filter(|(_, node)| node.name == format!("outnorm{k}")).last().unwrap().0;
    let outputs = (0..4).map(|k| Output { name: k.to_string(), value: value(k), layout: Layout::Nchw }).collect();
    let maps = run(&graph.clone().with_outputs(outputs), &channels_last(&input));
    for (k, map) in maps.iter().enumerate() {
        let traced = |module: &str| manifest.expected(&format!("{}.trace.{module}", case.id));
        let want = match whole {
            true => traced(&format!("backbone.out{k}")).to_f32().into_owned(),
            false => {
                let last = manifest.config["depths"][k].as_u64().unwrap() - 1;
                normalised(&traced(&format!("layers.{k}.blocks.{last}")), [&norms[2 * k].1, &norms[2 * k + 1].1])
            }
        };
        let error = rel_err(&map.to_f32(), &want);
        assert!(error <= LOGITS, "{name} map {k}: error {error:.2e} of the std");
    }
}
