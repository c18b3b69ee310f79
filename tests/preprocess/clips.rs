//! Clips: which frames of a film, crops of them, and files that move.

use std::io::Cursor;

use image::{
    Frame, ImageEncoder, RgbaImage,
    codecs::{gif::GifEncoder, png::PngEncoder, webp::WebPEncoder},
};
use webmamba::{
    Preprocess, RgbImage, Views,
    low_level::image::{Filter, Place, decode::is_animated},
};

use super::gradient;

#[test]
fn frames_are_evenly_spaced() {
    let frames = |clips, available, wanted| Views { clips, crops: 1 }.frames(available, wanted);
    // segment 99 / 8 = 12.375; one clip begins half a segment later, that is 6.
    assert_eq!(frames(1, 100, 8), [[6, 18, 31, 43, 56, 68, 80, 93]]);
    // Four clips begin 1/5, 2/5, .. of a segment later; halves go to the even number: 0.5 to 0, 1.5 to 2.
    assert_eq!(frames(4, 5, 8)[0], [0, 0, 1, 2, 2, 2, 3, 4]);
    assert_eq!(frames(4, 101, 4), [[5, 30, 55, 80], [10, 35, 60, 85], [15, 40, 65, 90], [20, 45, 70, 95]]);
    // Fewer than are wanted are shown again, and one stands still.
    assert_eq!(frames(1, 1, 4), [[0; 4]]);
    assert_eq!(frames(1, 2, 4), [[0, 0, 0, 1]]);
    assert_eq!(Views { clips: 4, crops: 3 }.needed(2, 4), [0, 1]);
}

#[test]
fn views_are_the_frames_at_their_places() {
    let film: Vec<RgbImage> = (0..7).map(|i| gradient(40 + i, 24)).collect();
    let transform = Preprocess { filter: Filter::Bilinear, ..Preprocess::imagenet([16, 16]) };
    let views = Views { clips: 2, crops: 3 };
    let inputs = views.inputs(&transform, [7, 4], &|i| &film[i]).unwrap();
    assert_eq!(inputs.len(), 6);
    let mut inputs = inputs.iter();
    for frames in views.frames(7, 4) {
        for place in [Place::Start, Place::Middle, Place::End] {
            let input = inputs.next().unwrap();
            assert_eq!(input.shape().dims(), [4, 16, 16, 3]);
            for (values, frame) in input.to_f32().chunks_exact(16 * 16 * 3).zip(&frames) {
                assert!(values == &transform.apply_at(&film[*frame], place).unwrap().to_f32()[..], "{frame} {place:?}");
            }
        }
    }
    for (bad, count) in [(Views { clips: 1, crops: 2 }, 7), (Views { clips: 0, crops: 1 }, 7), (Views::default(), 0)] {
        assert!(bad.inputs(&transform, [count, 4], &|i| &film[i]).is_err());
    }
}

/// The shorter side becomes the target's, the longer is truncated, and crops lie along that.
#[test]
fn crops_are_parts_of_the_resized_frame() {
    let image = gradient(101, 64);
    let transform = Preprocess { filter: Filter::Bilinear, mean: [0.0; 3], std: [1.0; 3], ..Preprocess::imagenet([32, 32]) };
    let whole = image.resize_bilinear(50, 32).unwrap();
    for (place, left) in [(Place::Start, 0), (Place::Middle, 9), (Place::End, 18)] {
        let crop = transform.apply_at(&image, place).unwrap();
        let bytes: Vec<u8> = crop.to_f32().iter().map(|v| (v * 255.0).round() as u8).collect();
        for (row, kept) in whole.pixels().chunks(50 * 3).zip(bytes.chunks(32 * 3)) {
            assert_eq!(&row[left * 3..][..32 * 3], kept, "{place:?}");
        }
    }
    // A device resizes by the other filter.
    assert!(transform.tables(101, 64).unwrap_err().to_string().contains("bicubic"));
}

const COLOURS: [[u8; 4]; 3] = [[200, 10, 60, 255], [1, 250, 3, 255], [90, 90, 255, 255]];

fn colours() -> impl Iterator<Item = RgbaImage> {
    COLOURS.into_iter().map(|colour| RgbaImage::from_pixel(4, 3, colour.into()))
}

fn gif() -> Vec<u8> {
    let mut bytes = Vec::new();
    GifEncoder::new(&mut bytes).encode_frames(colours().map(Frame::new)).unwrap();
    bytes
}

