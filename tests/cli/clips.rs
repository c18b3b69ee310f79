//! Models of clips: folders of frames and pictures that move.

use std::fs;

use image::{Frame, RgbaImage, codecs::gif::GifEncoder};
use pollster::block_on;
use serde_json::json;
use webmamba::{Classifier, Device, Model, ModelOptions, RgbImage, Views};

use super::{Output, Sandbox, image, webmamba, webmamba_with};

/// Frame `i` of a film, of few colours, so that a GIF loses nothing.
fn frame(i: usize) -> RgbaImage {
    RgbaImage::from_fn(90, 70, |x, y| {
        let bright = (x / 15 + y / 10 + i as u32).is_multiple_of(3);
        if bright { [250, 200 - 15 * i as u8, 20, 255].into() } else { [10, 60, 15 * i as u8, 255].into() }
    })
}

fn rgb(i: usize) -> RgbImage {
    RgbImage::new(90, 70, frame(i).pixels().flat_map(|p| [p[0], p[1], p[2]]).collect()).unwrap()
}

/// A model of four frames, eleven frames of a film in a folder (in the order of their numbers), and the same as a GIF.
fn sandbox() -> (Sandbox, String, String, String) {
    let sandbox = Sandbox::new("videomamba_micro");
    let model = sandbox.hugging_face(json!({}));
    fs::create_dir(sandbox.path("film")).unwrap();
    for i in 0..11 {
        frame(i).save(sandbox.path(&format!("film/f{}.png", i + 1))).unwrap();
    }
    let mut gif = Vec::new();
    GifEncoder::new(&mut gif).encode_frames((0..11).map(|i| Frame::new(frame(i)))).unwrap();
    fs::write(sandbox.path("film.gif"), gif).unwrap();
    let (film, gif) = (sandbox.arg("film"), sandbox.arg("film.gif"));
    (sandbox, model, film, gif)
}

fn classify(model: &str, more: &[&str]) -> Output {
    webmamba(&[&["classify", "--device", "cpu", "--json", "--top-k", "10", "--model", model], more].concat())
}

fn scores(output: &Output, line: usize) -> Vec<(u64, f64)> {
    let predictions = output.json()[line]["predictions"].as_array().unwrap().clone();
    predictions.iter().map(|p| (p["index"].as_u64().unwrap(), p["score"].as_f64().unwrap())).collect()
}

#[test]
fn a_folder_of_frames_and_an_animation_are_clips() {
    let (_sandbox, path, film, gif) = sandbox();
    let model = Model::open(&path, &ModelOptions::default()).unwrap();
    let mut classifier = block_on(Classifier::new(model, &Device::Cpu, 1, 10)).unwrap();
    let frames: Vec<RgbImage> = (0..11).map(rgb).collect();
    for (more, views) in [(vec![], Views::default()), (vec!["--views", "2x3"], Views { clips: 2, crops: 3 })] {
        let output = classify(&path, &[&[&film[..], &gif], &more[..]].concat()).expect(0);
        let lines = output.json();
        assert_eq!((lines.len(), &lines[0]["image"], &lines[1]["image"]), (2, &json!(film), &json!(gif)));
        assert_eq!((&lines[0]["note"], &lines[1]["note"]), (&json!(null), &json!(null)));
        let want = block_on(classifier.classify_clip(&frames, views)).unwrap().0;
        for line in 0..2 {
            let got = scores(&output, line);
            assert_eq!(got.len(), 10);
            for ((index, score), want) in got.into_iter().zip(&want) {
                assert!(index == want.index as u64 && (score - f64::from(want.score)).abs() < 1e-6, "{line}: {want:?}");
            }
        }
    }
    let gif = fs::read(gif).unwrap();
    let piped = webmamba_with(&["classify", "-", "--model", &path, "--device", "cpu", "--json"], &gif).expect(0);
    assert_eq!(piped.json()[0]["predictions"][0], classify(&path, &[&film]).expect(0).json()[0]["predictions"][0]);
    // The order of frames counts.
    let backwards: Vec<RgbImage> = (0..11).rev().map(rgb).collect();
    let other = block_on(classifier.classify_clip(&backwards, Views::default())).unwrap().0;
    let forwards = block_on(classifier.classify_clip(&frames, Views::default())).unwrap().0;
    assert!((other[0].score - forwards[0].score).abs() > 1e-4);
}

