//! The selective scan, token by token: sixteen channels side by side with their states in the nearest cache, whole vectors of them at a
//! time. The exponentials of the decays are what it spends its time with.

use std::f32::consts::LOG2_E;

use crate::{
    Caps, Io, Kernel, SelectiveScan,
    math::softplus,
    run_of,
    simd::{Vector, each_isa},
};

/// Channels that are scanned side by side.
const LANES: usize = 16;
type Lanes = [f32; LANES];

/// Keeps the normaliser away from zero.
const EPS: f32 = 1e-6;

/// Tokens that are fetched ahead: down the columns of a map they lie too far apart for the processor to guess.
const AHEAD: usize = 6;

/// More than any step size or decay: what exponents are made of is kept below it, so that they stay numbers.
const MOST: f32 = 1e6;

impl SelectiveScan {
    /// Channels that share their B and C.
    const fn group(&self) -> usize {
        self.channels / self.gates.groups
    }

    /// Runs of channels of an image, none of which is of two groups.
    const fn runs(&self) -> usize {
        self.gates.groups * self.group().div_ceil(LANES)
    }
}

impl Kernel for SelectiveScan {
    fn parts(&self, _: &Caps) -> usize {
        self.images * self.runs()
    }

    fn scratch(&self, _: &Caps) -> usize {
        3 * self.states * LANES
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, scratch: &mut [f32]) {
        let (image, run) = (part / self.runs(), part % self.runs());
        let runs_of_group = self.runs() / self.gates.groups;
        let (group, first) = (run / runs_of_group, run % runs_of_group * LANES);
        let channels = group * self.group() + first..(group * self.group() + first + LANES).min((group + 1) * self.group());
        let (gates, tokens) = (&self.gates, self.images * self.length);
        let at_least = |i: usize, is: bool, len: usize| !is || io.read(i).len() >= len;
        assert!(
            self.length.is_multiple_of(self.direction.height.max(1))
                && self.channels <= self.width
                && self.channels.is_multiple_of(gates.groups)
                && self.bc_width >= self.bc_first + 2 * gates.groups * self.states
                && !(self.sum && gates.rotated)
                && at_least(0, true, tokens * self.width)
                && at_least(1, gates.input || gates.forget, tokens * self.channels)
                && at_least(2, true, tokens * self.bc_width)
                && at_least(3, gates.forget, self.states * self.channels)
                && at_least(4, true, 2 * self.channels)
                && at_least(5, self.sum, tokens * self.width)
                && at_least(5, gates.rotated, tokens * self.bc_width)
                && io.out().len >= tokens * self.width
                && scratch.len() >= 3 * self.states * LANES,
            "the operands of a scan are too small"
        );
        let (states, decays) = scratch.split_at_mut(2 * self.states * LANES);
        states.fill(0.0);
        if gates.forget {
            for (n, decay) in decays.as_chunks_mut::<LANES>().0.iter_mut().take(self.states).enumerate() {
                let rates = lanes_of(&io.read(3)[n * self.channels..][channels.clone()]);
                // Not f32::min: NaN must come through.
                *decay = rates.map(|a| -a * LOG2_E).map(|rate| if rate > MOST { MOST } else { rate });
            }
        }
        // The channels that nobody scans are copied, a share by each run.
        for t in run_of(self.length, self.runs(), run) {
            let (from, to) = ((image * self.length + t) * self.width + self.channels, self.width - self.channels);
            // SAFETY: these channels of these tokens belong to this part.
            unsafe { io.write(from..from + to) }.copy_from_slice(&io.read(0)[from..from + to]);
        }
        let run = Run { image, group, first: channels.start, count: channels.len() };
        // SAFETY: the operands are as large as the sizes say, and the channels of this run belong to this part.
        unsafe {
            match gates.forget {
                true => decaying(caps.isa, self, io, &run, states, decays),
                false => summing(caps.isa, self, io, &run, states, decays),
            }
        }
    }
}

/// Which channels a part scans.
struct Run {
    image: usize,
    group: usize,
    first: usize,
    count: usize,
}

/// At most sixteen values, then zeros: those lanes scan nothing.
#[inline(always)]
fn lanes_of(values: &[f32]) -> Lanes {
    let mut lanes = [0.0; LANES];
    lanes[..values.len()].copy_from_slice(values);
    lanes
}