/// Of the three pictures as PNG files: the header of the first, then their data as frames.
fn apng() -> Vec<u8> {
    let chunk = |kind: &[u8], data: &[u8]| {
        let body = [kind, data].concat();
        let crc = body.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 })
        });
        [&(data.len() as u32).to_be_bytes()[..], &body, &(!crc).to_be_bytes()].concat()
    };
    let (mut file, mut sequence) = (Vec::new(), 0u32);
    for (i, picture) in colours().enumerate() {
        let mut png = Vec::new();
        PngEncoder::new(Cursor::new(&mut png)).write_image(&picture, 4, 3, image::ExtendedColorType::Rgba8).unwrap();
        let at = png.windows(4).position(|name| name == b"IDAT").unwrap();
        let length = u32::from_be_bytes(png[at - 4..at].try_into().unwrap()) as usize;
        let data = &png[at + 4..][..length];
        if i == 0 {
            file.extend_from_slice(&png[..at - 4]);
            file.extend(chunk(b"acTL", &[0, 0, 0, 3, 0, 0, 0, 0]));
        }
        let control = [&sequence.to_be_bytes()[..], &[0, 0, 0, 4, 0, 0, 0, 3], &[0; 8], &[0, 1, 0, 10, 0, 0]].concat();
        file.extend(chunk(b"fcTL", &control));
        sequence += 1;
        if i == 0 {
            file.extend(chunk(b"IDAT", data));
        } else {
            file.extend(chunk(b"fdAT", &[&sequence.to_be_bytes()[..], data].concat()));
            sequence += 1;
        }
    }
    file.extend(chunk(b"IEND", &[]));
    file
}

/// The same as WebP: the chunks of lossless pictures in frames.
fn webp() -> Vec<u8> {
    let chunk = |kind: &[u8], data: &[u8]| [kind, &(data.len() as u32).to_le_bytes(), data, &[0][..data.len() % 2]].concat();
    let size = [3, 0, 0, 2, 0, 0];
    let mut body = [b"WEBP".to_vec(), chunk(b"VP8X", &[&[2, 0, 0, 0][..], &size].concat())].concat();
    body.extend(chunk(b"ANIM", &[0; 6]));
    for picture in colours() {
        let mut file = Vec::new();
        WebPEncoder::new_lossless(&mut file).encode(&picture, 4, 3, image::ExtendedColorType::Rgba8).unwrap();
        let frame = [&[0; 6][..], &size, &[100, 0, 0, 2], &file[12..]].concat();
        body.extend(chunk(b"ANMF", &frame));
    }
    chunk(b"RIFF", &body)
}

#[test]
fn all_frames_of_what_moves() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [("gif", gif()), ("apng", apng()), ("webp", webp())] {
        let frames = RgbImage::decode_frames(name, &bytes).unwrap();
        let colours: Vec<&[u8]> = frames.iter().map(|frame| &frame.pixels()[..3]).collect();
        assert_eq!(colours, COLOURS.each_ref().map(|colour| &colour[..3]), "{name}");
        assert!(frames.iter().all(|frame| (frame.width(), frame.height()) == (4, 3)));
        let first = RgbImage::decode(name, &bytes).unwrap();
        assert_eq!((first.pixels(), first.note().is_some_and(|note| note.contains("first frame"))), (frames[0].pixels(), true));

        let path = folder.path().join(format!("x.{name}"));
        std::fs::write(&path, &bytes).unwrap();
        assert!(is_animated(&path), "{name}");
        assert_eq!(RgbImage::open_frames(&path).unwrap().len(), 3);
        // Cut off in the middle, it is refused, or what came before counts as a still picture.
        for end in [12, 40, bytes.len() / 2] {
            let cut = RgbImage::decode_frames(name, &bytes[..end]);
            assert!(cut.as_ref().is_err() || cut.as_ref().is_ok_and(|frames| frames.len() < 3), "{name} {end}: {cut:?}");
        }
    }
}

#[test]
fn a_still_picture_is_one_frame() {
    let path = super::path("images/chelsea.png");
    assert!(!is_animated(&path) && !is_animated(&super::path("images")) && !is_animated(&super::path("images/no.gif")));
    let frames = RgbImage::open_frames(&path).unwrap();
    assert_eq!((frames.len(), frames[0].note()), (1, None));
    let mut still = Vec::new();
    GifEncoder::new(&mut still).encode_frames(colours().take(1).map(Frame::new)).unwrap();
    let frames = RgbImage::decode_frames("still", &still).unwrap();
    assert_eq!((frames.len(), frames[0].note()), (1, None));
}
