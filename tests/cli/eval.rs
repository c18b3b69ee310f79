//! `eval`: accuracy over folders of images.

use std::fs;

use serde_json::{Value, json};

use webmamba::Tensor;

use super::{Output, Sandbox, image, webmamba};

/// Micro models have ten classes; these are their names.
fn labels() -> Value {
    let names = ["Tabby Cat", "coffee cup", "2", "thing 3", "thing 4", "thing 5", "thing 6", "thing 7", "thing 8", "thing 9"];
    json!({ "id2label": names.iter().enumerate().map(|(i, name)| (i.to_string(), json!(name))).collect::<serde_json::Map<_, _>>() })
}

fn eval(model: &str, data: &str, more: &[&str]) -> Output {
    webmamba(&[&["eval", "--model", model, "--data", data, "--device", "cpu"], more].concat())
}

/// Puts photographs into folders of classes.
fn sort(sandbox: &Sandbox, images: &[(&str, &str)]) -> String {
    for (i, (class, photo)) in images.iter().enumerate() {
        let folder = sandbox.path("data").join(class);
        fs::create_dir_all(&folder).unwrap();
        fs::copy(image(photo), folder.join(format!("{i}-{photo}"))).unwrap();
    }
    sandbox.arg("data")
}

/// What the model says of each photograph decides what eval must count.
#[test]
fn counts_agree_with_what_classify_says() {
    let sandbox = Sandbox::new("mambavision_micro");
    let model = sandbox.hugging_face(labels());
    let photos = ["chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg"];
    let paths = photos.map(image);
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let said = webmamba(&[&["classify", "--model", &model, "--device", "cpu", "--json"], &paths[..]].concat()).expect(0).json();
    // Names in other letters, with `_` for a blank, and an index.
    let folders = ["TABBY_cat", "Coffee_Cup", "thing_3/deeper", "4"];
    let truth = [0, 1, 3, 4];
    let data = sort(&sandbox, &std::array::from_fn::<_, 4, _>(|i| (folders[i], photos[i])));
    let (mut top1, mut top5, mut gap) = (0, 0, [0.0; 15]);
    for (line, class) in said.iter().zip(truth) {
        let best: Vec<u64> = line["predictions"].as_array().unwrap().iter().map(|p| p["index"].as_u64().unwrap()).collect();
        let score = line["predictions"][0]["score"].as_f64().unwrap();
        let right = best[0] == class;
        top1 += u32::from(right);
        top5 += u32::from(best.contains(&class));
        gap[(score * 15.0) as usize] += score - f64::from(u8::from(right));
    }
    for more in [&["--json"][..], &["--json", "--batch", "3"]] {
        let report = &eval(&model, &data, more).expect(0).json()[0];
        assert_eq!((&report["images"], &report["failed"], &report["device"]), (&json!(4), &json!(0), &json!("cpu")));
        let close = |key: &str, want: f64| assert!((report[key].as_f64().unwrap() - want).abs() < 2e-6, "{key}: {report}");
        close("top1", f64::from(top1) / 4.0);
        close("top5", f64::from(top5) / 4.0);
        close("calibration_error", gap.iter().map(|g| g.abs()).sum::<f64>() / 4.0);
        assert!(report["images_per_second"].as_f64().unwrap() > 0.0);
        let classes = report["classes"].as_array().unwrap();
        assert_eq!(classes.iter().map(|c| c["index"].as_u64().unwrap()).collect::<Vec<_>>(), truth);
        assert_eq!(classes[0]["label"], "Tabby Cat");
        let table = report["confusion"].as_array().unwrap();
        assert_eq!(table.len(), 4);
        for (row, line) in table.iter().zip(&said) {
            assert_eq!((&row["said"], &row["images"]), (&line["predictions"][0]["index"], &json!(1)));
        }
    }
    let text = eval(&model, &data, &[]).expect(0).stdout;
    for part in ["images  ", "top-1  ", "top-5  ", "calibration error  ", "most often confused, as true / said:", "Tabby Cat / "]
    {
        assert!(text.contains(part), "no `{part}` in {text}");
    }
}

/// With a class for everything else and a least score: what the model is sure of, and how well scores tell known from unknown things.
#[test]
fn known_and_unknown_things_are_told_apart() {
    let sandbox = Sandbox::new("mambavision_micro");
    let mut config = labels();
    let photos = ["chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg"];
    let plain = sandbox.hugging_face(config.clone());
    let said = photos.map(|photo| {
        let said = webmamba(&["classify", "--model", &plain, "--device", "cpu", "--json", &image(photo)]).expect(0).json();
        let best = &said[0]["predictions"][0];
        (best["index"].as_u64().unwrap(), best["score"].as_f64().unwrap())
    });
    // A class that is first for none of them stands for everything else; the least score is between the two middle ones.
    let unknown = (0..10).find(|class| said.iter().all(|(best, _)| best != class)).unwrap();
    let mut scores = said.map(|(_, score)| score);
    scores.sort_by(f64::total_cmp);
    config["unknown_label"] = config["id2label"][unknown.to_string()].clone();
    config["min_score"] = json!((scores[1] + scores[2]) / 2.0);
    let model = sandbox.hugging_face(config);
    let class = |i: usize| if i < 2 { said[i].0.to_string() } else { unknown.to_string() };
    let folders: [String; 4] = std::array::from_fn(class);
    let data = sort(&sandbox, &std::array::from_fn::<_, 4, _>(|i| (folders[i].as_str(), photos[i])));
    let pairs = [(0, 2), (0, 3), (1, 2), (1, 3)].iter().filter(|&&(a, b)| said[a].1 > said[b].1).count();
    let report = &eval(&model, &data, &["--json"]).expect(0).json()[0];
    assert_eq!(report["sure"], json!(0.5));
    let right = said[..2].iter().filter(|(_, score)| *score >= scores[2]).count();
    assert_eq!(report["sure_top1"], json!(right as f64 / 2.0));
    assert_eq!(report["auroc"], json!(pairs as f64 / 4.0));
    let text = eval(&model, &data, &[]).expect(0).stdout;
    assert!(text.contains("sure of ") && text.contains(&format!("AUROC {:.4}", pairs as f64 / 4.0)), "{text}");
}

