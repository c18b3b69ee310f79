//! Maps at another size, a row at a time.

use crate::{Caps, Io, Kernel, Resize, run_of, worthwhile};

/// What position i of an axis of `to` is made of: two positions of an axis of `from`, and the weight of the second. By whole numbers, as
/// (i + 1/2) from / to - 1/2 would be rounded.
pub(crate) fn taps(i: usize, from: usize, to: usize) -> ([usize; 2], f32) {
    let place = ((2 * i + 1) * from).saturating_sub(to);
    let first = place / (2 * to);
    ([first, (first + 1).min(from - 1)], (place % (2 * to)) as f32 / (2 * to) as f32)
}

impl Kernel for Resize {
    fn parts(&self, caps: &Caps) -> usize {
        worthwhile(self.images * self.output[0], self.output[1] * self.channels, caps)
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, _: &mut [f32]) {
        let ([height, width], [rows, columns], c) = (self.input, self.output, self.channels);
        let place = |i: usize, from: usize, to: usize| match self.nearest {
            true => ([i * from / to; 2], 0.0),
            false => taps(i, from, to),
        };
        for row in run_of(self.images * rows, self.parts(caps), part) {
            let (down, v) = place(row % rows, height, rows);
            let [upper, lower] = down.map(|y| &io.read(0)[(row / rows * height + y) * width * c..][..width * c]);
            // SAFETY: every row belongs to one part.
            let out = unsafe { io.write(row * columns * c..(row + 1) * columns * c) };
            for (column, out) in out.chunks_exact_mut(c).enumerate() {
                let (across, u) = place(column, width, columns);
                let [a, b] = across.map(|x| &upper[x * c..][..c]);
                let [d, e] = across.map(|x| &lower[x * c..][..c]);
                for i in 0..c {
                    let (top, bottom) = (a[i] + (b[i] - a[i]) * u, d[i] + (e[i] - d[i]) * u);
                    out[i] = top + (bottom - top) * v;
                }
            }
        }
    }
}
