//! `webmamba classify`.

use std::fs;

use serde_json::json;

use super::{Output, Sandbox, image, webmamba, webmamba_with};

/// Classifies on the CPU, as JSON.
fn classify(model: &str, more: &[&str]) -> Output {
    webmamba(&[&["classify", "--device", "cpu", "--json", "--model", model], more].concat())
}

/// A micro model as on Hugging Face, and the folder it is in.
fn sandbox(name: &str) -> (Sandbox, String) {
    let sandbox = Sandbox::new(name);
    let model = sandbox.hugging_face(json!({}));
    (sandbox, model)
}

fn names(output: &Output) -> Vec<String> {
    let name = |line: &serde_json::Value| line["image"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    output.json().iter().map(name).collect()
}

#[test]
fn json_lines_have_the_promised_shape() {
    let (_sandbox, model) = sandbox("mambavision_micro");
    let output =
        classify(&model, &[&image("rocket.jpg"), "--top-k", "3"]).expect(0).says(&["mambavision on the CPU, as asked for"]);
    let [line] = output.json().try_into().unwrap();
    let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["image", "predictions", "model", "device", "adapter", "ms"]);
    assert_eq!(line["image"], image("rocket.jpg"));
    assert_eq!((&line["model"], &line["device"], &line["adapter"]), (&json!("mambavision"), &json!("cpu"), &json!(null)));
    let predictions = line["predictions"].as_array().unwrap();
    assert_eq!(predictions.len(), 3);
    for prediction in predictions {
        assert_eq!(prediction["label"], prediction["index"].to_string(), "there are no labels");
        assert!((0.0..=1.0).contains(&prediction["score"].as_f64().unwrap()));
    }
    assert!(predictions[0]["score"].as_f64() >= predictions[1]["score"].as_f64());
    let ms = |key: &str| line["ms"][key].as_f64().unwrap();
    let sum = ms("decode") + ms("preprocess") + ms("model");
    assert!(ms("model") > 0.0 && (sum - ms("total")).abs() < 0.01, "{}", line["ms"]);
}

#[test]
fn more_classes_than_there_are_means_all() {
    let (_sandbox, model) = sandbox("mambavision_micro");
    let output = classify(&model, &[&image("tiny_61x40.png"), "--top-k", "50"]).expect(0);
    let total: f64 = output.json()[0]["predictions"].as_array().unwrap().iter().map(|p| p["score"].as_f64().unwrap()).sum();
    assert!((total - 1.0).abs() < 1e-5, "{total}");
}

#[test]
fn folders_globs_and_standard_input_stand_for_images() {
    let (sandbox, model) = sandbox("mambavision_micro");
    let all = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "tiny_61x40.png"];
    assert_eq!(names(&classify(&model, &[&image("")]).expect(0)), all);
    let glob = names(&classify(&model, &[&image("c*.png")]).expect(0));
    assert_eq!(glob, ["chelsea.png", "coffee.png"]);

    let nested = sandbox.path("photos/a/b");
    fs::create_dir_all(&nested).unwrap();
    fs::create_dir_all(sandbox.path("photos/.hidden")).unwrap();
    for to in ["photos/z.PNG", "photos/a/b/deep.png", "photos/.hidden/x.png", "photos/.hidden.png"] {
        fs::copy(image("tiny_61x40.png"), sandbox.path(to)).unwrap();
    }
    fs::write(sandbox.path("photos/notes.txt"), "no image").unwrap();
    assert_eq!(names(&classify(&model, &[&sandbox.arg("photos")]).expect(0)), ["deep.png", "z.PNG"]);

    let bytes = fs::read(image("tiny_61x40.png")).unwrap();
    let piped = webmamba_with(&["classify", "-", "--model", &model, "--device", "cpu", "--json"], &bytes).expect(0);
    let file = classify(&model, &[&image("tiny_61x40.png")]).expect(0);
    assert_eq!(names(&piped), ["-"]);
    assert_eq!(piped.json()[0]["predictions"], file.json()[0]["predictions"]);
}

