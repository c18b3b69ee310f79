//! Heads under other names and of other sizes, and the labels of their classes.

use super::micro::Micro;
use serde_json::{Value, json};
use webmamba::{Error, Model, ModelOptions, Result, Tensor, Weights};

type Tensors = Vec<(String, Tensor)>;

/// The checkpoint with its head under another path.
fn moved(micro: &Micro, path: &str) -> Tensors {
    let rename = |(key, tensor): (String, Tensor)| match key.strip_prefix("head.") {
        Some(rest) => (format!("{path}.{rest}"), tensor),
        None => (key, tensor),
    };
    micro.tensors().into_iter().map(rename).collect()
}

fn model(micro: &Micro, tensors: Tensors, changes: Value) -> Result<Model> {
    Model::new(Weights::from_tensors("micro", tensors), Some(&micro.config(changes)), &ModelOptions::default())
}

#[test]
fn one_linear_layer_is_the_head_whatever_its_name() {
    let micro = Micro::new();
    for path in [
        "head.0",
        "head.1",
        "head.fc",
        "head.l",
        "fc",
        "classifier",
        "classifier.1",
        "classifier.head",
        "cls_head.fc",
        "last_linear",
    ] {
        let model = micro.model(moved(&micro, path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        micro.same(&model, path);
        assert!(model.assumptions.iter().any(|told| told.contains(&format!("`{path}`"))), "{path}: {:?}", model.assumptions);
    }
    // Beside a wrapped backbone.
    for (prefix, path) in [("0.", "1"), ("backbone.", "head"), ("model.backbone.", "model.classifier.1"), ("encoder.", "fc")] {
        let place = |(key, tensor): (String, Tensor)| {
            if key.starts_with(path) { (key, tensor) } else { (format!("{prefix}{key}"), tensor) }
        };
        let model = micro.model(moved(&micro, path).into_iter().map(place)).unwrap_or_else(|error| panic!("{prefix}: {error}"));
        micro.same(&model, prefix);
    }
    // As a convolution of one pixel.
    let mut tensors = micro.tensors();
    let (_, weight) = tensors.iter_mut().find(|(key, _)| key == "head.weight").unwrap();
    *weight = weight.reshape([10, 128, 1, 1]).unwrap();
    micro.same(&micro.model(tensors).unwrap(), "a convolution");
}

/// Under its usual name a head that lacks its bias is not complete.
#[test]
fn a_head_may_have_no_bias_under_another_name() {
    let micro = Micro::new();
    let mut zero = micro.tensors();
    zero.iter_mut()
        .filter(|(key, _)| key == "head.bias")
        .for_each(|(_, bias)| *bias = Tensor::from_f32([10], vec![0.0; 10]).unwrap());
    let without = moved(&micro, "fc").into_iter().filter(|(key, _)| key != "fc.bias");
    let (a, b) = (micro.model(without).unwrap(), micro.model(zero).unwrap());
    assert_eq!(super::micro::logits(&a), super::micro::logits(&b));
    assert!(a.assumptions.iter().any(|told| told.contains("`fc`, which has no bias")), "{:?}", a.assumptions);
    match micro.model(micro.tensors().into_iter().filter(|(key, _)| key != "head.bias")) {
        Err(Error::WeightMismatch { report, cause, .. }) => {
            assert!(report.missing == ["head.bias: [10]"] && cause.contains("not complete"), "{cause} {report}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn heads_that_are_more_than_a_layer_are_refused() {
    let micro = Micro::new();
    let extra =
        |key: &str, shape: &[usize]| (key.to_owned(), Tensor::from_f32(shape, vec![0.5; shape.iter().product()]).unwrap());
    let refused = |tensors: Tensors| match micro.model(tensors) {
        Err(Error::Checkpoint { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let mut layers = moved(&micro, "head.0");
    layers.push(extra("head.3.weight", &[4, 10]));
    assert!(refused(layers).contains("more than one linear layer: `head.3.weight`"));
    let mut several = moved(&micro, "fc");
    several.push(extra("classifier.weight", &[10, 128]));
    assert!(refused(several).contains("several heads (`fc.weight`, `classifier.weight`)"));
}

#[test]
fn a_bias_without_its_weight_is_no_backbone() {
    let micro = Micro::new();
    let torn = micro.tensors().into_iter().filter(|(key, _)| key != "head.weight").collect();
    let error = model(&micro, torn, json!({})).unwrap_err().to_string();
    assert!(error.contains("`head.bias`, but no `head.weight`"), "{error}");
}

#[test]
fn without_a_head_it_is_a_backbone() {
    let micro = Micro::new();
    let tensors: Tensors = micro.tensors().into_iter().filter(|(key, _)| !key.starts_with("head.")).collect();
    let model = model(&micro, tensors, json!({})).unwrap();
    assert_eq!(model.architecture.num_classes(), 0);
    assert!(model.assumptions.iter().any(|told| told.contains("no head")), "{:?}", model.assumptions);
}

#[test]
fn the_rows_of_the_head_are_the_classes() {
    let micro = Micro::new();
    for changes in [json!({"num_classes": 1000}), json!({"num_classes": null}), json!({"num_classes": null, "num_labels": 3})] {
        let model = model(&micro, micro.tensors(), changes.clone()).unwrap();
        micro.same(&model, &changes.to_string());
        assert_eq!(model.architecture.num_classes(), 10);
        let speaks = changes["num_classes"] == 1000 || changes["num_labels"] == 3;
        assert_eq!(model.assumptions.iter().any(|told| told.contains("the head has 10")), speaks, "{:?}", model.assumptions);
    }
}

#[test]
fn labels_are_read_in_every_form() {
    let micro = Micro::new();
    let names: Vec<String> = (0..10).map(|i| format!("class {i}")).collect();
    let by_index: Value = names.iter().enumerate().map(|(i, name)| (i.to_string(), json!(name))).collect();
    let by_name: Value = names.iter().enumerate().map(|(i, name)| (name.clone(), json!(i))).collect();
    let by_text: Value = names.iter().enumerate().map(|(i, name)| (name.clone(), json!(i.to_string()))).collect();
    for changes in [
        json!({"id2label": by_index}),
        json!({"id2label": names}),
        json!({"label2id": by_name}),
        json!({"label2id": by_text}),
        json!({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": by_name}),
        json!({"label_names": names}),
        json!({"pretrained_cfg": {"label_names": names}}),
        json!({"class_to_idx": by_name}),
        json!({"classes": names}),
    ] {
        let model = model(&micro, micro.tensors(), changes.clone()).unwrap();
        assert_eq!((model.labels.len(), model.labels.get(7)), (10, Some("class 7")), "{changes}");
    }
    let numbers: Value = (0..10).map(|i| (i.to_string(), json!(i + 100))).collect();
    assert_eq!(model(&micro, micro.tensors(), json!({"id2label": numbers})).unwrap().labels.get(3), Some("103"));
}

#[test]
fn placeholders_are_no_names_and_other_counts_are_told() {
    let micro = Micro::new();
    let all: Value = (0..10).map(|i| (i.to_string(), json!(format!("LABEL_{i}")))).collect();
    for labels in [json!({"0": "LABEL_0", "1": "LABEL_1"}), all] {
        let model = model(&micro, micro.tensors(), json!({"id2label": labels})).unwrap();
        assert!(model.labels.is_empty() && model.assumptions.is_empty(), "{:?}", model.assumptions);
    }
    let model = model(&micro, micro.tensors(), json!({"id2label": {"0": "cat", "1": "dog"}})).unwrap();
    assert!(model.labels.is_empty());
    assert!(model.assumptions.iter().any(|told| told.contains("names 2 classes, the head has 10")), "{:?}", model.assumptions);
}
