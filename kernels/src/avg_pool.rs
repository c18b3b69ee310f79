//! Means over bins of positions.

use crate::{AvgPool, Caps, Io, Kernel, run_of, worthwhile};

impl Kernel for AvgPool {
    fn parts(&self, caps: &Caps) -> usize {
        let ([height, width], [rows, columns]) = (self.input, self.bins);
        worthwhile(self.images * rows * columns, (height * width * self.channels).div_ceil(8 * rows * columns), caps)
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, _: &mut [f32]) {
        let ([height, width], [rows, columns], c) = (self.input, self.bins, self.channels);
        let span = |i: usize, n: usize, bins: usize| i * n / bins..((i + 1) * n).div_ceil(bins);
        for bin in run_of(self.images * rows * columns, self.parts(caps), part) {
            let image = bin / (rows * columns);
            let (down, across) = (span(bin / columns % rows, height, rows), span(bin % columns, width, columns));
            // SAFETY: every bin belongs to one part.
            let mean = unsafe { io.write(bin * c..(bin + 1) * c) };
            mean.fill(0.0);
            for y in down.clone() {
                let row = &io.read(0)[((image * height + y) * width + across.start) * c..][..across.len() * c];
                row.chunks_exact(c).for_each(|pixel| mean.iter_mut().zip(pixel).for_each(|(m, v)| *m += v));
            }
            mean.iter_mut().for_each(|m| *m /= (down.len() * across.len()) as f32);
        }
    }
}