#[test]
fn images_that_fail_are_named_and_the_others_classified() {
    let (sandbox, model) = sandbox("mambavision_micro");
    let whole = fs::read(image("chelsea.png")).unwrap();
    fs::write(sandbox.path("truncated.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(sandbox.path("empty.jpg"), "").unwrap();
    fs::create_dir(sandbox.path("nothing")).unwrap();
    let [truncated, empty, missing, folder, glob] =
        ["truncated.png", "empty.jpg", "missing.png", "nothing", "*.webp"].map(|name| sandbox.arg(name));
    let good = image("coffee.png");
    let output = classify(&model, &[&truncated, &good, &empty, &missing, &folder, &glob, &good]).expect(1);
    let output = output.says(&[&truncated, &empty, &missing, &folder, &glob, "5 of 7 images failed"]);
    let lines = output.json();
    assert_eq!(lines.len(), 7);
    for (line, name) in lines.iter().zip([&truncated, &good, &empty, &missing, &folder, &glob, &good]) {
        assert_eq!(line["image"], **name);
        let keys: Vec<&String> = line.as_object().unwrap().keys().collect();
        assert!(*name == good && line["predictions"].is_array() || keys == ["image", "error", "kind"], "{line}");
    }
    let kinds: Vec<&str> = lines.iter().filter_map(|line| line["kind"].as_str()).collect();
    assert_eq!(kinds, ["invalid-image", "invalid-image", "io", "invalid-image", "invalid-image"]);
}

/// More than one batch, the last one incomplete: the same answers as one by one, in order.
#[test]
fn batches_do_not_change_results() {
    let (_sandbox, model) = sandbox("mila_micro");
    let files = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"].map(image);
    let many: Vec<&str> = files.iter().cycle().take(11).map(String::as_str).collect();
    let together = classify(&model, &many).expect(0).json();
    assert_eq!(together.len(), 11);
    for (i, file) in files.iter().enumerate() {
        let alone = &classify(&model, &[file]).expect(0).json()[0];
        for line in together.iter().skip(i).step_by(4) {
            assert_eq!(line["image"], alone["image"]);
            assert_eq!(line["predictions"][0]["index"], alone["predictions"][0]["index"]);
            let scores = [line, alone].map(|line| line["predictions"][0]["score"].as_f64().unwrap());
            assert!((scores[0] - scores[1]).abs() < 1e-5, "{scores:?}");
        }
    }
}

#[test]
fn people_get_aligned_percentages() {
    let sandbox = Sandbox::new("mambavision_micro");
    let names: serde_json::Map<String, serde_json::Value> =
        (0..10).map(|i| (i.to_string(), json!(format!("thing {i}")))).collect();
    let model = sandbox.hugging_face(json!({ "id2label": names }));
    let output = webmamba(&["classify", &image("coffee.png"), "--model", &model, "--device", "cpu"]).expect(0);
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines[0], image("coffee.png"));
    assert_eq!(lines.len(), 6);
    for line in &lines[1..] {
        assert_eq!(line.find(" %  thing "), Some(7), "{line}");
    }
}

/// Where the config has a `min_score`, or a class for everything else, a line says that the model is not sure; JSON says it either way.
#[test]
fn a_model_that_is_not_sure_says_so() {
    let sandbox = Sandbox::new("mambavision_micro");
    for (config, confident) in [(json!({ "min_score": 1.0 }), false), (json!({ "min_score": 0.001 }), true)] {
        let model = sandbox.hugging_face(config);
        let text = webmamba(&["classify", &image("coffee.png"), "--model", &model, "--device", "cpu", "--top-k", "2"]).expect(0);
        let lines: Vec<&str> = text.stdout.lines().collect();
        assert_eq!(lines.len(), if confident { 3 } else { 4 }, "{lines:?}");
        assert_eq!(lines[1] == "  not sure; the closest of what it knows:", !confident, "{lines:?}");
        let [line] = classify(&model, &[&image("coffee.png")]).expect(0).json().try_into().unwrap();
        assert_eq!(line["confident"], confident);
    }
}

#[test]
fn labels_come_from_the_file_that_was_named() {
    let (sandbox, model) = sandbox("mambavision_micro");
    let text: Vec<String> = (0..10).map(|i| format!("label {i}")).collect();
    fs::write(sandbox.path("labels.txt"), text.join("\n")).unwrap();
    fs::write(sandbox.path("labels.json"), json!(text).to_string()).unwrap();
    for file in ["labels.txt", "labels.json"] {
        let output = classify(&model, &[&image("coffee.png"), "--labels", &sandbox.arg(file)]).expect(0);
        let best = &output.json()[0]["predictions"][0];
        assert_eq!(best["label"], format!("label {}", best["index"]));
    }
    fs::write(sandbox.path("few.txt"), "one\ntwo\n").unwrap();
    classify(&model, &[&image("coffee.png"), "--labels", &sandbox.arg("few.txt")]).expect(2).says(&["2 labels", "10 classes"]);
    classify(&model, &[&image("coffee.png"), "--labels", &sandbox.arg("none.txt")]).expect(2).says(&["none.txt"]);
}

#[test]
fn any_size_and_every_format_of_checkpoint() {
    let sandbox = Sandbox::new("mambavision_micro");
    let (hf, pth) = (sandbox.hugging_face(json!({})), sandbox.pth());
    let photo = image("chelsea.png");
    let [a, b] = [&hf, &pth].map(|model| classify(model, &[&photo]).expect(0).json()[0]["predictions"].clone());
    assert_eq!(a, b, "safetensors and .pth.tar");
    let [small, same] =
        ["64", "64x64"].map(|size| classify(&hf, &[&photo, "--size", size]).expect(0).json()[0]["predictions"].clone());
    assert!(small == same && small == a, "64 is the model's own size");
    let other = classify(&hf, &[&photo, "--size", "96x80"]).expect(0).json()[0]["predictions"].clone();
    assert_ne!(other, a);
}

/// Who reads the output may stop early, as `head` does.
#[test]
fn a_reader_that_hangs_up_is_no_error() {
    use std::process::{Command, Stdio};
    let (_sandbox, model) = sandbox("mambavision_micro");
    let mut child = Command::new(env!("CARGO_BIN_EXE_webmamba"))
        .args(["classify", &image(""), "--model", &model, "--device", "cpu"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && !stderr.contains("panicked") && !stderr.contains("error"), "{stderr}");
}

/// Without a model the built-in one answers, and it knows the everyday things of the sample photographs.
#[test]
fn the_built_in_model_needs_no_file() {
    let photos = ["coffee.png", "chelsea.png", "astronaut.png", "rocket.jpg"].map(image);
    let photos: Vec<&str> = photos.iter().map(String::as_str).collect();
    let output = webmamba(&[&["classify", "--device", "cpu", "--json"], &photos[..]].concat()).expect(0);
    let lines = output.json();
    assert_eq!(lines.len(), 4);
    for line in &lines {
        assert_eq!(line["model"], "mamba_vision_nano");
        let scores: Vec<f64> = line["predictions"].as_array().unwrap().iter().map(|p| p["score"].as_f64().unwrap()).collect();
        assert!(scores.len() == 5 && scores.is_sorted_by(|a, b| a >= b) && scores.iter().sum::<f64>() <= 1.001, "{scores:?}");
    }
    assert_eq!(lines[0]["predictions"][0]["label"], "cup");
    assert_eq!(lines[1]["predictions"][0]["label"], "cat");
    assert_eq!(lines[2]["predictions"][0]["label"], "person");
    // By name, and on a GPU: the same answer.
    let output = webmamba(&["classify", photos[0], "--model", "mamba_vision_nano", "--adapter", "llvmpipe", "--json"]).expect(0);
    let gpu = &output.json()[0];
    assert_eq!(gpu["device"], "gpu");
    let (a, b) = (&gpu["predictions"], &lines[0]["predictions"]);
    let score = |v: &serde_json::Value, i: usize| v[i]["score"].as_f64().unwrap();
    assert!((0..5).all(|i| a[i]["label"] == b[i]["label"] && (score(a, i) - score(b, i)).abs() < 1e-3), "{a} {b}");
    let info = &webmamba(&["info", "mamba_vision_nano", "--json"]).expect(0).json()[0];
    assert_eq!((&info["dtype"], &info["classes"]), (&json!("f16"), &json!(121)));
    assert!(info["licence"].as_str().unwrap().contains("Tiny-ImageNet"));
}
