//! JPEG, to the same pixels as libjpeg-turbo's defaults (accurate integer DCT, smooth chroma upsampling), which PIL uses.
//!
//! The decoder of the `image` crate is a level or two off on 1 % of the samples, more than the models' reference outputs allow.

use image::{DynamicImage, metadata::Orientation};
use libjpeg_turbo_rs::{ComponentInfo, DecodeLimits, Decoder, JpegError, PixelFormat};

use super::{Decode, Decoded, MAX_BYTES, MAX_PIXELS, check_size};

/// Scans that a progressive file may have. Real ones have some ten; each costs a pass over the whole image.
const MAX_SCANS: usize = 500;

pub(super) fn decode(bytes: &[u8]) -> Decode<Decoded> {
    let limits = DecodeLimits { max_scans: MAX_SCANS, max_pixels: MAX_PIXELS, max_memory: Some(MAX_BYTES), ..Default::default() };
    let decoder = Decoder::new_with_limits(bytes, limits).map_err(reason)?.with_output_format(PixelFormat::Rgb);
    let header = decoder.header();
    check_size(header.width.into(), header.height.into())?;
    check_sampling(&header.components)?;

    let orientation = decoder.exif_orientation().and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms);
    let image = decoder.decode_image().map_err(reason)?;
    let size = |n: usize| u32::try_from(n).map_err(|e| e.to_string());
    let pixels = image::RgbImage::from_raw(size(image.width)?, size(image.height)?, image.data)
        .ok_or("the decoder returned too few pixels")?;
    Ok(Decoded { pixels: DynamicImage::ImageRgb8(pixels), orientation })
}

/// Four planes (CMYK, YCCK) are decoded at full resolution, or with the second and third alone subsampled. Nothing writes other
/// layouts, and the decoder does not check for them.
fn check_sampling(components: &[ComponentInfo]) -> Decode<()> {
    let factors: Vec<_> = components.iter().map(|c| (c.horizontal_sampling, c.vertical_sampling)).collect();
    match factors[..] {
        [c, m, y, k] if c != k || m != y || !matches!((c, m), ((1 | 2, 1 | 2), (1, 1))) => {
            Err(format!("its four colour planes are sampled in an unusual way ({factors:?}); save it as RGB"))
        }
        _ => Ok(()),
    }
}

fn reason(error: JpegError) -> String {
    match error {
        JpegError::UnexpectedEof => "its data end early: the file is truncated".into(),
        JpegError::LimitExceeded { .. } => format!("{error}: scale it down first"),
        e => e.to_string(),
    }
}