#[test]
fn images_that_fail_are_named_and_not_counted() {
    let sandbox = Sandbox::new("mila_micro");
    let model = sandbox.hugging_face(labels());
    let data = sort(&sandbox, &[("thing 3", "coffee.png"), ("thing 5", "tiny_61x40.png")]);
    fs::write(sandbox.path("data/thing 3/broken.png"), "no image").unwrap();
    fs::create_dir(sandbox.path("data/thing 6")).unwrap();
    fs::create_dir(sandbox.path("data/.hidden")).unwrap();
    fs::write(sandbox.path("data/notes.txt"), "no image").unwrap();
    let output = eval(&model, &data, &["--json"]).expect(1).says(&["broken.png", "thing 6", "2 of 4 images failed"]);
    let report = &output.json()[0];
    assert_eq!((&report["images"], &report["failed"]), (&json!(2), &json!(2)));
}

/// A micro model with a head for ImageNet's classes, which it names by itself.
fn thousand(sandbox: &Sandbox) -> String {
    let mut weights = sandbox.manifest.weights();
    for (key, tensor) in &mut weights {
        if key.starts_with("head.") {
            let mut dims = tensor.shape().dims().to_vec();
            dims[0] = 1000;
            let values = (0..dims.iter().product()).map(|i: usize| (i * 37 % 101) as f32 / 1000.0).collect();
            *tensor = Tensor::from_f32(dims, values).unwrap();
        }
    }
    sandbox.hugging_face_of(json!({ "num_classes": 1000 }), weights)
}

fn classes(report: &Value) -> Vec<u64> {
    report["classes"].as_array().unwrap().iter().map(|class| class["index"].as_u64().unwrap()).collect()
}

#[test]
fn imagenets_folders_are_wordnet_ids() {
    let sandbox = Sandbox::new("mambavision_micro");
    let model = thousand(&sandbox);
    let data = sort(&sandbox, &[("n01440764", "coffee.png"), ("n02123045", "chelsea.png"), ("n15075141/deeper", "rocket.jpg")]);
    assert_eq!(classes(&eval(&model, &data, &["--json"]).expect(0).json()[0]), [0, 281, 999]);
    fs::create_dir(sandbox.path("data/n00000000")).unwrap();
    eval(&model, &data, &[]).expect(2).says(&["n00000000", "WordNet id"]);
}

/// ImageNet has a dog `Cardigan` and a garment `cardigan`.
#[test]
fn exact_names_count_before_names_in_other_letters() {
    let sandbox = Sandbox::new("mambavision_micro");
    let model = thousand(&sandbox);
    let data = sort(&sandbox, &[("Cardigan", "coffee.png")]);
    assert_eq!(classes(&eval(&model, &data, &["--json"]).expect(0).json()[0]), [264]);
    fs::rename(sandbox.path("data/Cardigan"), sandbox.path("data/cardigan")).unwrap();
    assert_eq!(classes(&eval(&model, &data, &["--json"]).expect(0).json()[0]), [474]);
    fs::rename(sandbox.path("data/cardigan"), sandbox.path("data/CARDIGAN")).unwrap();
    eval(&model, &data, &[]).expect(2).says(&["264 and 474", "name the folder by the index"]);
}

#[test]
fn folders_that_are_no_class_end_it() {
    let sandbox = Sandbox::new("mambavision_micro");
    let model = sandbox.hugging_face(labels());
    let data = sort(&sandbox, &[("thing 3", "coffee.png"), ("zebra", "coffee.png")]);
    eval(&model, &data, &[]).expect(2).says(&["zebra", "no class of this model", "0 to 9"]);
    fs::rename(sandbox.path("data/zebra"), sandbox.path("data/10")).unwrap();
    eval(&model, &data, &[]).expect(2).says(&["no class of this model"]);
    fs::remove_dir_all(sandbox.path("data/10")).unwrap();
    fs::copy(image("coffee.png"), sandbox.path("data/loose.png")).unwrap();
    eval(&model, &data, &[]).expect(2).says(&["loose.png", "one folder a class"]);
    eval(&model, &sandbox.arg("missing"), &[]).expect(2).says(&["missing"]);
    fs::create_dir(sandbox.path("empty")).unwrap();
    eval(&model, &sandbox.arg("empty"), &[]).expect(2).says(&["no folders of images"]);
}
