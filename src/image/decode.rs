//! Image files to [`RgbImage`]: JPEG, PNG, WebP, BMP, TIFF and GIF; of what moves the first frame, or all. Native only.
//!
//! The format is told from the content, never from the name. One rule holds for all formats, devices and runtimes, that of timm
//! behind Pillow's `convert("RGB")`, because the models were trained behind it: alpha is dropped, not blended; grey and palettes are
//! expanded; colour profiles and gamma are ignored. One thing differs on purpose: the EXIF orientation is applied, so that a photo
//! is classified the way it is seen. JPEG and PNG of 8 bits a sample give the very pixels of Pillow 13.0.0 (libjpeg-turbo 3.2.0,
//! libpng), also where they are a little damaged: then [`RgbImage::note`] says so. What differs from Pillow:
//!
//! * Of 16-bit grey the high byte is kept, as of 16-bit RGB; Pillow clips grey at 255, which leaves a white sheet.
//! * An orientation counts as a SHORT, as EXIF has it and browsers read it; Pillow also takes a LONG.
//! * Samples of 5 and 6 bits in a BMP are scaled to 0..255 to the nearest, as in browsers.
//! * A file that lacks nothing but its end marker is whole.

mod foreign;
mod frames;
mod jpeg;
mod png;
mod tiff;

pub use frames::is_animated;

use std::{
    fs::File,
    io::{Cursor, Read},
    path::Path,
};

use image::{
    DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, Pixel, metadata::Orientation,
};

use super::{MAX_SIDE, RgbImage};
use crate::error::{Error, Result};

/// Most pixels an image may have; checked on its header, before memory is taken. Fuzzers would try little else than large ones.
pub const MAX_PIXELS: u64 = if cfg!(fuzzing) { 1 << 20 } else { 256 << 20 };
/// Most bytes that a file may have, and that decoding one may take.
pub const MAX_BYTES: u64 = if cfg!(fuzzing) { 1 << 25 } else { 1 << 30 };

/// Usual endings of the formats that are decoded.
pub const EXTENSIONS: [&str; 11] = ["jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "bmp", "gif", "tif", "tiff"];
/// Usual endings of pictures that are not: reading them gives an error that names their format.
pub const FOREIGN_EXTENSIONS: [&str; 38] = [
    "heic", "heif", "hif", "avif", "jxl", "jp2", "j2k", "jpx", "psd", "psb", "svg", "svgz", "pdf", "eps", "ico", "tga", "exr",
    "hdr", "dds", "qoi", "ppm", "pgm", "pbm", "pnm", "pcx", "cr2", "cr3", "nef", "nrw", "arw", "srf", "dng", "orf", "rw2", "raf",
    "pef", "srw", "x3f",
];

impl RgbImage {
    /// Decodes an image file.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read (missing, a folder, no permission), [`Error::Image`] as [`RgbImage::decode`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let (name, bytes) = read(path.as_ref())?;
        Self::decode(&name, &bytes)
    }

    /// Decodes the bytes of an image file; `name` is used in errors.
    ///
    /// # Errors
    /// [`Error::Image`] when the bytes are empty, of no supported format, damaged or truncated, or when the image has more than
    /// [`MAX_PIXELS`] pixels or would take more than [`MAX_BYTES`] bytes to decode.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() {
            return Err(Error::image(name, "the file is empty"));
        }
        let mut image = match image::guess_format(bytes) {
            Ok(ImageFormat::Jpeg) => jpeg::decode(bytes).map_err(|reason| Error::image(name, reason))?,
            Ok(ImageFormat::Png) => decode_png(bytes).map_err(|reason| Error::image(name, reason))?,
            Ok(ImageFormat::Tiff) if tiff::is_raw(bytes) => return Err(Error::image(name, tiff::RAW)),
            Ok(format @ (ImageFormat::WebP | ImageFormat::Bmp | ImageFormat::Gif | ImageFormat::Tiff)) => {
                decode_other(bytes, format).map_err(|reason| Error::image(name, reason))?
            }
            _ => {
                let unknown = || "its format is not one of JPEG, PNG, WebP, BMP, GIF and TIFF".into();
                return Err(Error::image(name, foreign::describe(bytes).unwrap_or_else(unknown)));
            }
        };
        image.pixels.apply_orientation(image.orientation);
        let (width, height) = (image.pixels.width(), image.pixels.height());
        let note = image.note.or_else(|| frames::moves(bytes).then_some(MOVES));
        Self::new(width, height, to_rgb(image.pixels)).map(|image| image.noted(note)).map_err(|e| Error::image(name, e))
    }
}

/// Pixels as they are stored, how to turn them, and what was repaired.
struct Decoded {
    pixels: DynamicImage,
    orientation: Orientation,
    note: Option<&'static str>,
}

/// A file's name and its bytes.
fn read(path: &Path) -> Result<(String, Vec<u8>)> {
    let io = |source| Error::io(path, source);
    let file = File::open(path).map_err(io)?;
    let known = file.metadata().map_err(io)?;
    if known.is_dir() {
        return Err(io(std::io::ErrorKind::IsADirectory.into()));
    }
    let name = path.display().to_string();
    let mut bytes = Vec::with_capacity(known.len().min(MAX_BYTES) as usize);
    // The length is only a hint: devices and pipes report 0 and may never end.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::image(name, format!("the file is larger than {} MiB", MAX_BYTES >> 20)));
    }
    Ok((name, bytes))
}

/// What is said of an animation of which an image is made.
const MOVES: &str = "it moves: only its first frame counts";
/// Why a file whose data end early is refused.
const TRUNCATED: &str = "its data end early: the file is truncated";

/// Why an image cannot be used; the caller knows its name.
type Decode<T> = std::result::Result<T, String>;

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
