//! Bilinear resize of 8-bit RGB without antialiasing, equal to OpenCV's `INTER_LINEAR` byte for byte.
//!
//! The pipelines of clips and of segmentation were trained behind it. Weights have 11 fractional bits, halves rounded to even; the
//! horizontal sum is exact, and the vertical one truncates as OpenCV's vectors do. Only the rows and columns that are asked for
//! are computed, which changes no value.

use std::ops::Range;

use super::{MAX_TARGET, RgbImage};
use crate::{
    error::{Error, Result},
    platform::par_chunks_mut,
};

/// One, as a weight.
const ONE: f32 = 2048.0;

/// One position of a resized axis: the two positions that it lies between, and their weights.
#[derive(Clone, Copy)]
struct Tap {
    at: [usize; 2],
    weights: [u32; 2],
}

/// Positions `wanted` of an axis that is resized from `from` to `to` pixels. Beyond the outermost pixels `inside` takes one pixel
/// with the whole weight; else it is taken twice, with both, which rounds otherwise.
fn taps(from: usize, to: usize, wanted: Range<usize>, inside: bool) -> Vec<Tap> {
    let scale = from as f64 / to as f64;
    let last = from - 1;
    let tap = |position: usize| {
        let place = ((position as f64 + 0.5) * scale - 0.5) as f32;
        let (start, mut fraction) = (place.floor(), place - place.floor());
        let at = [start, start + 1.0].map(|place| (place.max(0.0) as usize).min(last));
        if inside && (start < 0.0 || at[0] == last) {
            fraction = 0.0;
        }
        let weights = [1.0 - fraction, fraction].map(|weight| (weight * ONE).round_ties_even() as u32);
        Tap { at, weights }
    };
    wanted.map(tap).collect()
}

/// The part `rows` x `columns` of `image` resized to `size` = `[h, w]`, as interleaved RGB bytes.
pub(super) fn resize(image: &RgbImage, size: [usize; 2], rows: Range<usize>, columns: Range<usize>) -> Vec<u8> {
    let stride = image.width() as usize * 3;
    let width = columns.len() * 3;
    let rows = taps(image.height() as usize, size[0], rows, false);
    let columns = taps(image.width() as usize, size[1], columns, true);
    let mut out = vec![0; rows.len() * width];
    par_chunks_mut(&mut out, width, |y, out| {
        let Tap { at, weights } = rows[y];
        let [above, below] = at.map(|row| &image.pixels()[row * stride..][..stride]);
        for (pixel, column) in out.chunks_exact_mut(3).zip(&columns) {
            for (channel, byte) in pixel.iter_mut().enumerate() {
                let [left, right] = column.at.map(|at| at * 3 + channel);
                let along = |row: &[u8]| column.weights[0] * u32::from(row[left]) + column.weights[1] * u32::from(row[right]);
                let part = |weight: u32, sum: u32| (weight * (sum >> 4)) >> 16;
                *byte = ((part(weights[0], along(above)) + part(weights[1], along(below)) + 2) >> 2) as u8;
            }
        }
    });
    out
}

/// Positions `wanted` of an axis that is resized from `from` to `to` pixels, for a device: four numbers each, the two that it lies between and their weights.
pub(super) fn table(from: usize, to: usize, wanted: Range<usize>, inside: bool) -> Vec<i32> {
    let numbers = |tap: &Tap| [tap.at[0], tap.at[1], tap.weights[0] as usize, tap.weights[1] as usize].map(|n| n as i32);
    taps(from, to, wanted, inside).iter().flat_map(numbers).collect()
}

impl RgbImage {
    /// This image at another size, in pixels, by bilinear interpolation without antialiasing: the bytes of OpenCV's `resize`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a side is 0 or longer than [`MAX_TARGET`].
    pub fn resize_bilinear(&self, width: usize, height: usize) -> Result<Self> {
        if [width, height].iter().any(|side| !(1..=MAX_TARGET).contains(side)) {
            let reason = format!("an image cannot be resized to {width}x{height} pixels: each side must be 1 to {MAX_TARGET}");
            return Err(Error::InvalidArgument(reason));
        }
        Self::new(width as u32, height as u32, resize(self, [height, width], 0..height, 0..width))
    }
}
