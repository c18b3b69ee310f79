//! The evaluation transform of timm, bit for bit: resize (bicubic with antialiasing, on 8-bit values, as Pillow does it),
//! centre crop or pad, scale to 0..1, normalise; and that of clips, which resizes as OpenCV does.

use super::{
    CropMode, Filter, Place, ResizePlan, RgbImage, bilinear, plan,
    resize::{Axis, resize},
};
use crate::{
    error::{Error, Result},
    platform::par_chunks_mut,
    tensor::Tensor,
};

/// Mean of ImageNet's channels (R, G, B) on the scale 0..1.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of ImageNet's channels (R, G, B) on the scale 0..1.
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];
/// Longest side of a target in pixels.
pub const MAX_TARGET: usize = 8192;

/// How images become input tensors. The fields are those of a checkpoint's `config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocess {
    /// Height and width of the model's input in pixels, each 1 to [`MAX_TARGET`].
    pub size: [usize; 2],
    /// Share of the resized image that the target covers: the image is resized to `size / crop_pct`. Above 0, at most 1.
    pub crop_pct: f64,
    /// What happens to images of another aspect ratio.
    pub crop_mode: CropMode,
    /// How images are resized.
    pub filter: Filter,
    /// Subtracted from each channel (R, G, B) after scaling to 0..1.
    pub mean: [f32; 3],
    /// Divides each channel (R, G, B) after that.
    pub std: [f32; 3],
}

impl Preprocess {
    /// ImageNet's mean and deviation, the whole image (`crop_pct` 1) cropped at the centre to `size` = `[h, w]` pixels.
    pub fn imagenet(size: [usize; 2]) -> Self {
        let (crop_mode, filter) = (CropMode::Center, Filter::Bicubic);
        Self { size, crop_pct: 1.0, crop_mode, filter, mean: IMAGENET_MEAN, std: IMAGENET_STD }
    }

    /// The preprocessing of a dense model that is evaluated with images scaled until their shorter side has `short` pixels, or the longer
    /// one four times as many.
    pub fn dense(short: usize) -> Self {
        Self { crop_mode: CropMode::Dense, filter: Filter::Bilinear, ..Self::imagenet([short; 2]) }
    }

