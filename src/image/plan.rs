//! The geometry of the evaluation transform: to which size an image is resized and which part of that is kept.
//!
//! The arithmetic (which quotient is truncated, floored, or rounded to even, and that it happens in f64) follows timm and
//! torchvision, because a size that is one off moves every pixel.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How an image of another aspect ratio is fitted to the target; timm's `crop_mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CropMode {
    /// Keep the aspect ratio, fill the target, cut off what sticks out.
    #[default]
    Center,
    /// Give up the aspect ratio.
    Squash,
    /// Keep the aspect ratio and the whole image; the rest of the target takes the mean colour.
    Border,
    /// The target takes the image's shape, and OpenCV's bilinear filter resizes: what mmsegmentation does for dense models. See
    /// [`crate::image::Preprocess::for_image`].
    #[serde(skip)]
    Dense,
}

impl CropMode {
    /// The name in configuration files: `center`, `squash` or `border`; `dense` is none of them.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Center => "center",
            Self::Squash => "squash",
            Self::Border => "border",
            Self::Dense => "dense",
        }
    }
}

impl fmt::Display for CropMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for CropMode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "center" => Ok(Self::Center),
            "squash" => Ok(Self::Squash),
            "border" => Ok(Self::Border),
            _ => Err(Error::InvalidArgument(format!("unknown crop mode `{name}`; known are: center, squash, border"))),
        }
    }
}

/// How pixels between pixels are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Filter {
    /// Bicubic with antialiasing, as Pillow does it: what nearly all models of images were trained behind.
    #[default]
    Bicubic,
    /// Bilinear without antialiasing, as OpenCV does it: what models of clips and of segmentation were trained behind.
    Bilinear,
}

impl Filter {
    /// The name in configuration files: `bicubic` or `bilinear`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bicubic => "bicubic",
            Self::Bilinear => "bilinear",
        }
    }
}

/// Which part of a resized image that is larger than the target is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Place {
    /// The top, or the left.
    Start,
    /// The middle.
    #[default]
    Middle,
    /// The bottom, or the right.
    End,
}

/// What the transform does to an image of one size. Heights come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResizePlan {
    /// Height and width after resizing, in pixels. Only the part that is kept is ever computed.
    pub resized: [usize; 2],
    /// Top and left of the target within the resized image. Negative where the target is larger: so many pixels are padded
    /// before the image ([`CropMode::Border`] only).
    pub crop: [isize; 2],
}

/// Plans for an image of `image` = `[h, w]` pixels and a target of `size` = `[h, w]`.
pub(super) fn plan(image: [u32; 2], size: [usize; 2], crop_pct: f64, mode: CropMode) -> Result<ResizePlan> {
    let scaled = size.map(|n| (n as f64 / crop_pct).floor());
    let image = image.map(f64::from);
    let resized = match mode {
        CropMode::Squash | CropMode::Dense => scaled,
        // timm asks torchvision for "shorter side = n" here, which truncates the longer side; its own resize rounds.
        CropMode::Center if scaled[0] == scaled[1] => shorter_side(image, scaled[0]),
        CropMode::Center => keep_ratio(image, scaled, f64::min),
        CropMode::Border => keep_ratio(image, scaled, f64::max),
    };
    let mut plan = ResizePlan { resized: [0; 2], crop: [0; 2] };
    for axis in 0..2 {
        // Where a sliver rounds to nothing timm fails; one row of it is the sensible answer.
        let length = resized[axis].max(1.0);
        if length > f64::from(i32::MAX) {
            return Err(Error::InvalidArgument(format!(
                "an image of {}x{} pixels cannot be fitted to {}x{} with crop mode `{mode}` and crop_pct {crop_pct}: \
                 it would be {} pixels long; crop it first, or use crop mode `squash`",
                image[1], image[0], size[1], size[0], length
            )));
        }
        plan.resized[axis] = length as usize;
        plan.crop[axis] = centre(length as isize, size[axis] as isize);
    }
    Ok(plan)
}

/// The shorter side becomes `n`, the longer one follows, truncated.
fn shorter_side([h, w]: [f64; 2], n: f64) -> [f64; 2] {
    if w <= h { [(n * h / w).trunc(), n] } else { [n, (n * w / h).trunc()] }
}

/// Both sides are divided by one ratio: with `min` the image covers `size`, with `max` it fits inside.
fn keep_ratio(image: [f64; 2], size: [f64; 2], pick: fn(f64, f64) -> f64) -> [f64; 2] {
    let ratio = pick(image[0] / size[0], image[1] / size[1]);
    image.map(|n| (n / ratio).round_ties_even())
}

/// Height and width of an image of `image` = `[h, w]` pixels that is scaled until it touches one of two limits, of its longer and its
/// shorter side: mmcv's arithmetic. One number for both is the limit of the shorter side, and the longer one's is four times as much.
pub(super) fn within(image: [u32; 2], limits: [usize; 2]) -> [usize; 2] {
    let [a, b] = limits.map(|n| n as f64);
    let (long, short) = if a == b { (4.0 * a, a) } else { (a.max(b), a.min(b)) };
    let [h, w] = image.map(f64::from);
    let factor = (long / h.max(w)).min(short / h.min(w));
    [h, w].map(|n| ((n * factor + 0.5) as usize).max(1))
}

/// Offset of a centred window of `want` pixels in `have`: half pixels go to the even offset when cropping and to the far
/// side when padding.
fn centre(have: isize, want: isize) -> isize {
    if want > have { -((want - have) / 2) } else { ((have - want) as f64 / 2.0).round_ties_even() as isize }
}
