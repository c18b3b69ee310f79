//! The frames of pictures that move: GIF, WebP and PNG.

use std::io::Cursor;

use image::{
    AnimationDecoder, DynamicImage, Frame, ImageDecoder, ImageFormat, ImageResult, Limits,
    codecs::{gif::GifDecoder, png::PngDecoder, webp::WebPDecoder},
};

use crate::{Decode, MAX_BYTES, Picture, check_size, decode, reason, to_rgb};

/// Bytes in which a PNG or WebP file says that it moves.
pub const MOVES_WITHIN: usize = 1 << 16;

/// All frames of an animated GIF, WebP or PNG file as they are shown, in their order; of any other the one image.
///
/// # Errors
/// Those of [`decode`]; or that the frames take more than [`MAX_BYTES`] together.
pub fn decode_frames(bytes: &[u8]) -> Result<Vec<Picture>, String> {
    if moves(bytes) { frames(bytes) } else { Ok(vec![decode(bytes)?]) }
}

/// Whether there is more than one frame in the file. A PNG or WebP file says so in its first [`MOVES_WITHIN`] bytes; the second frame of a GIF
/// may lie anywhere.
pub fn moves(bytes: &[u8]) -> bool {
    match image::guess_format(bytes) {
        Ok(ImageFormat::Gif) => gif_moves(bytes).unwrap_or(false),
        Ok(ImageFormat::WebP) => bytes.get(12..16) == Some(b"VP8X") && bytes.get(20).is_some_and(|flags| flags & 2 != 0),
        Ok(ImageFormat::Png) => png_moves(bytes).unwrap_or(false),
        _ => false,
    }
}

/// A chunk `acTL` of more than one frame comes before the image data.
fn png_moves(bytes: &[u8]) -> Option<bool> {
    let mut at = 8;
    loop {
        let (length, kind) = (bytes.get(at..at + 4)?, bytes.get(at + 4..at + 8)?);
        if kind == b"acTL" {
            return Some(bytes.get(at + 8..at + 12)? > [0, 0, 0, 1].as_slice());
        }
        if kind == b"IDAT" {
            return Some(false);
        }
        at = at.checked_add(12)?.checked_add(u32::from_be_bytes(length.try_into().ok()?) as usize)?;
    }
}

/// There is a second block of an image.
fn gif_moves(bytes: &[u8]) -> Option<bool> {
    let table = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let (mut at, mut images) = (13 + table(*bytes.get(10)?), 0);
    loop {
        at += match bytes.get(at)? {
            0x21 => 2,
            0x2c if images == 1 => return Some(true),
            0x2c => {
                images += 1;
                11 + table(*bytes.get(at + 9)?)
            }
            _ => return Some(false),
        };
        while *bytes.get(at)? != 0 {
            at += 1 + usize::from(*bytes.get(at)?);
        }
        at += 1;
    }
}

fn frames(bytes: &[u8]) -> Decode<Vec<Picture>> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_BYTES);
    let cursor = || Cursor::new(bytes);
    match image::guess_format(bytes) {
        Ok(ImageFormat::Gif) => collect(GifDecoder::new(cursor()), limits, AnimationDecoder::into_frames),
        Ok(ImageFormat::WebP) => collect(WebPDecoder::new(cursor()), limits, AnimationDecoder::into_frames),
        _ => {
            let decoder = PngDecoder::with_limits(cursor(), limits.clone());
            let apng = |decoder: PngDecoder<_>| decoder.apng().map(AnimationDecoder::into_frames);
            collect(decoder, limits, |decoder| {
                apng(decoder).unwrap_or_else(|error| image::Frames::new(Box::new([Err(error)].into_iter())))
            })
        }
    }
}

/// All frames of a decoder, as long as they fit.
fn collect<'a, D: ImageDecoder>(
    decoder: ImageResult<D>,
    limits: Limits,
    into_frames: impl FnOnce(D) -> image::Frames<'a>,
) -> Decode<Vec<Picture>> {
    let mut decoder = decoder.map_err(reason)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height)?;
    decoder.set_limits(limits).map_err(reason)?;
    let (mut images, mut bytes) = (Vec::new(), 0);
    for (i, frame) in into_frames(decoder).enumerate() {
        let pixels = frame.map(Frame::into_buffer).map_err(|error| format!("frame {}: {}", i + 1, reason(error)))?;
        bytes += pixels.len() as u64 / 4 * 3;
        if bytes > MAX_BYTES {
            return Err(format!("its frames take more than {} MiB; cut it or scale it down first", MAX_BYTES >> 20));
        }
        let (width, height) = pixels.dimensions();
        images.push(Picture { width, height, pixels: to_rgb(DynamicImage::ImageRgba8(pixels)), note: None });
    }
    if images.is_empty() { Err("there are no frames in it".into()) } else { Ok(images) }
}
