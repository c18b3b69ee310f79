//! Depthwise convolution: a row of the output at a time, some channels of a pixel in registers over all taps. Channels before them
//! may pass through.

use crate::{
    Caps, DepthwiseConv2d, Io, Isa, Kernel,
    math::activate,
    run_of,
    simd::{Vector, each_isa},
    worthwhile,
};

/// Vectors of channels that are summed side by side.
const BLOCK: usize = 4;

impl Kernel for DepthwiseConv2d {
    fn parts(&self, caps: &Caps) -> usize {
        let cost = self.output[1] * (self.channels - self.passed) * self.kernel[0] * self.kernel[1] / 4;
        worthwhile(self.images * self.output[0], cost, caps)
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, _: &mut [f32]) {
        let lines = self.images * self.output[0];
        let line = self.output[1] * self.channels;
        let pixels = self.images * self.input[0] * self.input[1];
        let (taps, padded) = (self.kernel[0] * self.kernel[1], self.channels.next_multiple_of(caps.isa.lanes()));
        let with_vectors = self.epilogue.bias || self.epilogue.scale;
        assert!(
            io.read(0).len() >= pixels * self.channels
                && self.passed <= self.channels
                && (self.passed == 0 || self.input == self.output)
                && io.read(1).len() >= taps * (self.channels - self.passed)
                && io.read(2).len() >= usize::from(with_vectors) * 2 * padded,
            "the operands of a depthwise convolution are too small"
        );
        for y in run_of(lines, self.parts(caps), part) {
            // SAFETY: every line of the result belongs to one part.
            let out = unsafe { io.write(y * line..(y + 1) * line) };
            // SAFETY: the operands cover what the sizes say (asserted above).
            unsafe { line_of(caps.isa, caps.isa, self, io, y, padded, out) };
        }
    }
}

each_isa! {
    /// One line of the result.
    fn line_of(set: Isa, k: &DepthwiseConv2d, io: &Io<'_>, y: usize, padded: usize, out: &mut [f32]) = line_body;
}

#[inline(always)]
unsafe fn line_body<V: Vector>(isa: Isa, k: &DepthwiseConv2d, io: &Io<'_>, y: usize, padded: usize, out: &mut [f32]) {
    let ([kh, kw], [h, w], c) = (k.kernel, k.input, k.channels);
    let filters = c - k.passed;
    let (x, weight, vectors) = (io.read(0), io.read(1), io.read(2));
    let (image, oy) = (y / k.output[0], y % k.output[0]);
    let top = (oy * k.stride) as isize - k.padding[0] as isize;
    // The taps that lie in the image, along one axis.
    let inside = |at: isize, taps: usize, extent: usize| {
        let first = (-at).clamp(0, taps as isize) as usize;
        let end = (extent as isize - at).clamp(first as isize, taps as isize) as usize;
        first..end
    };
    let rows = inside(top, kh, h);
    for ox in 0..k.output[1] {
        let left = (ox * k.stride) as isize - k.padding[1] as isize;
        let columns = inside(left, kw, w);
        let at = y * out.len() + ox * c;
        if k.passed > 0 {
            let passed = out[ox * c..][..k.passed].iter_mut().zip(&x[at..]);
            match k.epilogue.bias {
                true => passed.zip(vectors).for_each(|((out, x), bias)| *out = x + bias),
                false => passed.for_each(|(out, x)| *out = *x),
            }
        }
        let mut channel = k.passed;
        while channel < c {
            let whole = ((c - channel) / V::LANES).min(BLOCK);
            // SAFETY: `count` channels from `channel` on exist in every pixel, tap and vector that is named.
            unsafe {
                let start = |v: usize, count: usize| match k.epilogue.bias {
                    true => V::load_first(vectors.as_ptr().add(channel + v * V::LANES), count),
                    false => V::splat(0.0),
                };
                macro_rules! block {
                    ($vectors:literal, $load:expr, $store:expr) => {{
                        let load = $load;
                        let mut sums: [V; $vectors] = std::array::from_fn(|v| start(v, V::LANES.min(c - channel)));
                        for ky in rows.clone() {
                            for kx in columns.clone() {
                                let pixel = (image * h + (top + ky as isize) as usize) * w + (left + kx as isize) as usize;
                                let pixel = x.as_ptr().add(pixel * c + channel);
                                let taps = weight.as_ptr().add((ky * kw + kx) * filters + channel - k.passed);
                                for (v, sum) in sums.iter_mut().enumerate() {
                                    let at = v * V::LANES;
                                    *sum = sum.multiply_add(load(pixel.add(at)), load(taps.add(at)));
                                }
                            }
                        }
                        let to = out.as_mut_ptr().add(ox * c + channel);
                        let store = $store;
                        for (v, sum) in sums.into_iter().enumerate() {
                            store(sum, to.add(v * V::LANES));
                        }
                    }};
                }
                match whole {
                    0 => {
                        let left = c - channel;
                        block!(1, |p| V::load_first(p, left), |sum: V, p| sum.store_first(p, left));
                        channel = c;
                    }
                    BLOCK => {
                        block!(4, |p| V::load(p), |sum: V, p| sum.store(p));
                        channel += BLOCK * V::LANES;
                    }
                    _ => {
                        block!(1, |p| V::load(p), |sum: V, p| sum.store(p));
                        channel += V::LANES;
                    }
                }
            }
        }
        let pixel = &mut out[ox * c..][..c];
        // SAFETY: handed on to the caller.
        unsafe { activate(isa, k.epilogue.act, pixel) };
        let zip = |pixel: &mut [f32], other: &[f32], f: fn(f32, f32) -> f32| {
            pixel.iter_mut().zip(other).for_each(|(v, o)| *v = f(*v, *o));
        };
        if k.epilogue.scale {
            zip(pixel, &vectors[padded..], |v, s| v * s);
        }
        if k.epilogue.residual {
            zip(pixel, &io.read(3)[at..], |v, r| v + r);
        }
        if k.epilogue.gate {
            zip(pixel, &io.read(4)[at..], |v, g| v * g);
        }
    }
}
