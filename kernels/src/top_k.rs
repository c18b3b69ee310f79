//! Softmax and the k most probable classes.

use crate::{Caps, Io, Kernel, TopK};

impl Kernel for TopK {
    fn parts(&self, _: &Caps) -> usize {
        1
    }

    unsafe fn run(&self, _: &Caps, io: &Io<'_>, _: usize, _: &mut [f32]) {
        // SAFETY: there is one part.
        let out = unsafe { io.write(0..self.rows * self.k * 2) };
        for (logits, out) in io.read(0).chunks_exact(self.classes).zip(out.chunks_exact_mut(self.k * 2)) {
            let finite = logits.iter().all(|v| v.is_finite());
            let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weight = |v: f32| ((v - max) / self.temperature).exp();
            let sum: f32 = logits.iter().map(|v| weight(*v)).sum();
            // The best class after the one before it: larger logits first, of equal ones the lower index.
            let after = |a: (f32, usize), b: (f32, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).is_lt();
            let mut last = None;
            for pair in out.chunks_exact_mut(2) {
                let classes = logits.iter().copied().zip(0..).map(|(v, i): (f32, usize)| (v, i));
                let left = classes.filter(|class| last.is_none_or(|last| after(last, *class)));
                let best = left.reduce(|a, b| if after(b, a) { b } else { a });
                let Some((logit, class)) = best else { break };
                pair[0] = if finite { weight(logit) / sum } else { -1.0 };
                pair[1] = class as f32;
                last = best;
            }
        }
    }
}
