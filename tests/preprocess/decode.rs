//! Every format, orientation and kind of damage.

use std::{fs, io::Cursor};

use image::{
    DynamicImage, Frame, GrayAlphaImage, GrayImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba, RgbaImage,
    codecs::gif::GifEncoder,
};
use webmamba::{Error, Result, RgbImage};

use super::{gradient, json, path, photo, sha256};

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn rgb(image: &RgbImage) -> image::RgbImage {
    image::RgbImage::from_raw(image.width(), image.height(), image.pixels().to_vec()).unwrap()
}

fn jpeg(image: &RgbImage) -> Vec<u8> {
    use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};
    let (w, h) = (image.width() as usize, image.height() as usize);
    compress(image.pixels(), w, h, PixelFormat::Rgb, 90, Subsampling::S444).unwrap()
}

fn gif(frames: &[[u8; 4]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let frames = frames.iter().map(|colour| Frame::new(RgbaImage::from_pixel(5, 4, Rgba(*colour))));
    GifEncoder::new(&mut bytes).encode_frames(frames).unwrap();
    bytes
}

/// One small file of each format, all decodable.
fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let image = gradient(13, 9);
    let progressive = fs::read(path("fixtures/preprocess/tiny_422_progressive.jpg")).unwrap();
    vec![
        ("png", encode(rgb(&image), ImageFormat::Png)),
        ("bmp", encode(rgb(&image), ImageFormat::Bmp)),
        ("webp", encode(rgb(&image), ImageFormat::WebP)),
        ("gif", gif(&[[9, 8, 7, 255], [1, 2, 3, 255]])),
        ("jpg", jpeg(&image)),
        ("progressive jpg", progressive),
    ]
}

fn image_error(result: Result<RgbImage>, words: &str) {
    let error = result.unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::Image { .. }) && message.contains(words), "{message}");
}

#[test]
fn pixels_equal_pillow() {
    for image in json("index.json")["images"].as_array().unwrap() {
        let file = image["file"].as_str().unwrap();
        let pixels = photo(file);
        assert_eq!(
            [pixels.width(), pixels.height()].map(u64::from).map(Some),
            [&image["width"], &image["height"]].map(|v| v.as_u64())
        );
        assert_eq!(sha256(pixels.pixels()), image["decoded_rgb8_sha256"], "{file}");
    }
    for image in json("pillow.json")["jpegs"].as_array().unwrap() {
        let pixels = RgbImage::open(path("fixtures/preprocess").join(image["file"].as_str().unwrap())).unwrap();
        assert_eq!((pixels.width(), pixels.height()), (61, 40));
        assert_eq!(sha256(pixels.pixels()), image["sha256"], "{image}");
    }
}

#[test]
fn lossless_formats_keep_every_pixel() {
    let image = gradient(31, 17);
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
        let got = RgbImage::decode("x", &encode(rgb(&image), format)).unwrap();
        assert_eq!(got, image, "{format:?}");
    }
}

#[test]
fn grey_alpha_and_deep_samples_become_rgb() {
    let first = |image: DynamicImage| {
        let got = RgbImage::decode("x", &encode(image, ImageFormat::Png)).unwrap();
        assert_eq!((got.width(), got.height()), (3, 2));
        [got.pixels()[0], got.pixels()[1], got.pixels()[2]]
    };
    assert_eq!(first(GrayImage::from_pixel(3, 2, Luma([77])).into()), [77, 77, 77]);
    assert_eq!(first(GrayAlphaImage::from_pixel(3, 2, LumaA([77, 0])).into()), [77, 77, 77]);
    // Alpha is dropped, not blended, even where it is 0.
    assert_eq!(first(RgbaImage::from_pixel(3, 2, Rgba([1, 2, 3, 0])).into()), [1, 2, 3]);
    // 16 bits: the high byte, so 0x80ff is 0x80 and not 0x81.
    assert_eq!(first(ImageBuffer::from_pixel(3, 2, Luma([0x80ffu16])).into()), [0x80; 3]);
    assert_eq!(first(ImageBuffer::from_pixel(3, 2, LumaA([0x80ffu16, 5])).into()), [0x80; 3]);
    assert_eq!(first(ImageBuffer::from_pixel(3, 2, Rgb([0x01ffu16, 0x0200, 0xffff])).into()), [1, 2, 255]);
    assert_eq!(first(ImageBuffer::from_pixel(3, 2, Rgba([0x01ffu16, 0x0200, 0xffff, 9])).into()), [1, 2, 255]);
}

