//! Patches to tokens, a row at a time.

use crate::{Caps, EmbedTokens, Io, Kernel, run_of, worthwhile};

impl Kernel for EmbedTokens {
    fn parts(&self, caps: &Caps) -> usize {
        worthwhile(self.images * self.tokens, self.channels / 4, caps)
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, _: &mut [f32]) {
        let c = self.channels;
        for row in run_of(self.images * self.tokens, self.parts(caps), part) {
            let (image, token) = (row / self.tokens, row % self.tokens);
            let value = if token == self.at {
                &io.read(1)[..c]
            } else {
                let patch = image * (self.tokens - 1) + token - usize::from(token > self.at);
                &io.read(0)[patch * c..][..c]
            };
            let position = &io.read(2)[token * c..][..c];
            // SAFETY: every row belongs to one part.
            let out = unsafe { io.write(row * c..(row + 1) * c) };
            out.iter_mut().zip(value).zip(position).for_each(|((out, v), p)| *out = v + p);
        }
    }
}
