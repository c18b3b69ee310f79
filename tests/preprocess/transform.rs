//! The transform against timm's and Pillow's results, and its geometry.

use std::{fs, time::Instant};

use safetensors::SafeTensors;
use serde_json::Value;
use webmamba::{Error, Preprocess, RgbImage, low_level::image::CropMode};

use super::{gradient, json, path, photo, sha256};

fn pair(value: &Value) -> [i64; 2] {
    [value[0].as_i64().unwrap(), value[1].as_i64().unwrap()]
}

fn mode(value: &Value) -> CropMode {
    value.as_str().unwrap().parse().unwrap()
}

/// A transform whose output gives the 8-bit values back.
fn plain(size: [usize; 2], crop_pct: f64, crop_mode: CropMode) -> Preprocess {
    Preprocess { crop_pct, crop_mode, mean: [0.0; 3], std: [1.0; 3], ..Preprocess::imagenet(size) }
}

fn levels(transform: &Preprocess, image: &RgbImage) -> Vec<u8> {
    let tensor = transform.apply(image).unwrap();
    assert_eq!(tensor.shape().dims(), [transform.size[0], transform.size[1], 3]);
    let mean = transform.mean[0];
    tensor.to_f32().iter().map(|v| ((v + mean) * 255.0).round() as u8).collect()
}

#[test]
fn equals_timm() {
    let index = json("index.json");
    for image in index["images"].as_array().unwrap() {
        let pixels = photo(image["file"].as_str().unwrap());
        let file = fs::read(path("fixtures/preprocess").join(image["expected_file"].as_str().unwrap())).unwrap();
        let expected = SafeTensors::deserialize(&file).unwrap();
        for case in image["cases"].as_array().unwrap() {
            let name = case["tensor"].as_str().unwrap();
            let size = [1, 2].map(|i| case["input_size"][i].as_u64().unwrap() as usize);
            let mut transform = Preprocess::imagenet(size);
            transform.crop_pct = case["crop_pct"].as_f64().unwrap();
            transform.crop_mode = mode(&case["crop_mode"]);

            let plan = transform.plan(pixels.width(), pixels.height()).unwrap();
            assert_eq!(plan.resized.map(|n| n as i64), pair(&case["resized"]), "{name}");
            assert_eq!(plan.crop.map(|n| n as i64), pair(&case["crop_top_left"]), "{name}");

            let got = transform.apply(&pixels).unwrap();
            let got = got.to_f32();
            let want = expected.tensor(name).unwrap();
            let want: Vec<f32> = want.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            assert_eq!(got.len(), want.len(), "{name}");
            let plane = size[0] * size[1];
            let worst = (0..want.len()).map(|i| (got[i % plane * 3 + i / plane] - want[i]).abs()).fold(0.0, f32::max);
            // A level is 1/255/std, some 0.017: this leaves room for the rounding of two f32 operations, and for no pixel.
            println!("{name}: largest difference {worst:e}");
            assert!(worst <= 1e-6, "{name}: differs by {worst}");
        }
    }
}

#[test]
fn equals_pillow_at_other_shapes_and_modes() {
    let cases = json("pillow.json");
    let mean = cases["mean"].as_f64().unwrap() as f32;
    for case in cases["transforms"].as_array().unwrap() {
        let image = photo(case["file"].as_str().unwrap());
        let size = pair(&case["size"]).map(|n| n as usize);
        let mut transform = plain(size, case["crop_pct"].as_f64().unwrap(), mode(&case["crop_mode"]));
        transform.mean = [mean; 3];
        let plan = transform.plan(image.width(), image.height()).unwrap();
        assert_eq!(plan.resized.map(|n| n as i64), pair(&case["resized"]), "{case}");
        assert_eq!(plan.crop.map(|n| n as i64), pair(&case["crop"]), "{case}");
        assert_eq!(sha256(&levels(&transform, &image)), case["sha256"], "{case}");
    }
}

