//! Patches to tokens, a row at a time.

use crate::{Caps, EmbedTokens, Io, Kernel, run_of, worthwhile};

impl Kernel for EmbedTokens {
    fn parts(&self, caps: &Caps) -> usize {
        worthwhile(self.samples * self.tokens, self.channels / 4, caps)
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, _: &mut [f32]) {
        let c = self.channels;
        let row_of = |operand: usize, row: usize| &io.read(operand)[row * c..][..c];
        let patches = ((self.tokens - 1) / self.frames).max(1);
        for row in run_of(self.samples * self.tokens, self.parts(caps), part) {
            let (sample, token) = (row / self.tokens, row % self.tokens);
            let patch = token - usize::from(token > self.at);
            let place = patch % patches;
            let (value, position) = match token == self.at {
                true => (row_of(1, 0), token),
                false => (row_of(0, sample * (self.tokens - 1) + patch), place + usize::from(place >= self.at)),
            };
            // SAFETY: every row belongs to one part.
            let out = unsafe { io.write(row * c..(row + 1) * c) };
            out.iter_mut().zip(value).zip(row_of(2, position)).for_each(|((out, v), p)| *out = v + p);
            if token != self.at {
                out.iter_mut().zip(row_of(3, patch / patches)).for_each(|(out, p)| *out += p);
            }
        }
    }
}
