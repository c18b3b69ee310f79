//! Damaged and unusual files against what Pillow makes of them (`fixtures/damaged/make.py`), and formats that are not read.

use std::fs;

use serde_json::Value;
use webmamba::{
    RgbImage,
    low_level::image::decode::{EXTENSIONS, FOREIGN_EXTENSIONS},
};

use super::{path, sha256};

/// Name, Pillow's pixels (`None` where it refuses), and whether a repair is to be said.
fn files(ending: &str) -> Vec<(String, Option<String>, Option<bool>)> {
    let text = fs::read(path("fixtures/damaged/expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&text).unwrap();
    let files = expected["files"].as_object().unwrap().iter().filter(|(name, _)| name.ends_with(ending));
    files.map(|(name, file)| (name.clone(), file["sha256"].as_str().map(str::to_owned), file["repaired"].as_bool())).collect()
}

fn decode(name: &str) -> webmamba::Result<RgbImage> {
    RgbImage::open(path("fixtures/damaged").join(name))
}

/// Holds every file of an ending against Pillow, but for those that are named.
fn compare(ending: &str, otherwise: &[&str]) {
    let mut wrong = Vec::new();
    let files = files(ending);
    assert!(files.len() >= 10);
    for (name, pixels, repaired) in files {
        if otherwise.contains(&name.as_str()) {
            continue;
        }
        match (decode(&name), pixels) {
            (Ok(image), Some(pixels)) if sha256(image.pixels()) == pixels => {
                if repaired.is_some_and(|repaired| repaired != image.note().is_some()) {
                    wrong.push(format!("{name}: note {:?}", image.note()));
                }
            }
            (Err(_), None) => {}
            (got, pixels) => wrong.push(format!("{name}: {got:?} instead of {pixels:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn damaged_and_odd_jpegs_are_decoded_as_libjpeg_decodes_them() {
    compare(".jpg", &[]);
    for name in ["restart_swap.jpg", "restart_lose.jpg"] {
        assert!(decode(name).unwrap().note().unwrap().contains("restart markers"), "{name}");
    }
    assert!(decode("420_ones.jpg").unwrap().note().unwrap().contains("damaged"));
}

/// Pillow refuses these three for what is wrong around the image data; the data are whole.
const LENIENT: [&str; 3] = ["wrong_adler.png", "wrong_text_checksum.png", "wrong_header_checksum.png"];

#[test]
fn slightly_broken_pngs_are_decoded_as_pillow_decodes_them() {
    compare(".png", &LENIENT);
    let sound = decode("sound.png").unwrap();
    for name in ["no_end.png", "wrong_checksum.png", "cut_in_checksum.png"] {
        assert_eq!(decode(name).unwrap().pixels(), sound.pixels(), "{name}");
    }
    for name in &LENIENT[..2] {
        assert_eq!(decode(name).unwrap().pixels(), sound.pixels(), "{name}");
    }
    assert!(decode(LENIENT[2]).is_err(), "sizes that are not what was written");
}

#[test]
fn tiffs_give_the_pixels_of_pillow() {
    // JPEG inside of TIFF is a level off here and there; a picture with a palette is refused.
    compare(".tif", &["jpeg.tif", "palette.tif"]);
    let message = decode("palette.tif").unwrap_err().to_string();
    assert!(message.contains("Palette"), "{message}");
}

/// A TIFF file of little-endian entries: tag, type, value.
fn tiff(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, value) in entries {
        file.extend([&tag.to_le_bytes()[..], &kind.to_le_bytes(), &1u32.to_le_bytes(), &value.to_le_bytes()].concat());
    }
    file.extend([0; 4]);
    file
}

#[test]
fn formats_that_are_not_read_are_named() {
    let media = |brand: &[u8; 4]| [b"\0\0\0\x18ftyp", &brand[..], b"\0\0\0\0mif1", brand].concat();
    for (bytes, words) in [
        (media(b"heic"), "HEIC"),
        (media(b"avif"), "AVIF"),
        (media(b"crx "), "raw file"),
        (b"\0\0\0\x14ftypisom\0\0\0\0isom".to_vec(), "film"),
        (b"\xff\x0a\xfa\x1f".to_vec(), "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n".to_vec(), "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n".to_vec(), "JPEG 2000"),
        (b"8BPS\0\x01".to_vec(), "Photoshop"),
        (b"%PDF-1.7".to_vec(), "PDF"),
        (b"%!PS-Adobe-3.0 EPSF".to_vec(), "PostScript"),
        (b"<?xml version=\"1.0\"?>\n<svg xmlns=\"\">".to_vec(), "SVG"),
        (b"\xef\xbb\xbf<svg>".to_vec(), "SVG"),
        (b"\0\0\x01\0\x01\0\x10\x10".to_vec(), "icon"),
        (b"P6\n3 2\n255\n".to_vec(), "pixmap"),
        (b"#?RADIANCE\n".to_vec(), "Radiance"),
        (b"FUJIFILMCCD-RAW".to_vec(), "raw file"),
        (b"II+\0\x08\0\0\0".to_vec(), "BigTIFF"),
        (b"<!DOCTYPE html><html>".to_vec(), "web page"),
        (b"version https://git-lfs.github.com/spec/v1".to_vec(), "git lfs pull"),
        (b"PK\x03\x04".to_vec(), "ZIP"),
        (tiff(&[(254, 4, 1), (256, 4, 160)]), "raw file"),
        (tiff(&[(262, 3, 32803)]), "raw file"),
        (tiff(&[(50706, 1, 0x0401)]), "raw file"),
        (b"hello, this is no image at all".to_vec(), "JPEG, PNG, WebP, BMP, GIF and TIFF"),
    ] {
        let message = RgbImage::decode("x", &bytes).unwrap_err().to_string();
        assert!(message.contains(words), "{words}: {message}");
    }
}

#[test]
fn endings_are_of_one_kind_each() {
    assert!(EXTENSIONS.iter().all(|ending| !FOREIGN_EXTENSIONS.contains(ending)));
}