/// What the dense models' pipeline makes of an image: OpenCV's resize, mean and deviation.
#[test]
fn bilinear_resize_equals_opencv() {
    let index = json("mmseg.json");
    let file = fs::read(path("fixtures/preprocess/mmseg.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&file).unwrap();
    let levels = |key: &str| [0, 1, 2].map(|c| index[key][c].as_f64().unwrap() as f32 / 255.0);
    let transform = Preprocess { mean: levels("mean"), std: levels("std"), ..Preprocess::imagenet([1, 1]) };
    for image in index["images"].as_array().unwrap() {
        let pixels = photo(image["file"].as_str().unwrap());
        for case in image["cases"].as_array().unwrap() {
            let [height, width] = pair(&case["resized"]).map(|n| n as usize);
            let resized = pixels.resize_bilinear(width, height).unwrap();
            let name = case["resized_tensor"].as_str().unwrap();
            assert!(resized.pixels() == expected.tensor(name).unwrap().data(), "{name}");

            let name = case["tensor"].as_str().unwrap();
            let got = transform.normalise(&resized).unwrap();
            assert_eq!(got.shape().dims(), [height, width, 3]);
            let want: Vec<f32> =
                expected.tensor(name).unwrap().data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            let (got, plane) = (got.to_f32(), width * height);
            let worst = (0..want.len()).map(|i| (got[i % plane * 3 + i / plane] - want[i]).abs()).fold(0.0, f32::max);
            assert!(worst <= 1e-6, "{name}: differs by {worst}");
        }
    }
}

/// The sizes that mmsegmentation's test pipeline scales images to, with their shapes kept, and OpenCV's bytes at them.
#[test]
fn dense_models_see_the_bytes_of_opencv() {
    for case in json("opencv.json")["cases"].as_array().unwrap() {
        let mut image = photo(case["file"].as_str().unwrap());
        if let Some(crop) = case["crop"].as_array() {
            let [x, y, width, height] = [0, 1, 2, 3].map(|i| crop[i].as_u64().unwrap() as usize);
            let rows = image.pixels().chunks(image.width() as usize * 3).skip(y).take(height);
            let pixels = rows.flat_map(|row| row[x * 3..][..width * 3].to_vec()).collect();
            image = RgbImage::new(width as u32, height as u32, pixels).unwrap();
        }
        let limits = pair(&case["limits"]).map(|n| n as usize);
        let one_number = Preprocess { mean: [0.0; 3], std: [1.0; 3], ..Preprocess::dense(limits[1]) };
        for transform in [one_number.clone(), Preprocess { size: limits, ..one_number }] {
            let transform = transform.for_image(image.width(), image.height());
            assert_eq!(transform.size.map(|n| n as i64), pair(&case["resized"]), "{case}");
            assert_eq!(sha256(&levels(&transform, &image)), case["sha256"], "{case}");
        }
    }
}

#[test]
fn bilinear_resize_of_extreme_shapes() {
    for (w, h) in [(1, 1), (10_000, 1), (1, 10_000), (2, 1), (1, 3)] {
        let image = RgbImage::new(w, h, [200, 30, 5].repeat((w * h) as usize)).unwrap();
        for (width, height) in [(1, 1), (7, 64), (224, 3)] {
            let resized = image.resize_bilinear(width, height).unwrap();
            assert_eq!((resized.width() as usize, resized.height() as usize), (width, height));
            // The vertical sum truncates its two parts: a level is lost where both count.
            assert!(resized.pixels().chunks(3).all(|p| p.iter().zip([200u8, 30, 5]).all(|(a, b)| a.abs_diff(b) <= 1)), "{w}x{h}");
        }
        assert_eq!(image.resize_bilinear(w.min(8192) as usize, h.min(8192) as usize).unwrap().pixels()[..3], [200, 30, 5]);
    }
    let image = gradient(37, 23);
    assert_eq!(image.resize_bilinear(37, 23).unwrap(), image);
    for (width, height) in [(0, 5), (5, 0), (8193, 5)] {
        assert!(image.resize_bilinear(width, height).unwrap_err().to_string().contains("8192"));
    }
}

#[test]
fn an_image_of_the_target_size_is_left_alone() {
    let image = gradient(37, 23);
    for mode in [CropMode::Center, CropMode::Squash, CropMode::Border] {
        assert_eq!(levels(&plain([23, 37], 1.0, mode), &image), image.pixels(), "{mode}");
    }
}

/// The part that is kept must not depend on the part that is not computed.
#[test]
fn cropping_first_equals_cropping_last() {
    for (width, height, size) in [(4000, 3000, 224), (300, 4001, 96), (60, 41, 200)] {
        let image = gradient(width, height);
        let cropped = plain([size, size], 0.9, CropMode::Center);
        let plan = cropped.plan(width, height).unwrap();
        let whole = plain(plan.resized, 1.0, CropMode::Squash);
        let start = Instant::now();
        let got = levels(&cropped, &image);
        println!("{width}x{height} -> {size}: {:?}", start.elapsed());
        let whole = levels(&whole, &image);
        let [top, left] = plan.crop.map(|n| usize::try_from(n).unwrap());
        let want: Vec<u8> =
            (top..top + size).flat_map(|y| whole[(y * plan.resized[1] + left) * 3..][..size * 3].to_vec()).collect();
        assert_eq!(got, want, "{width}x{height}");
    }
}

#[test]
fn extreme_shapes() {
    let red = |w: u32, h: u32| RgbImage::new(w, h, [200, 30, 5].repeat((w * h) as usize)).unwrap();
    for (w, h) in [(1, 1), (10_000, 1), (1, 10_000), (2, 1), (1, 3)] {
        for mode in [CropMode::Center, CropMode::Squash] {
            for size in [[224, 224], [1, 1], [7, 64]] {
                let out = levels(&plain(size, 0.875, mode), &red(w, h));
                assert!(out.chunks(3).all(|p| p == [200, 30, 5]), "{w}x{h} {mode} {size:?}");
            }
        }
        let out = levels(&plain([50, 50], 1.0, CropMode::Border), &red(w, h));
        assert_eq!(out[(24 * 50 + 24) * 3..][..3], [200, 30, 5], "{w}x{h}");
    }
    // Wider than any number of pixels that could be meant.
    let mut wide = Preprocess::imagenet([8192, 8192]);
    wide.crop_pct = 0.01;
    let error = wide.apply(&red(10_000, 1)).unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(_)) && error.to_string().contains("10000x1"), "{error}");
    assert!(wide.plan(0, 5).is_err());
}

