//! Picture files to 8-bit RGB: JPEG, PNG, WebP, BMP, TIFF and GIF; of what moves the first frame, or all.
//!
//! The format is told from the content, never from a name. One rule holds for all formats, devices and runtimes, that of timm
//! behind Pillow's `convert("RGB")`, because the models were trained behind it: alpha is dropped, not blended; grey and palettes are
//! expanded; colour profiles and gamma are ignored. One thing differs on purpose: the EXIF orientation is applied, so that a photo
//! is classified the way it is seen. JPEG and PNG of 8 bits a sample give the very pixels of Pillow 13.0.0 (libjpeg-turbo 3.2.0,
//! libpng), also where they are a little damaged: then [`Picture::note`] says so. What differs from Pillow:
//!
//! * Of 16-bit grey the high byte is kept, as of 16-bit RGB; Pillow clips grey at 255, which leaves a white sheet.
//! * An orientation counts as a SHORT, as EXIF has it and browsers read it; Pillow also takes a LONG.
//! * Samples of 5 and 6 bits in a BMP are scaled to 0..255 to the nearest, as in browsers.
//! * A file that lacks nothing but its end marker is whole.
//!
//! It is a crate of its own as it is a WebAssembly module of its own, for JavaScript outside of browsers, which decodes no pictures
//! by itself. It promises nothing to others than webmamba.

mod foreign;
mod frames;
mod jpeg;
mod png;
mod tiff;
#[cfg(target_arch = "wasm32")]
mod web;

pub use frames::{MOVES_WITHIN, decode_frames, moves};

use std::io::Cursor;

use image::{
    DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, Pixel, metadata::Orientation,
};

/// Longest side of a picture in pixels.
pub const MAX_SIDE: u32 = 1 << 20;
/// Most pixels an image may have; checked on its header, before memory is taken. Fuzzers would try little else than large ones.
pub const MAX_PIXELS: u64 = if cfg!(fuzzing) { 1 << 20 } else { 256 << 20 };
/// Most bytes that a file may have, and that decoding one may take.
pub const MAX_BYTES: u64 = if cfg!(fuzzing) { 1 << 25 } else { 1 << 30 };

/// A decoded file.
#[derive(Debug)]
pub struct Picture {
    /// Pixels in a row, 1 to [`MAX_SIDE`].
    pub width: u32,
    /// Rows, 1 to [`MAX_SIDE`].
    pub height: u32,
    /// Interleaved RGB bytes, `height * width * 3`.
    pub pixels: Vec<u8>,
    /// What was wrong with the file and repaired, as the end of a sentence about it.
    pub note: Option<&'static str>,
}

/// Decodes the bytes of a file.
///
/// # Errors
/// Why it cannot be used, as the end of a sentence about it: it is empty, of no supported format, damaged or truncated, has more than
/// [`MAX_PIXELS`] pixels, or would take more than [`MAX_BYTES`] bytes to decode.
pub fn decode(bytes: &[u8]) -> Result<Picture, String> {
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    let mut image = match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => jpeg::decode(bytes)?,
        Ok(ImageFormat::Png) => decode_png(bytes)?,
        Ok(ImageFormat::Tiff) if tiff::is_raw(bytes) => return Err(tiff::RAW.into()),
        Ok(format @ (ImageFormat::WebP | ImageFormat::Bmp | ImageFormat::Gif | ImageFormat::Tiff)) => {
            decode_other(bytes, format)?
        }
        _ => {
            let unknown = || "its format is not one of JPEG, PNG, WebP, BMP, GIF and TIFF".into();
            return Err(foreign::describe(bytes).unwrap_or_else(unknown));
        }
    };
    image.pixels.apply_orientation(image.orientation);
    let (width, height) = (image.pixels.width(), image.pixels.height());
    let note = image.note.or_else(|| moves(bytes).then_some(MOVES));
    Ok(Picture { width, height, pixels: to_rgb(image.pixels), note })
}

/// Pixels as they are stored, how to turn them, and what was repaired.
struct Decoded {
    pixels: DynamicImage,
    orientation: Orientation,
    note: Option<&'static str>,
}

/// What is said of an animation of which an image is made.
const MOVES: &str = "it moves: only its first frame counts";
/// Why a file whose data end early is refused.
const TRUNCATED: &str = "its data end early: the file is truncated";

/// Why an image cannot be used; the caller knows its name.
type Decode<T> = Result<T, String>;

/// As [`decode_other`], where need be after mending.
fn decode_png(bytes: &[u8]) -> Decode<Decoded> {
    if png::has_broken_palette(bytes) {
        return Err("its palette ends inside of a colour".into());
    }
    let decoded = decode_other(bytes, ImageFormat::Png);
    if decoded.is_err()
        && let Some(mended) = png::mended(bytes)
        && let Ok(decoded) = decode_other(&mended, ImageFormat::Png)
    {
        return Ok(Decoded { note: Some("its checksums or its end are wrong; its image data are whole"), ..decoded });
    }
    decoded
}

fn decode_other(bytes: &[u8], format: ImageFormat) -> Decode<Decoded> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(reason)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    // The pixels themselves are allocated by the caller of a decoder, outside the decoder's own limit.
    limits.reserve(decoder.total_bytes()).map_err(reason)?;
    decoder.set_limits(limits).map_err(reason)?;
    // Damaged metadata is no reason to reject sound pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let pixels = DynamicImage::from_decoder(decoder).map_err(reason)?;
    Ok(Decoded { pixels, orientation, note: None })
}

fn check_size(width: u32, height: u32) -> Decode<()> {
    if width == 0 || height == 0 {
        return Err(format!("it is {width}x{height} pixels, that is, empty"));
    }
    if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!(
            "it is {width}x{height} pixels; at most {MAX_PIXELS} pixels and {MAX_SIDE} on a side are decoded: scale it down first"
        ));
    }
    Ok(())
}

fn reason(error: ImageError) -> String {
    match error {
        ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => TRUNCATED.into(),
        ImageError::Limits(e) => format!("{e} (limit: {} MiB)", MAX_BYTES >> 20),
        e => e.to_string(),
    }
}

/// Interleaved RGB bytes without alpha.
fn to_rgb(pixels: DynamicImage) -> Vec<u8> {
    match pixels {
        DynamicImage::ImageRgb8(p) => p.into_raw(),
        DynamicImage::ImageLuma8(p) => convert(&p, |s| s),
        DynamicImage::ImageLumaA8(p) => convert(&p, |s| s),
        DynamicImage::ImageRgba8(p) => convert(&p, |s| s),
        DynamicImage::ImageLuma16(p) => convert(&p, high_byte),
        DynamicImage::ImageLumaA16(p) => convert(&p, high_byte),
        DynamicImage::ImageRgb16(p) => convert(&p, high_byte),
        DynamicImage::ImageRgba16(p) => convert(&p, high_byte),
        // Float samples, which none of the enabled formats has.
        other => other.into_rgb8().into_raw(),
    }
}

fn high_byte(sample: u16) -> u8 {
    sample.to_be_bytes()[0]
}

/// Grey is repeated, alpha left out, each sample made a byte.
fn convert<P: Pixel>(pixels: &ImageBuffer<P, Vec<P::Subpixel>>, byte: impl Fn(P::Subpixel) -> u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(pixels.width() as usize * pixels.height() as usize * 3);
    for pixel in pixels.pixels() {
        match *pixel.channels() {
            [grey] | [grey, _] => out.extend([byte(grey); 3]),
            [r, g, b, ..] => out.extend([byte(r), byte(g), byte(b)]),
            [] => {}
        }
    }
    out
}