each_isa! {
    /// All tokens of a run of channels, whose states decay.
    fn decaying(k: &SelectiveScan, io: &Io<'_>, run: &Run, states: &mut [f32], decays: &[f32]) = decaying_body;
    /// All tokens of a run of channels, whose states only grow.
    fn summing(k: &SelectiveScan, io: &Io<'_>, run: &Run, states: &mut [f32], decays: &[f32]) = summing_body;
}

#[inline(always)]
unsafe fn decaying_body<V: Vector>(k: &SelectiveScan, io: &Io<'_>, run: &Run, states: &mut [f32], decays: &[f32]) {
    // SAFETY: handed on to the caller.
    unsafe { scan::<V, true>(k, io, run, states, decays) }
}

#[inline(always)]
unsafe fn summing_body<V: Vector>(k: &SelectiveScan, io: &Io<'_>, run: &Run, states: &mut [f32], decays: &[f32]) {
    // SAFETY: handed on to the caller.
    unsafe { scan::<V, false>(k, io, run, states, decays) }
}

/// The states of sixteen channels lie side by side, those of the normaliser behind them; so do their decays, in powers of two and
/// without their sign.
#[inline(always)]
unsafe fn scan<V: Vector, const FORGET: bool>(k: &SelectiveScan, io: &Io<'_>, run: &Run, states: &mut [f32], decays: &[f32]) {
    let [xz, delta, bc, vectors, more] = [0, 1, 2, 4, 5].map(|i| io.read(i));
    let (gated, normalised) = (k.gates.input || FORGET, k.gates.normalised);
    let skips = lanes_of(&vectors[run.first..][..run.count]);
    let biases = lanes_of(&vectors[k.channels + run.first..][..run.count]);
    let (b_at, c_at) = (run.group * k.states, (k.gates.groups + run.group) * k.states);
    let (width, last) = (k.length / k.direction.height, k.length - 1);
    let reversed = k.direction.reversed;
    let mut at = if reversed { last } else { 0 };
    let mut ahead = (0..AHEAD.min(last)).fold(at, |at, _| next(at, width, last, reversed));
    let (mut row_of_u, mut row_of_delta, mut row_of_others) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for _ in 0..k.length {
        let token = run.image * k.length + at;
        at = next(at, width, last, reversed);
        if k.direction.height > 1 {
            ahead = next(ahead, width, last, reversed).min(last);
            let token = run.image * k.length + ahead;
            let [u, raw, seen] = [
                xz.as_ptr().wrapping_add(token * k.width + run.first),
                delta.as_ptr().wrapping_add(token * k.channels + run.first),
                bc.as_ptr().wrapping_add(token * k.bc_width + k.bc_first),
            ];
            // SAFETY: the caller's instruction set; nothing is read.
            unsafe {
                V::prefetch(u);
                V::prefetch(raw);
                V::prefetch(seen);
            }
        }
        let u = row(&xz[token * k.width + run.first..], run.count, &mut row_of_u);
        let raw = if gated { row(&delta[token * k.channels + run.first..], run.count, &mut row_of_delta) } else { u };
        let others = if k.sum { row(&more[token * k.width + run.first..], run.count, &mut row_of_others) } else { u };
        // B and C of the states, and those of the normaliser.
        let of_token = |bc: &[f32]| bc[token * k.bc_width + k.bc_first..].as_ptr();
        let plain = of_token(bc);
        let turned = if k.gates.rotated { of_token(more) } else { plain };
        let mut out = [0.0; LANES];
        for lane in (0..LANES).step_by(V::LANES) {
            // SAFETY: rows, states and decays have sixteen lanes, B and C are there for every token, and the caller's conditions hold.
            unsafe {
                let value = V::load(u.add(lane));
                let mut y = value.multiply(V::load(skips.as_ptr().add(lane)));
                if k.sum {
                    y = y.add(V::load(others.add(lane)));
                }
                let (mut input, mut exponent) = (value, V::splat(0.0));
                if gated {
                    let dt = softplus(V::load(raw.add(lane)).add(V::load(biases.as_ptr().add(lane))));
                    exponent = V::splat(0.0).subtract(dt).at_least(V::splat(-MOST));
                    if k.gates.input {
                        input = value.multiply(dt);
                    }
                }
                let (mut seen, mut norm) = (V::splat(0.0), V::splat(EPS));
                for n in 0..k.states {
                    let state = states.as_mut_ptr().add(n * LANES + lane);
                    let mut kept = V::load(state);
                    let decay =
                        if FORGET { exponent.exp2_of_product(V::load(decays.as_ptr().add(n * LANES + lane))) } else { input };
                    if FORGET {
                        kept = kept.multiply(decay);
                    }
                    kept = kept.multiply_add(input, V::splat(*turned.add(b_at + n)));
                    kept.store(state);
                    seen = seen.multiply_add(kept, V::splat(*turned.add(c_at + n)));
                    if normalised {
                        let state = states.as_mut_ptr().add((k.states + n) * LANES + lane);
                        let (ones, b) = (V::load(state), V::splat(*plain.add(b_at + n)));
                        let ones = if FORGET { b.multiply_add(ones, decay) } else { b.add(ones) };
                        ones.store(state);
                        norm = norm.multiply_add(ones, V::splat(*plain.add(c_at + n)));
                    }
                }
                if normalised {
                    seen = seen.divide(norm);
                }
                y.add(seen).store(out.as_mut_ptr().add(lane));
            }
        }
        // SAFETY: these channels of this token exist and belong to the caller.
        unsafe {
            let to = io.out().start.add(token * k.width + run.first);
            std::ptr::copy_nonoverlapping(out.as_ptr(), to, run.count);
        }
    }
}

/// Where the first `count` of `values` lie with zeros behind them: there, or else in `room`.
#[inline(always)]
fn row(values: &[f32], count: usize, room: &mut Lanes) -> *const f32 {
    if count == LANES {
        return values[..LANES].as_ptr();
    }
    room[..count].copy_from_slice(&values[..count]);
    room.as_ptr()
}

/// The token behind `at` in a map of this width with this last token, down its columns; of one row, along it. Behind the last one there
/// is none.
#[inline(always)]
const fn next(at: usize, width: usize, last: usize, reversed: bool) -> usize {
    match (reversed, at + width > last, at >= width) {
        (false, false, _) => at + width,
        (false, true, _) => at + width - last,
        (true, _, true) => at - width,
        (true, _, false) => (at + last).wrapping_sub(width),
    }
}
