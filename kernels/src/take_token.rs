//! One token of each sequence.

use crate::{Caps, Io, Kernel, TakeToken};

impl Kernel for TakeToken {
    fn parts(&self, _: &Caps) -> usize {
        1
    }

    unsafe fn run(&self, _: &Caps, io: &Io<'_>, _: usize, _: &mut [f32]) {
        let c = self.channels;
        for image in 0..self.images {
            let token = &io.read(0)[(image * self.tokens + self.at) * c..][..c];
            // SAFETY: there is one part, which has all rows.
            unsafe { io.write(image * c..(image + 1) * c) }.copy_from_slice(token);
        }
    }
}