/// A PNG chunk with its checksum.
fn chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let body = [kind, data].concat();
    let crc = body.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    });
    [&(data.len() as u32).to_be_bytes()[..], &body, &(!crc).to_be_bytes()].concat()
}

/// A PNG of these header fields whose image data are `rows`, stored without compression.
fn png(width: u32, height: u32, depth: u8, colour: u8, extra: &[u8], rows: &[u8]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat();
    let (mut a, mut b) = (1u32, 0u32);
    for byte in rows {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    let len = rows.len() as u16;
    let data = [&[0x78, 1, 1][..], &len.to_le_bytes(), &(!len).to_le_bytes(), rows, &(b << 16 | a).to_be_bytes()].concat();
    [b"\x89PNG\r\n\x1a\n", &chunk(b"IHDR", &header)[..], extra, &chunk(b"IDAT", &data), &chunk(b"IEND", &[])].concat()
}

#[test]
fn palettes_and_packed_bits_are_expanded() {
    let palette = chunk(b"PLTE", &[10, 20, 30, 200, 100, 50]);
    let transparent = chunk(b"tRNS", &[0]);
    // Two pixels of one bit each, behind the row's filter byte: entry 1, then entry 0.
    for extra in [palette.clone(), [palette, transparent].concat()] {
        let image = RgbImage::decode("x", &png(2, 1, 1, 3, &extra, &[0, 0b1000_0000])).unwrap();
        assert_eq!(image.pixels(), [200, 100, 50, 10, 20, 30]);
    }
    let image = RgbImage::decode("x", &png(2, 1, 4, 0, &[], &[0, 0x3f])).unwrap();
    assert_eq!(image.pixels(), [0x33, 0x33, 0x33, 255, 255, 255]);
}

#[test]
fn a_palette_that_ends_inside_of_a_colour_is_refused() {
    let palette = chunk(b"PLTE", &[10, 20, 30, 200]);
    image_error(RgbImage::decode("x", &png(2, 1, 1, 3, &palette, &[0, 0b1000_0000])), "palette");
}

#[test]
fn the_first_frame_of_a_gif() {
    let image = RgbImage::decode("x", &gif(&[[200, 10, 60, 255], [1, 2, 3, 255]])).unwrap();
    assert_eq!((image.width(), image.height()), (5, 4));
    assert!(image.pixels().chunks(3).all(|p| p == [200, 10, 60]));
}

/// An EXIF block whose one entry is the orientation.
fn exif(orientation: u8) -> Vec<u8> {
    [&b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"[..], &[orientation], &[0; 6]].concat()
}

#[test]
fn orientations_are_applied() {
    let (w, h) = (6, 4);
    let stored = jpeg(&gradient(w, h));
    let plain = RgbImage::decode("x", &stored).unwrap();
    let png_file = encode(rgb(&plain), ImageFormat::Png);
    for orientation in 0..=9 {
        let data = exif(orientation);
        let app1 = [b"\xff\xe1", &(data.len() as u16 + 8).to_be_bytes()[..], b"Exif\0\0", &data].concat();
        // Behind the start marker of the JPEG, and behind the header chunk of the PNG.
        let jpeg = [&stored[..2], &app1, &stored[2..]].concat();
        let png = [&png_file[..33], &chunk(b"eXIf", &data), &png_file[33..]].concat();
        for bytes in [jpeg, png] {
            let turned = RgbImage::decode("x", &bytes).unwrap();
            let swapped = (5..=8).contains(&orientation);
            assert_eq!((turned.width(), turned.height()), if swapped { (h, w) } else { (w, h) }, "{orientation}");
            for y in 0..turned.height() {
                for x in 0..turned.width() {
                    // Where the pixel that is seen at (x, y) is stored.
                    let (sx, sy) = match orientation {
                        2 => (w - 1 - x, y),
                        3 => (w - 1 - x, h - 1 - y),
                        4 => (x, h - 1 - y),
                        5 => (y, x),
                        6 => (y, h - 1 - x),
                        7 => (w - 1 - y, h - 1 - x),
                        8 => (w - 1 - y, x),
                        _ => (x, y),
                    };
                    let at =
                        |image: &RgbImage, x: u32, y: u32| image.pixels()[((y * image.width() + x) * 3) as usize..][..3].to_vec();
                    assert_eq!(at(&turned, x, y), at(&plain, sx, sy), "orientation {orientation} at {x},{y}");
                }
            }
        }
    }
}

#[test]
fn unusable_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for missing in [folder.path().join("none.png"), folder.path().to_path_buf()] {
        let error = RgbImage::open(&missing).unwrap_err();
        assert!(matches!(&error, Error::Io { path, .. } if *path == missing), "{error}");
    }
    // A name that lies is no obstacle; contents that are no image are.
    let file = folder.path().join("photo.jpg");
    fs::write(&file, &samples()[0].1).unwrap();
    RgbImage::open(&file).unwrap();
    for (contents, words) in [(&b""[..], "empty"), (b"hello, this is no image at all", "format"), (b"\xff\xd8\xff", "photo.jpg")]
    {
        fs::write(&file, contents).unwrap();
        let result = RgbImage::open(&file);
        assert!(result.as_ref().unwrap_err().to_string().contains("photo.jpg"));
        image_error(result, words);
    }
    // A format that the decoder knows by its signature, but that is not built in.
    image_error(RgbImage::decode("x.hdr", b"#?RADIANCE\n\n-Y 1 +X 1\n"), "Radiance");
}

#[test]
fn headers_that_claim_too_much_are_refused() {
    image_error(RgbImage::decode("bomb", &png(60_000, 60_000, 8, 2, &[], &[0; 9])), "60000x60000");
    image_error(RgbImage::decode("bomb", &png(2_000_000, 1, 8, 2, &[], &[0; 9])), "2000000x1");
    // 8 bytes a pixel: few enough pixels, too many bytes.
    image_error(RgbImage::decode("bomb", &png(16_000, 16_000, 16, 6, &[], &[0; 9])), "1024 MiB");
    let mut jpeg = jpeg(&gradient(16, 16));
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xea, 0x60, 0xea, 0x60]);
    image_error(RgbImage::decode("bomb", &jpeg), "60000x60000");
    let mut bmp = encode(rgb(&gradient(4, 4)), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0]);
    image_error(RgbImage::decode("bomb", &bmp), "");
    let mut gif = gif(&[[1, 2, 3, 255]]);
    gif[6..10].copy_from_slice(&[0x60, 0xea, 0x60, 0xea]);
    image_error(RgbImage::decode("bomb", &gif), "60000x60000");
}

