//! Rotary embedding over two axes.

use crate::{Caps, Io, Kernel, Rope, run_of, worthwhile};

impl Kernel for Rope {
    fn parts(&self, caps: &Caps) -> usize {
        worthwhile(self.tokens, self.parts * self.channels, caps)
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, _: &mut [f32]) {
        let row = self.parts * self.channels;
        let [x, rows, columns] = [0, 1, 2].map(|i| io.read(i));
        for token in run_of(self.tokens, Kernel::parts(self, caps), part) {
            // SAFETY: every token belongs to one part.
            let out = unsafe { io.write(token * row..(token + 1) * row) };
            let at = token % self.image_tokens;
            for (x, out) in x[token * row..].chunks_exact(self.channels).zip(out.chunks_exact_mut(self.channels)) {
                let angles = [&rows[at / self.width * self.channels / 2..], &columns[at % self.width * self.channels / 2..]];
                for (half, angles) in angles.into_iter().enumerate() {
                    let range = half * self.channels / 2..(half + 1) * self.channels / 2;
                    rotate(&x[range.clone()], angles, &mut out[range]);
                }
            }
        }
    }
}

/// Rotates pairs of neighbours by angles whose cosine and sine lie side by side.
#[inline(always)]
pub(crate) fn rotate(x: &[f32], angles: &[f32], out: &mut [f32]) {
    for ((x, angle), out) in x.as_chunks::<2>().0.iter().zip(angles.as_chunks::<2>().0).zip(out.as_chunks_mut::<2>().0) {
        *out = [x[0] * angle[0] - x[1] * angle[1], x[0] * angle[1] + x[1] * angle[0]];
    }
}
