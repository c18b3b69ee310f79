//! Class activation maps: the logit that each position alone would give, for the best classes.

use crate::{Caps, ClassActivation, Io, Kernel, run_of, worthwhile};

impl Kernel for ClassActivation {
    fn parts(&self, caps: &Caps) -> usize {
        worthwhile(self.images * self.k, self.positions * self.channels, caps)
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, _: &mut [f32]) {
        let (c, positions) = (self.channels, self.positions);
        let [x, weight, bias, best] = [0, 1, 2, 3].map(|i| io.read(i));
        for map in run_of(self.images * self.k, self.parts(caps), part) {
            let image = map / self.k;
            // Logits that are not numbers have no best class; the classifier reports them.
            let class = (best[map * 2 + 1] as usize).min(self.classes - 1);
            let filter = &weight[class * c..][..c];
            // SAFETY: every map belongs to one part.
            let out = unsafe { io.write(map * positions..(map + 1) * positions) };
            for (out, pixel) in out.iter_mut().zip(x[image * positions * c..].chunks_exact(c)) {
                *out = pixel.iter().zip(filter).map(|(a, b)| a * b).sum::<f32>() + bias[class];
            }
        }
    }
}
