//! Maps over pictures.

use std::io::Cursor;

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use webmamba::{RgbImage, low_level::explain::Map};

/// Colours from the lowest to the highest value: dark blue, blue, green, yellow, red.
const COLOURS: [[f64; 3]; 5] =
    [[20.0, 20.0, 90.0], [30.0, 110.0, 220.0], [40.0, 190.0, 120.0], [250.0, 210.0, 50.0], [220.0, 30.0, 30.0]];
/// How much of a pixel is the map's.
const OPACITY: f64 = 0.55;

/// The picture with the values of a frame over the part that they cover, from the map's lowest to its highest, as a PNG file.
pub(crate) fn over(image: &RgbImage, map: &Map, frame: usize, [left, top, width, height]: [f64; 4]) -> Result<Vec<u8>, String> {
    let [rows, columns] = map.size;
    let values = &map.values[frame * rows * columns..][..rows * columns];
    let low = map.values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = map.values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let scale = if high > low { 1.0 / f64::from(high - low) } else { 0.0 };
    let mut pixels = image.pixels().to_vec();
    for (i, pixel) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let (x, y) = (i % image.width() as usize, i / image.width() as usize);
        let (u, v) = ((x as f64 + 0.5 - left) / width, (y as f64 + 0.5 - top) / height);
        if (0.0..1.0).contains(&u) && (0.0..1.0).contains(&v) {
            let value = between(values, [rows, columns], [v, u]);
            let heat = colour((value - f64::from(low)) * scale);
            for (byte, heat) in pixel.iter_mut().zip(heat) {
                *byte = (f64::from(*byte) * (1.0 - OPACITY) + heat * OPACITY).round() as u8;
            }
        }
    }
    let mut png = Vec::new();
    let written =
        PngEncoder::new(Cursor::new(&mut png)).write_image(&pixels, image.width(), image.height(), ExtendedColorType::Rgb8);
    written.map_err(|error| error.to_string())?;
    Ok(png)
}

/// The value at a place, 0 to 1 down and across, between the middles of the cells around it.
fn between(values: &[f32], size: [usize; 2], place: [f64; 2]) -> f64 {
    let axis = |i: usize| {
        let at = (place[i] * size[i] as f64 - 0.5).clamp(0.0, size[i] as f64 - 1.0);
        (at as usize, (at as usize + 1).min(size[i] - 1), at.fract())
    };
    let ((y0, y1, v), (x0, x1, u)) = (axis(0), axis(1));
    let value = |y: usize, x: usize| f64::from(values[y * size[1] + x]);
    (value(y0, x0) * (1.0 - u) + value(y0, x1) * u) * (1.0 - v) + (value(y1, x0) * (1.0 - u) + value(y1, x1) * u) * v
}

/// Of 0 to 1.
fn colour(value: f64) -> [f64; 3] {
    let place = value.clamp(0.0, 1.0) * (COLOURS.len() - 1) as f64;
    let (first, part) = ((place as usize).min(COLOURS.len() - 2), place - (place as usize).min(COLOURS.len() - 2) as f64);
    std::array::from_fn(|c| COLOURS[first][c] * (1.0 - part) + COLOURS[first + 1][c] * part)
}