/// Planes in layouts that the vector code would read out of bounds.
#[test]
fn odd_sampling_of_four_planes_never_panics() {
    let cmyk = fs::read(path("fixtures/preprocess/tiny_cmyk.jpg")).unwrap();
    let frame = cmyk.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    for plane in 0..4 {
        for factors in [0x21, 0x12, 0x22, 0x43, 0x44] {
            let mut odd = cmyk.clone();
            odd[frame + 11 + 3 * plane] = factors;
            if let Ok(image) = RgbImage::decode("odd", &odd) {
                assert_eq!((image.width(), image.height()), (61, 40));
            }
        }
    }
}

#[test]
fn truncated_files_never_panic() {
    for (format, bytes) in samples() {
        let whole = RgbImage::decode(format, &bytes).unwrap();
        let mut usable = 0;
        for len in 0..bytes.len() {
            match RgbImage::decode(format, &bytes[..len]) {
                Ok(image) => {
                    assert_eq!((image.width(), image.height()), (whole.width(), whole.height()), "{format} cut at {len}");
                    usable += 1;
                }
                Err(Error::Image { what, .. }) => assert_eq!(what, format),
                Err(other) => panic!("{format} cut at {len}: {other}"),
            }
        }
        println!("{format}: {usable} of {} truncations are usable", bytes.len());
        // Only what lies behind the pixels may be lacking.
        assert!(RgbImage::decode(format, &bytes[..bytes.len() / 2]).is_err(), "{format}");
    }
}

#[test]
fn damaged_files_never_panic() {
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for (format, bytes) in samples() {
        for _ in 0..400 {
            let mut damaged = bytes.clone();
            for _ in 0..=random(4) {
                let at = random(damaged.len());
                damaged[at] = random(256) as u8;
            }
            if let Err(error) = RgbImage::decode(format, &damaged) {
                assert!(matches!(error, Error::Image { .. }), "{format}: {error}");
            }
        }
    }
}
