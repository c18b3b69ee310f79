//! Layer normalisation, a row at a time: mean, then variance, then the result, while the row is in the nearest cache. With a mean of
//! zero it is the norm by the root of the mean square.

use crate::{
    Caps, Io, Kernel, LayerNorm,
    math::lane_sum,
    run_of,
    simd::{Vector, each_isa},
    worthwhile,
};

impl Kernel for LayerNorm {
    fn parts(&self, caps: &Caps) -> usize {
        worthwhile(self.rows, self.channels, caps)
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, _: &mut [f32]) {
        let rows = run_of(self.rows, self.parts(caps), part);
        let range = rows.start * self.channels..rows.end * self.channels;
        let (weight, bias) = io.read(1).split_at(self.channels);
        // SAFETY: every row belongs to one part.
        let out = unsafe { io.write(range.clone()) };
        // SAFETY: only slices are read and written.
        unsafe { normalise(caps.isa, &io.read(0)[range], weight, bias, self, out) };
    }
}

each_isa! {
    /// Rows as long as `weight`.
    fn normalise(x: &[f32], weight: &[f32], bias: &[f32], k: &LayerNorm, out: &mut [f32]) = normalise_body;
}

#[inline(always)]
unsafe fn normalise_body<V: Vector>(x: &[f32], weight: &[f32], bias: &[f32], k: &LayerNorm, out: &mut [f32]) {
    let channels = weight.len();
    for (x, out) in x.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
        let mean = if k.centred { lane_sum(x, |x| x) / channels as f32 } else { 0.0 };
        let variance = lane_sum(x, |x| (x - mean) * (x - mean)) / channels as f32;
        let scale = 1.0 / (variance + k.eps).sqrt();
        for (((out, x), w), b) in out.iter_mut().zip(x).zip(weight).zip(bias) {
            *out = (x - mean) * scale * w + b;
        }
    }
}
