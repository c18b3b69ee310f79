//! Images: decoding files into 8-bit RGB and turning those pixels into the tensor a model takes.
//!
//! [`RgbImage`] is the common ground: [`decode`] makes one from JPEG, PNG, WebP, BMP, TIFF and GIF (with the feature `image`, native
//! only; in a browser the page decodes), [`Preprocess`] turns one into an F32 tensor `[H, W, 3]`, and [`Views`] several into one `[T, H, W, 3]`.

mod bilinear;
mod clip;
#[cfg(all(feature = "image", not(target_arch = "wasm32")))]
pub mod decode;
mod plan;
mod preprocess;
mod resize;
mod tables;

pub use clip::Views;
pub use plan::{CropMode, Filter, Place, ResizePlan};
pub use preprocess::{IMAGENET_MEAN, IMAGENET_STD, MAX_TARGET, Preprocess};
pub use tables::{AxisTable, ResizeTables};

use std::fmt;

use crate::error::{Error, Result};

/// Longest side of an [`RgbImage`] in pixels. It bounds the filter tables of the resize.
pub const MAX_SIDE: u32 = 1 << 20;

/// An 8-bit RGB image: rows top to bottom, pixels left to right, channels interleaved, no padding.
#[derive(Clone, PartialEq, Eq)]
pub struct RgbImage {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
    note: Option<&'static str>,
}

impl RgbImage {
    /// An image over existing pixels, `height * width * 3` bytes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a side is 0 or longer than [`MAX_SIDE`], or the number of bytes does not fit the size.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> Result<Self> {
        if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
            return Err(Error::InvalidArgument(format!(
                "an image cannot be {width}x{height} pixels: each side must be 1 to {MAX_SIDE}"
            )));
        }
        let want = u64::from(width) * u64::from(height) * 3;
        if want != pixels.len() as u64 {
            return Err(Error::InvalidArgument(format!(
                "an RGB image of {width}x{height} pixels needs {want} bytes, found {}",
                pixels.len()
            )));
        }
        Ok(Self { width, height, pixels, note: None })
    }

    /// Pixels in a row.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Number of rows.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The interleaved bytes, `height * width * 3` of them.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// What was wrong with the file and repaired when it was decoded, or that it moves, as the end of a sentence about it; `None` for a
    /// sound picture.
    pub fn note(&self) -> Option<&'static str> {
        self.note
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn noted(self, note: Option<&'static str>) -> Self {
        Self { note, ..self }
    }

    /// The interleaved bytes, without a copy.
    pub fn into_pixels(self) -> Vec<u8> {
        self.pixels
    }
}

impl fmt::Debug for RgbImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RgbImage({}x{})", self.width, self.height)
    }
}