#[test]
fn one_picture_stands_still_and_that_is_said() {
    let (sandbox, path, ..) = sandbox();
    fs::create_dir(sandbox.path("one")).unwrap();
    fs::copy(image("chelsea.png"), sandbox.path("one/chelsea.png")).unwrap();
    let output = classify(&path, &[&sandbox.arg("one")]).expect(0).says(&["stands still"]);
    let [line] = output.json().try_into().unwrap();
    assert!(line["image"].as_str().unwrap().ends_with("chelsea.png") && line["note"].as_str().unwrap().contains("stands still"));
    let model = Model::open(&path, &ModelOptions::default()).unwrap();
    let mut classifier = block_on(Classifier::new(model, &Device::Cpu, 2, 1)).unwrap();
    let photo = RgbImage::open(image("chelsea.png")).unwrap();
    let (best, _) = block_on(classifier.classify(std::slice::from_ref(&photo))).unwrap();
    assert_eq!((best[0][0].index as u64, f64::from(best[0][0].score)), {
        let (index, score) = scores(&output, 0)[0];
        (index, f64::from(score as f32))
    });
    let clip = block_on(classifier.classify_clip(&vec![photo; 4], Views::default())).unwrap().0;
    assert!((clip[0].score - best[0][0].score).abs() < 1e-6 && clip[0].index == best[0][0].index);
}

#[test]
fn a_model_of_images_takes_the_first_frame_and_says_so() {
    let (_sandbox, _, _, gif) = sandbox();
    let images = Sandbox::new("videomamba_micro_image");
    let path = images.hugging_face(json!({}));
    let output = classify(&path, &[&gif]).expect(0).says(&["only its first frame"]);
    frame(0).save(images.path("first.png")).unwrap();
    let first = classify(&path, &[&images.arg("first.png")]).expect(0);
    assert_eq!(scores(&output, 0), scores(&first, 0));
    // It is no model of clips.
    let model = Model::open(&path, &ModelOptions::default()).unwrap();
    let mut classifier = block_on(Classifier::new(model, &Device::Cpu, 1, 1)).unwrap();
    let error = block_on(classifier.classify_clip(&[rgb(0)], Views::default())).unwrap_err().to_string();
    assert!(error.contains("takes images, not clips"), "{error}");
}

#[test]
fn views_are_checked() {
    let (_sandbox, path, film, _) = sandbox();
    for bad in ["0", "4x2", "x3", "101", "4x3x1"] {
        webmamba(&["classify", &film, "--model", &path, "--views", bad]).expect(2).says(&["such as 4x3"]);
    }
}

#[test]
fn eval_counts_clips() {
    let (sandbox, path, film, gif) = sandbox();
    let class = scores(&classify(&path, &[&film]).expect(0), 0)[0].0;
    let data = sandbox.path("data");
    let own = data.join(class.to_string());
    fs::create_dir_all(own.join("a")).unwrap();
    for entry in fs::read_dir(&film).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), own.join("a").join(entry.file_name())).unwrap();
    }
    fs::copy(gif, own.join("b.gif")).unwrap();
    let report = webmamba(&["eval", "--model", &path, "--data", data.to_str().unwrap(), "--device", "cpu", "--json"]).expect(0);
    let report = &report.json()[0];
    assert_eq!((&report["images"], &report["top1"], &report["failed"]), (&json!(2), &json!(1.0), &json!(0)));
}
