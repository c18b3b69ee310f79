//! The vector code of `libjpeg-turbo-rs`, for files whose structure is as it should be.

use image::{DynamicImage, metadata::Orientation};
use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};
use memchr::memchr;

use super::{
    Decode, Decoded, MAX_SCANS,
    bits::{RST0, RST7},
};
use crate::{MAX_BYTES, MAX_PIXELS, check_size};

/// The picture; `None` where the plain decoder has to look at the file.
pub(super) fn decode(bytes: &[u8]) -> Decode<Option<Decoded>> {
    if !regular(bytes) {
        return Ok(None);
    }
    let limits = DecodeLimits { max_scans: MAX_SCANS, max_pixels: MAX_PIXELS, max_memory: Some(MAX_BYTES), ..Default::default() };
    let decoder = match Decoder::new_with_limits(bytes, limits) {
        // Smoothing is for progressive files whose last scans are missing; it does nothing to others.
        Ok(decoder) => decoder.with_output_format(PixelFormat::Rgb).with_block_smoothing(true),
        Err(error) => return otherwise(error),
    };
    let header = decoder.header();
    check_size(header.width.into(), header.height.into())?;

    let orientation = decoder.exif_orientation().and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms);
    let image = match decoder.decode_image() {
        Ok(image) => image,
        Err(error) => return otherwise(error),
    };
    let size = |n: usize| u32::try_from(n).map_err(|e| e.to_string());
    let pixels = image::RgbImage::from_raw(size(image.width)?, size(image.height)?, image.data)
        .ok_or("the decoder returned too few pixels")?;
    Ok(Some(Decoded { pixels: DynamicImage::ImageRgb8(pixels), orientation, note: None }))
}

/// Limits are final; whatever else is wrong, the plain decoder knows better.
fn otherwise(error: JpegError) -> Decode<Option<Decoded>> {
    match error {
        JpegError::LimitExceeded { .. } => Err(format!("{error}: scale it down first")),
        _ => Ok(None),
    }
}

/// True when restart markers stand where they are due, no other marker is met inside a scan, and planes are sampled in one of the
/// usual ways. The crate does not look at the numbers of restart markers; of four planes of different
/// sizes it reads some out of bounds and others a level off.
fn regular(bytes: &[u8]) -> bool {
    let mut at = 2;
    let mut interval = 0;
    let mut frame = Layout::default();
    while let Some(&[0xff, code]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        at += 2;
        // Arithmetic codes are the crate's alone.
        match code {
            0xff => at -= 1,
            0xd9 => return true,
            0xc0..=0xfe if !matches!(code, RST0..=RST7 | 0xd8 | 0xf0..=0xfd) => {
                let Some(contents) = contents(bytes, at) else { return false };
                at += 2 + contents.len();
                match code {
                    0xdd => interval = contents.first_chunk().map_or(0, |n| usize::from(u16::from_be_bytes(*n))),
                    0xc0..=0xcf if !matches!(code, 0xc4 | 0xc8 | 0xcc) => match Layout::new(contents) {
                        Some(layout) => frame = layout,
                        None => return false,
                    },
                    0xda => match scan(bytes, at, frame.restarts(contents, interval)) {
                        Some(end) => at = end,
                        None => return false,
                    },
                    _ => {}
                }
            }
            _ => return false,
        }
    }
    // The end marker may be lacking.
    at >= bytes.len()
}

fn contents(bytes: &[u8], at: usize) -> Option<&[u8]> {
    let length = u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?);
    bytes.get(at + 2..at + usize::from(length).max(2))
}

/// Where the data of a scan end; `None` where a restart marker is not the one that is due.
fn scan(bytes: &[u8], mut at: usize, restarts: usize) -> Option<usize> {
    let mut met = 0;
    loop {
        let Some(found) = memchr(0xff, bytes.get(at..)?) else { return Some(bytes.len()) };
        at += found;
        match bytes.get(at + 1) {
            Some(0) => at += 2,
            Some(0xff) => at += 1,
            Some(&code @ RST0..=RST7) if code & 7 == (met % 8) as u8 => {
                met += 1;
                at += 2;
            }
            Some(RST0..=RST7) => return None,
            _ => return (met == restarts).then_some(at),
        }
    }
}

/// Size and sampling factors.
#[derive(Default)]
struct Layout {
    size: [usize; 2],
    /// Identifier and factors of each plane.
    planes: Vec<(u8, [usize; 2])>,
}

impl Layout {
    /// From a frame header, where the crate can be trusted with it.
    fn new(contents: &[u8]) -> Option<Self> {
        let &[_, h1, h0, w1, w0, count, ..] = contents else { return None };
        let size = [[w1, w0], [h1, h0]].map(|n| usize::from(u16::from_be_bytes(n)));
        let planes: Vec<_> = contents[6..]
            .as_chunks()
            .0
            .iter()
            .map(|&[id, factors, _]: &[u8; 3]| (id, [factors >> 4, factors & 15].map(usize::from)))
            .collect();
        let factors: Vec<_> = planes.iter().map(|plane| plane.1).collect();
        let usual = match factors[..] {
            [_] => true,
            [[h, v], cb @ [ch, cv], cr] => cb == cr && ch > 0 && cv > 0 && h % ch == 0 && v % cv == 0,
            [[1, 1], [1, 1], [1, 1], [1, 1]] => true,
            _ => false,
        };
        (usual && usize::from(count) == planes.len()).then_some(Self { size, planes })
    }

    /// How many restart markers a scan has.
    fn restarts(&self, scan: &[u8], interval: usize) -> usize {
        let most = |axis: usize| self.planes.iter().map(|plane| plane.1[axis]).max().unwrap_or(1).max(1);
        let units: [usize; 2] = match scan {
            // A plane by itself goes block by block.
            [1, id, ..] => std::array::from_fn(|axis| {
                let own = self.planes.iter().find(|plane| plane.0 == *id).map_or(1, |plane| plane.1[axis]);
                (self.size[axis] * own).div_ceil(most(axis)).div_ceil(8)
            }),
            _ => std::array::from_fn(|axis| self.size[axis].div_ceil(8 * most(axis))),
        };
        (units[0] * units[1]).div_ceil(interval.max(1)).saturating_sub(1) * usize::from(interval > 0)
    }
}
