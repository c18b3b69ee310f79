//! Separable bicubic resize with antialiasing on 8-bit RGB, equal to Pillow's `BICUBIC` bit for bit.
//!
//! The kernel is Keys' cubic with a = -0.5, stretched by the scale when shrinking. Its weights are made in f64, normalised,
//! and rounded to 22 fractional bits; sums are exact in i32; each pass, the horizontal one first, rounds to 8 bits. Only the
//! rows and columns that are asked for are computed, which changes no value.

use std::ops::Range;

use super::RgbImage;
use crate::platform::par_chunks_mut;

/// Fractional bits of a weight: 32 less 8 for the pixel, less 2 for the sign and the overshoot of the kernel.
const WEIGHT_BITS: u32 = 22;
/// One half, added before the shift that drops the fraction.
const ROUND: i32 = 1 << (WEIGHT_BITS - 1);
/// Bytes of the intermediate image that are held at once.
const TILE_BYTES: usize = 64 << 20;
/// Bytes that the inner loop of the horizontal pass takes at once: whole pixels and whole vector registers.
const LANES: usize = 24;

/// One axis of a resize: for each output position that is asked for, the input positions that it sums and their weights.
pub(super) struct Axis {
    taps: Vec<Tap>,
    weights: Vec<i32>,
}

/// The inputs of one output position: `count` pixels from `first`, weights from `offset`.
#[derive(Clone, Copy)]
struct Tap {
    first: usize,
    count: usize,
    offset: usize,
}

impl Axis {
    /// Positions `wanted` of an axis that is resized from `from` to `to` pixels.
    pub(super) fn new(from: usize, to: usize, wanted: Range<usize>) -> Self {
        let scale = from as f64 / to as f64;
        let stretch = scale.max(1.0);
        let reach = 2.0 * stretch;
        let mut axis = Self { taps: Vec::with_capacity(wanted.len()), weights: Vec::new() };
        let mut exact = Vec::new();
        for position in wanted {
            let centre = (position as f64 + 0.5) * scale;
            // The casts truncate, and saturate at 0.
            let first = (centre - reach + 0.5) as usize;
            let end = ((centre + reach + 0.5) as usize).min(from);
            exact.clear();
            exact.extend((first..end).map(|i| keys((i as f64 - centre + 0.5) * (1.0 / stretch))));
            let sum: f64 = exact.iter().sum();
            axis.taps.push(Tap { first, count: end - first, offset: axis.weights.len() });
            axis.weights.extend(exact.iter().map(|w| fixed(if sum == 0.0 { *w } else { w / sum })));
        }
        axis
    }

    fn len(&self) -> usize {
        self.taps.len()
    }

    fn weights(&self, tap: Tap) -> &[i32] {
        &self.weights[tap.offset..][..tap.count]
    }

    /// All of it as one table of integers: see [`super::AxisTable::taps`].
    pub(super) fn table(&self) -> Vec<i32> {
        let start = self.taps.len() * 3;
        let numbers = |tap: &Tap| [tap.first, tap.count, start + tap.offset].map(|n| n as i32);
        self.taps.iter().flat_map(numbers).chain(self.weights.iter().copied()).collect()
    }

    /// The input positions that any output needs.
    pub(super) fn source(&self) -> Range<usize> {
        let start = self.taps.first().map_or(0, |t| t.first);
        start..self.taps.last().map_or(start, |t| t.first + t.count)
    }
}