/// Wide targets of tall images are made in strips of columns to bound memory; the seams must not show.
#[test]
fn strips_leave_no_seams() {
    // Every row is the same, so that the number of rows, which decides about strips, makes no difference to the pixels.
    let tall = |rows: u32| RgbImage::new(3, rows, [10, 250, 90, 200, 0, 60, 70, 130, 255].repeat(rows as usize)).unwrap();
    let transform = plain([4, 3000], 1.0, CropMode::Squash);
    assert_eq!(levels(&transform, &tall(16_000)), levels(&transform, &tall(8)));
}

#[test]
fn bad_settings_are_named() {
    let base = Preprocess::imagenet([224, 224]);
    base.validate().unwrap();
    let bad = |change: fn(&mut Preprocess), key: &str| {
        let mut transform = Preprocess::imagenet([224, 224]);
        change(&mut transform);
        for error in [transform.validate().unwrap_err(), transform.apply(&gradient(9, 9)).unwrap_err()] {
            assert!(matches!(error, Error::Config { .. }) && error.to_string().contains(key), "{error}");
        }
    };
    bad(|t| t.mean[1] = f32::NAN, "mean");
    bad(|t| t.std[2] = 0.0, "std");
    bad(|t| t.std[0] = f32::INFINITY, "std");
    bad(|t| t.crop_pct = 0.0, "crop_pct");
    bad(|t| t.crop_pct = 1.01, "crop_pct");
    bad(|t| t.crop_pct = f64::NAN, "crop_pct");
    bad(|t| t.size[0] = 0, "size");
    bad(|t| t.size[1] = 8193, "size");
    // Allowed by the range, yet no image could be that large.
    let tiny = Preprocess { crop_pct: f64::MIN_POSITIVE, ..base };
    assert!(matches!(tiny.apply(&gradient(9, 9)), Err(Error::InvalidArgument(_))));
}

#[test]
fn crop_modes_have_names() {
    for mode in [CropMode::Center, CropMode::Squash, CropMode::Border] {
        assert_eq!(mode.to_string().parse::<CropMode>().unwrap(), mode);
        assert_eq!(serde_json::to_value(mode).unwrap(), mode.name());
        assert_eq!(serde_json::from_value::<CropMode>(mode.name().into()).unwrap(), mode);
    }
    assert!("centre".parse::<CropMode>().unwrap_err().to_string().contains("squash"));
}

#[test]
fn images_check_their_size() {
    assert!(RgbImage::new(2, 2, vec![0; 11]).unwrap_err().to_string().contains("12 bytes"));
    assert!(RgbImage::new(0, 2, vec![]).is_err());
    assert!(RgbImage::new(u32::MAX, u32::MAX, vec![]).is_err());
}
