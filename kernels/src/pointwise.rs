//! Pointwise work that no product could take into its epilogue.

use crate::{
    Caps, Io, Kernel, Pointwise, PointwiseMode,
    math::activate,
    run_of,
    simd::{Vector, each_isa},
    worthwhile,
};

impl Pointwise {
    /// Values that stay together: all that the partner has before it starts again, or one where it never does.
    fn unit(&self) -> usize {
        match self.mode {
            PointwiseMode::Affine => self.period.max(1),
            _ if self.period < self.len => self.period.max(1),
            _ => 1,
        }
    }
}

impl Kernel for Pointwise {
    fn parts(&self, caps: &Caps) -> usize {
        worthwhile(self.len / self.unit(), self.unit(), caps)
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, _: &mut [f32]) {
        let unit = self.unit();
        let range = run_of(self.len / unit, self.parts(caps), part);
        let range = range.start * unit..range.end * unit;
        let partner = match self.mode {
            PointwiseMode::Act(_) => &[],
            PointwiseMode::Add | PointwiseMode::Mul if unit == 1 && self.period == self.len => &io.read(1)[range.clone()],
            _ => io.read(1),
        };
        // SAFETY: every value belongs to one part.
        let out = unsafe { io.write(range.clone()) };
        let x = &io.read(0)[range];
        // SAFETY: only slices are read and written.
        unsafe {
            match self.mode {
                PointwiseMode::Act(act) => {
                    out.copy_from_slice(x);
                    activate(caps.isa, act, out);
                }
                _ => compute(caps.isa, self, x, partner, out),
            }
        }
    }
}

each_isa! {
    /// A run of values; the partner starts with the run.
    fn compute(k: &Pointwise, x: &[f32], partner: &[f32], out: &mut [f32]) = compute_body;
}

#[inline(always)]
unsafe fn compute_body<V: Vector>(k: &Pointwise, x: &[f32], partner: &[f32], out: &mut [f32]) {
    let period = k.period.min(x.len()).max(1);
    for (x, out) in x.chunks(period).zip(out.chunks_mut(period)) {
        let values = out.iter_mut().zip(x).zip(partner);
        match k.mode {
            PointwiseMode::Act(_) => {}
            PointwiseMode::Add => values.for_each(|((out, x), y)| *out = x + y),
            PointwiseMode::Mul => values.for_each(|((out, x), y)| *out = x * y),
            PointwiseMode::Affine => {
                let (factors, terms) = partner.split_at(k.period);
                let values = out.iter_mut().zip(x).zip(factors).zip(terms);
                values.for_each(|(((out, x), y), z)| *out = x * y + z);
            }
        }
    }
}
