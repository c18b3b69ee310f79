//! Mean over positions.

use crate::{Caps, GlobalAvgPool, Io, Kernel, run_of, worthwhile};

impl Kernel for GlobalAvgPool {
    fn parts(&self, caps: &Caps) -> usize {
        worthwhile(self.images, self.positions * self.channels / 8, caps)
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, _: &mut [f32]) {
        let c = self.channels;
        for image in run_of(self.images, self.parts(caps), part) {
            // SAFETY: every image belongs to one part.
            let mean = unsafe { io.write(image * c..(image + 1) * c) };
            mean.fill(0.0);
            for pixel in io.read(0)[image * self.positions * c..][..self.positions * c].chunks_exact(c) {
                mean.iter_mut().zip(pixel).for_each(|(m, v)| *m += v);
            }
            mean.iter_mut().for_each(|m| *m /= self.positions as f32);
        }
    }
}
