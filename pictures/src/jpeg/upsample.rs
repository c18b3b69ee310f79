//! From planes of samples to RGB: chroma at full size by triangle filters, then the colours.

use super::frame::{Component, Frame};
use crate::Decode;

/// How the numbers of the planes are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Colours {
    Grey,
    Rgb,
    YCbCr,
    /// Four planes, inverted as Photoshop writes them.
    Cmyk,
    /// The same, the first three as YCbCr.
    Ycck,
}

/// The plane at the size of the picture: `plane` has rows of `8 * component.stride` samples.
pub(super) fn upsample(frame: &Frame, component: &Component, plane: &[u8]) -> Decode<Vec<u8>> {
    let stride = component.stride * 8;
    let [max_h, max_v] = frame.max;
    let (&Component { h, v, .. }, [w, rows]) = (component, component.samples);
    if max_h % h != 0 || max_v % v != 0 {
        return Err(format!("its colour planes are sampled {h}x{v} of {max_h}x{max_v}, which is no whole number"));
    }
    let row = |y: usize| &plane[y * stride..][..stride];
    // The row beside row `y / 2` of samples on the side where row `y` of the picture is.
    let beside = |y: usize| if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(rows - 1) };
    let mut out = Vec::with_capacity(frame.width * frame.height);
    for y in 0..frame.height {
        let end = out.len() + frame.width;
        match (max_h / h, max_v / v) {
            (2, 1) if w > 2 => h2v1(&row(y)[..w], &mut out),
            (1, 2) => {
                let bias = if y.is_multiple_of(2) { 1 } else { 2 };
                let pairs = row(y / 2)[..w].iter().zip(row(beside(y)));
                out.extend(pairs.map(|(&near, &far)| ((u16::from(near) * 3 + u16::from(far) + bias) >> 2) as u8));
            }
            (2, 2) if w > 2 => {
                let pairs = row(y / 2)[..w].iter().zip(row(beside(y)));
                let sums: Vec<u16> = pairs.map(|(&near, &far)| u16::from(near) * 3 + u16::from(far)).collect();
                h2v2(&sums, &mut out);
            }
            (across, down) => out.extend((0..frame.width).map(|x| row(y / down)[x / across])),
        }
        // One sample more where the width is odd.
        out.truncate(end);
    }
    Ok(out)
}

/// Twice as many samples: three parts of the nearer, one of the farther.
fn h2v1(row: &[u8], out: &mut Vec<u8>) {
    let last = row.len() - 1;
    for (x, &near) in row.iter().enumerate() {
        let at = |x: usize| u16::from(row[x]);
        let near3 = u16::from(near) * 3;
        out.push(if x == 0 { near } else { ((near3 + at(x - 1) + 1) >> 2) as u8 });
        out.push(if x == last { near } else { ((near3 + at(x + 1) + 2) >> 2) as u8 });
    }
}

/// The same for sums that are four times the samples.
fn h2v2(sums: &[u16], out: &mut Vec<u8>) {
    let last = sums.len() - 1;
    for (x, &near) in sums.iter().enumerate() {
        let left = if x == 0 { near } else { sums[x - 1] };
        let right = if x == last { near } else { sums[x + 1] };
        out.push(((near * 3 + left + 8) >> 4) as u8);
        out.push(((near * 3 + right + 7) >> 4) as u8);
    }
}

/// Interleaved RGB of planes at full size.
pub(super) fn to_rgb(colours: Colours, planes: &[Vec<u8>]) -> Vec<u8> {
    let count = planes.first().map_or(0, Vec::len);
    let at = |plane: usize, i: usize| planes[plane][i];
    let mut out = Vec::with_capacity(count * 3);
    for i in 0..count {
        out.extend(match colours {
            Colours::Grey => [at(0, i); 3],
            Colours::Rgb => [at(0, i), at(1, i), at(2, i)],
            Colours::YCbCr => ycc(at(0, i), at(1, i), at(2, i)),
            Colours::Cmyk => [at(0, i), at(1, i), at(2, i)].map(|ink| darkened(ink, at(3, i))),
            Colours::Ycck => ycc(at(0, i), at(1, i), at(2, i)).map(|light| darkened(255 - light, at(3, i))),
        });
    }
    out
}

/// The equations of JFIF with 16 fractional bits.
fn ycc(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let [y, cb, cr] = [i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128];
    let red = (91881 * cr + HALF) >> 16;
    let green = (-22554 * cb - 46802 * cr + HALF) >> 16;
    let blue = (116130 * cb + HALF) >> 16;
    [red, green, blue].map(|difference| (y + difference).clamp(0, 255) as u8)
}

/// What is left of white behind an ink and the black, both inverted, as Pillow computes it.
fn darkened(ink: u8, black: u8) -> u8 {
    let (ink, light) = (u32::from(255 - ink), u32::from(black));
    let product = ink * light + 128;
    (light - ((product + (product >> 8)) >> 8).min(light)) as u8
}