    /// This preprocessing for images of `width` x `height` pixels: of dense models the input takes their shape, scaled until it touches one
    /// of the limits that [`Preprocess::size`] has: of the longer and the shorter side in any order, or one number as in
    /// [`Preprocess::dense`]. Other models' inputs have one size.
    #[must_use]
    pub fn for_image(&self, width: u32, height: u32) -> Self {
        let size = if self.crop_mode == CropMode::Dense { plan::within([height, width], self.size) } else { self.size };
        Self { size, ..self.clone() }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`Error::Config`] naming the first field whose value cannot be used.
    pub fn validate(&self) -> Result<()> {
        let fail = |reason: String| Err(Error::config("preprocessing", reason));
        if self.size.iter().any(|n| !(1..=MAX_TARGET).contains(n)) {
            return fail(format!("size {:?}: height and width must be 1 to {MAX_TARGET}", self.size));
        }
        if !(self.crop_pct > 0.0 && self.crop_pct <= 1.0) {
            return fail(format!("crop_pct {}: must be above 0 and at most 1", self.crop_pct));
        }
        if self.mean.iter().any(|m| !m.is_finite()) {
            return fail(format!("mean {:?}: must be finite", self.mean));
        }
        if self.std.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
            return fail(format!("std {:?}: must be finite and above 0", self.std));
        }
        Ok(())
    }

    /// What is done to an image of `width` x `height` pixels.
    ///
    /// # Errors
    /// [`Error::Config`] as [`Preprocess::validate`]; [`Error::InvalidArgument`] when a side is 0, or so much longer than the
    /// other that its resized length passes 2^31.
    pub fn plan(&self, width: u32, height: u32) -> Result<ResizePlan> {
        self.validate()?;
        if width == 0 || height == 0 {
            return Err(Error::InvalidArgument(format!("an image of {width}x{height} pixels has nothing to resize")));
        }
        plan::plan([height, width], self.size, self.crop_pct, self.crop_mode)
    }

    /// Left, top, width and height of what the input shows of an image of `width` x `height` pixels, in those; beyond the image where it is
    /// padded.
    ///
    /// # Errors
    /// Those of [`Preprocess::plan`].
    pub fn region(&self, width: u32, height: u32) -> Result<[f64; 4]> {
        let plan = self.plan(width, height)?;
        let image = [height, width].map(f64::from);
        let scale = [0, 1].map(|axis| image[axis] / plan.resized[axis] as f64);
        let [top, left] = [0, 1].map(|axis| plan.crop[axis] as f64 * scale[axis]);
        Ok([left, top, self.size[1] as f64 * scale[1], self.size[0] as f64 * scale[0]])
    }

    /// The input tensor of one image: F32 `[H, W, 3]`, channels last, normalised.
    ///
    /// The 8-bit values before normalisation equal Pillow's, or OpenCV's where the filter is bilinear, and the arithmetic after them is
    /// torchvision's in f32, so the result equals `timm.data.create_transform(.., interpolation="bicubic")` up to float rounding.
    ///
    /// # Errors
    /// Those of [`Preprocess::plan`].
    pub fn apply(&self, image: &RgbImage) -> Result<Tensor> {
        self.apply_at(image, Place::Middle)
    }

    /// As [`Preprocess::apply`], of another part of an image that is cropped.
    ///
    /// # Errors
    /// Those of [`Preprocess::plan`].
    pub fn apply_at(&self, image: &RgbImage, place: Place) -> Result<Tensor> {
        let mut plan = self.plan(image.width(), image.height())?;
        for axis in 0..2 {
            let rest = plan.resized[axis].saturating_sub(self.size[axis]) as isize;
            match place {
                Place::Start if rest > 0 => plan.crop[axis] = 0,
                Place::End if rest > 0 => plan.crop[axis] = rest,
                _ => {}
            }
        }
        let [rows, cols] = [0, 1].map(|axis| Window::new(plan.resized[axis], plan.crop[axis], self.size[axis]));
        let [wanted_rows, wanted_cols] = [rows, cols].map(|window| window.source..window.source + window.len);
        let kept = match self.filter {
            Filter::Bilinear => bilinear::resize(image, plan.resized, wanted_rows, wanted_cols),
            Filter::Bicubic => resize(
                image,
                &Axis::new(image.height() as usize, plan.resized[0], wanted_rows),
                &Axis::new(image.width() as usize, plan.resized[1], wanted_cols),
            ),
        };

        let normal = self.normalised_levels();
        let background = self.fill().map(usize::from);
        let mut out = vec![0.0; self.size[0] * self.size[1] * 3];
        par_chunks_mut(&mut out, self.size[1] * 3, |y, row| {
            for (i, value) in row.iter_mut().enumerate() {
                *value = normal[i % 3][background[i % 3]];
            }
            if let Some(y) = y.checked_sub(rows.target).filter(|y| *y < rows.len) {
                let source = &kept[y * cols.len * 3..][..cols.len * 3];
                normalise(&normal, source, &mut row[cols.target * 3..][..cols.len * 3]);
            }
        });
        Tensor::from_f32([self.size[0], self.size[1], 3], out)
    }

    /// An image as it is, of whatever size, normalised: F32 `[height, width, 3]`.
    ///
    /// # Errors
    /// [`Error::Config`] as [`Preprocess::validate`].
    pub fn normalise(&self, image: &RgbImage) -> Result<Tensor> {
        self.validate()?;
        let (normal, [width, height]) = (self.normalised_levels(), [image.width(), image.height()].map(|side| side as usize));
        let mut out = vec![0.0; image.pixels().len()];
        par_chunks_mut(&mut out, width * 3, |y, row| normalise(&normal, &image.pixels()[y * width * 3..][..width * 3], row));
        Tensor::from_f32([height, width, 3], out)
    }

    /// The normalised value of each 8-bit level, per channel.
    fn normalised_levels(&self) -> [[f32; 256]; 3] {
        let mut levels = [[0.0; 256]; 3];
        for (c, channel) in levels.iter_mut().enumerate() {
            for (level, value) in channel.iter_mut().enumerate() {
                *value = (level as f32 / 255.0 - self.mean[c]) / self.std[c];
            }
        }
        levels
    }

    /// The 8-bit colour around an image that does not fill its target: the mean.
    pub(super) fn fill(&self) -> [u8; 3] {
        self.mean.map(|m| (f64::from(m) * 255.0).round_ties_even().clamp(0.0, 255.0) as u8)
    }
}

/// The values `levels` of interleaved bytes.
fn normalise(levels: &[[f32; 256]; 3], bytes: &[u8], out: &mut [f32]) {
    for (to, from) in out.as_chunks_mut::<3>().0.iter_mut().zip(bytes.as_chunks::<3>().0) {
        for c in 0..3 {
            to[c] = levels[c][usize::from(from[c])];
        }
    }
}

/// One axis of the overlap between the resized image and the target.
#[derive(Clone, Copy)]
pub(super) struct Window {
    /// First pixel of the resized image that is kept.
    pub(super) source: usize,
    /// Where that pixel lies in the target.
    pub(super) target: usize,
    /// How many are kept.
    pub(super) len: usize,
}

impl Window {
    pub(super) fn new(resized: usize, crop: isize, size: usize) -> Self {
        let source = crop.max(0).unsigned_abs();
        let target = crop.min(0).unsigned_abs();
        Self { source, target, len: (resized - source).min(size - target) }
    }
}