/// Keys' cubic convolution kernel with a = -0.5.
fn keys(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

/// A weight with [`WEIGHT_BITS`] fractional bits, halves rounded away from zero.
fn fixed(weight: f64) -> i32 {
    (weight * f64::from(1u32 << WEIGHT_BITS) + 0.5f64.copysign(weight)) as i32
}

/// The 8-bit value of a sum of weighted pixels.
fn to_byte(sum: i32) -> u8 {
    ((sum + ROUND) >> WEIGHT_BITS).clamp(0, 255) as u8
}

/// Resizes to `rows.len()` x `cols.len()` interleaved RGB pixels.
///
/// Memory: the result, and an intermediate of at most [`TILE_BYTES`] or one column, whichever is more: wide results are made
/// in strips of columns.
pub(super) fn resize(image: &RgbImage, rows: &Axis, cols: &Axis) -> Vec<u8> {
    let source = rows.source();
    let mut out = vec![0; rows.len() * cols.len() * 3];
    let strip = (TILE_BYTES / (source.len().max(1) * 3)).clamp(1, cols.len().max(1));
    let mut between = vec![0; source.len() * strip * 3];
    for left in (0..cols.len()).step_by(strip) {
        let taps = &cols.taps[left..(left + strip).min(cols.len())];
        let between = &mut between[..source.len() * taps.len() * 3];
        shrink_rows(image, source.start, cols, taps, between);
        shrink_cols(between, source.start, taps.len() * 3, rows, left * 3, cols.len() * 3, &mut out);
    }
    out
}

/// The horizontal pass: rows of the image from `first_row` on, each into `taps.len()` pixels of `out`.
fn shrink_rows(image: &RgbImage, first_row: usize, cols: &Axis, taps: &[Tap], out: &mut [u8]) {
    // One weight a byte instead of one a pixel, so that the sum runs over plain contiguous bytes.
    let stride = image.width() as usize * 3;
    let spread: Vec<i32> = taps.iter().flat_map(|t| cols.weights(*t)).flat_map(|w| [*w; 3]).collect();
    par_chunks_mut(out, taps.len() * 3, |y, row| {
        let pixels = &image.pixels()[(first_row + y) * stride..][..stride];
        let mut weights = spread.as_slice();
        for (out, tap) in row.chunks_exact_mut(3).zip(taps) {
            let (own, rest) = weights.split_at(tap.count * 3);
            weights = rest;
            let sums = weigh(&pixels[tap.first * 3..][..tap.count * 3], own);
            for (byte, sum) in out.iter_mut().zip(sums) {
                *byte = to_byte(sum);
            }
        }
    });
}

/// Sums of `pixels[i] * weights[i]`, one for each channel. Integers, so the order of the additions is free.
fn weigh(pixels: &[u8], weights: &[i32]) -> [i32; 3] {
    let mut lanes = [0i32; LANES];
    let (pixels, pixels_rest) = pixels.as_chunks::<LANES>();
    let (weights, weights_rest) = weights.as_chunks::<LANES>();
    for (pixels, weights) in pixels.iter().zip(weights) {
        for i in 0..LANES {
            lanes[i] += i32::from(pixels[i]) * weights[i];
        }
    }
    for (lane, (pixel, weight)) in lanes.iter_mut().zip(pixels_rest.iter().zip(weights_rest)) {
        *lane += i32::from(*pixel) * weight;
    }
    let mut sums = [0; 3];
    for (i, lane) in lanes.iter().enumerate() {
        sums[i % 3] += lane;
    }
    sums
}

/// The vertical pass: `between` (rows of `width` bytes, the first being image row `first_row`) into the bytes from `left` of
/// each row of `out`, which are `stride` bytes long.
fn shrink_cols(between: &[u8], first_row: usize, width: usize, rows: &Axis, left: usize, stride: usize, out: &mut [u8]) {
    par_chunks_mut(out, stride, |y, row| {
        let tap = rows.taps[y];
        let mut sums = vec![0i32; width];
        for (source, weight) in between[(tap.first - first_row) * width..].chunks_exact(width).zip(rows.weights(tap)) {
            for (sum, byte) in sums.iter_mut().zip(source) {
                *sum += i32::from(*byte) * weight;
            }
        }
        for (byte, sum) in row[left..].iter_mut().zip(sums) {
            *byte = to_byte(sum);
        }
    });
}
