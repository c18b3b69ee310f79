//! Cells of 2 x 2 pixels as one pixel each, a row of cells at a time.

use crate::{Caps, Io, Kernel, MergePatches, run_of, worthwhile};

impl Kernel for MergePatches {
    fn parts(&self, caps: &Caps) -> usize {
        worthwhile(self.images * self.height.div_ceil(2), self.width * self.channels / 2, caps)
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, _: &mut [f32]) {
        let (c, down, across) = (self.channels, self.height.div_ceil(2), self.width.div_ceil(2));
        for row in run_of(self.images * down, self.parts(caps), part) {
            let (image, top) = (row / down, row % down * 2);
            // SAFETY: every row of cells belongs to one part.
            let out = unsafe { io.write(row * across * 4 * c..(row + 1) * across * 4 * c) };
            for (i, pixel) in out.chunks_exact_mut(c).enumerate() {
                let (y, x) = (top + i % 2, i / 4 * 2 + i % 4 / 2);
                if y < self.height && x < self.width {
                    pixel.copy_from_slice(&io.read(0)[((image * self.height + y) * self.width + x) * c..][..c]);
                } else {
                    pixel.fill(0.0);
                }
            }
        }
    }
}
