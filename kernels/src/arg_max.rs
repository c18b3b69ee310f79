//! The best class of every pixel: a row of pixels is weighed of rows of logits first, then each pixel of that.

use crate::{
    ArgMax, Caps, Io, Kernel,
    resize::taps,
    run_of,
    simd::{Vector, each_isa},
    worthwhile,
};

/// Up to four positions and their weights.
type Quad = ([(usize, f32); 4], usize);

/// A position of an axis of `to`, seen through one of `between`, as positions of an axis of `from`; those that repeat count once.
fn quad(i: usize, [from, between, to]: [usize; 3]) -> Quad {
    let (outer, far) = taps(i, between, to);
    let (mut quad, mut count) = ([(0, 0.0); 4], 0);
    for (i, weight) in outer.into_iter().zip([1.0 - far, far]) {
        let (inner, next) = taps(i, from, between);
        for (at, weight) in inner.into_iter().zip([weight * (1.0 - next), weight * next]) {
            match quad[..count].iter_mut().find(|tap| tap.0 == at) {
                Some(tap) => tap.1 += weight,
                None => {
                    quad[count] = (at, weight);
                    count += 1;
                }
            }
        }
    }
    (quad, count)
}

impl Kernel for ArgMax {
    fn parts(&self, caps: &Caps) -> usize {
        worthwhile(self.images * self.output[0], self.output[1] * self.channels, caps)
    }

    fn scratch(&self, _: &Caps) -> usize {
        (self.input[1] + 1) * self.channels
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, scratch: &mut [f32]) {
        let rows = run_of(self.images * self.output[0], self.parts(caps), part);
        // SAFETY: every row belongs to one part.
        let out = unsafe { io.write_bytes(rows.start * self.output[1]..rows.end * self.output[1]) };
        for (row, out) in rows.zip(out.chunks_exact_mut(self.output[1])) {
            // SAFETY: only slices are read and written.
            unsafe { line(caps.isa, self, io.read(0), row, scratch, out) };
        }
    }
}

each_isa! {
    /// The classes of a row of pixels.
    fn line(k: &ArgMax, x: &[f32], row: usize, scratch: &mut [f32], out: &mut [u8]) = line_body;
}

#[inline(always)]
unsafe fn line_body<V: Vector>(k: &ArgMax, x: &[f32], row: usize, scratch: &mut [f32], out: &mut [u8]) {
    let ([height, width], c) = (k.input, k.channels);
    let (logits, pixel) = scratch[..(width + 1) * c].split_at_mut(width * c);
    let (down, count) = quad(row % k.output[0], [height, k.through[0], k.output[0]]);
    let image = row / k.output[0] * height;
    let line = |at: usize| &x[(image + at) * width * c..][..width * c];
    weigh(logits, &down[..count], line);
    for (column, class) in out.iter_mut().enumerate() {
        let (across, count) = quad(column, [width, k.through[1], k.output[1]]);
        weigh(pixel, &across[..count], |at| &logits[at * c..][..c]);
        let (mut best, mut score, mut broken) = (0, f32::NEG_INFINITY, false);
        for (i, v) in pixel.iter().enumerate() {
            broken |= !v.is_finite();
            if *v > score {
                (best, score) = (i, *v);
            }
        }
        *class = if broken { 255 } else { best as u8 };
    }
}

/// The sum of what lies at some positions, each with its weight.
#[inline(always)]
fn weigh<'a>(out: &mut [f32], taps: &[(usize, f32)], at: impl Fn(usize) -> &'a [f32]) {
    for (i, (place, weight)) in taps.iter().enumerate() {
        let values = out.iter_mut().zip(at(*place));
        if i == 0 {
            values.for_each(|(out, v)| *out = v * weight);
        } else {
            values.for_each(|(out, v)| *out += v * weight);
        }
    }
}
