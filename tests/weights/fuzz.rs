//! Damage by chance: every truncation and many corruptions of small files.

use std::fs;

use super::{common::manifest::fixture, f32_file};
use webmamba::{Error, Weights, low_level::tensor::Bytes};

/// Loads and reads everything: either is fine, a panic is not.
fn survive(file: &[u8]) {
    match Weights::from_bytes("fuzz", Bytes::new(file.to_vec())) {
        Ok(weights) => {
            for key in weights.keys() {
                let shape = weights.shape(key).unwrap();
                assert_eq!(weights.reader().get(key, shape.dims()).unwrap().shape(), &shape);
            }
            weights.non_finite();
        }
        Err(Error::Checkpoint { .. }) => {}
        Err(other) => panic!("another error: {other}"),
    }
}

#[test]
fn every_truncation_and_many_corruptions_are_survived() {
    let mut files: Vec<Vec<u8>> = fs::read_dir(fixture("pth"))
        .unwrap()
        .map(|item| item.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "pth" || end == "tar"))
        .map(|path| fs::read(path).unwrap())
        .collect();
    assert!(files.len() >= 8);
    files.push(f32_file(&[("a", &[2, 2], &[1.0, 2.0, 3.0, f32::NAN]), ("b", &[], &[1.0]), ("c", &[0, 7], &[])]));
    let mut seed = 1u64;
    for good in &files {
        for end in 0..good.len() {
            survive(&good[..end]);
        }
        let mut file = good.clone();
        for (at, &byte) in good.iter().enumerate() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            for wrong in [byte ^ (1 << (seed >> 61)), (seed >> 40) as u8, 0xff, 0] {
                file[at] = wrong;
                survive(&file);
            }
            file[at] = byte;
        }
        // Several at once, and bytes that are missing or twice.
        for _ in 0..500 {
            let mut file = good.clone();
            for _ in 0..4 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (seed >> 33) as usize % file.len();
                match seed >> 30 & 3 {
                    0 => drop(file.remove(at)),
                    1 => file.insert(at, file[at]),
                    _ => file[at] = (seed >> 20) as u8,
                }
            }
            survive(&file);
        }
    }
}
