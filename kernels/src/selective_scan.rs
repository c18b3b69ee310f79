//! The selective scan, token by token: sixteen channels side by side, a vector lane each, with their states in registers.

use crate::{
    Caps, Io, Kernel, SelectiveScan, math, run_of,
    simd::{Vector, each_isa},
};

/// Channels that are scanned side by side.
const LANES: usize = 16;
type Lanes = [f32; LANES];

impl SelectiveScan {
    fn groups(&self) -> usize {
        self.channels.div_ceil(LANES)
    }
}

impl Kernel for SelectiveScan {
    fn parts(&self, _: &Caps) -> usize {
        self.images * self.groups()
    }

    fn scratch(&self, _: &Caps) -> usize {
        2 * self.states * LANES
    }

    unsafe fn run(&self, caps: &Caps, io: &Io<'_>, part: usize, scratch: &mut [f32]) {
        let (image, group) = (part / self.groups(), part % self.groups());
        let tokens = self.images * self.length;
        let vectors = io.read(4).len();
        assert!(
            self.length.is_multiple_of(self.direction.height.max(1))
                && (!self.sum || io.read(5).len() >= tokens * self.width)
                && io.out().len >= tokens * self.width
                && vectors >= 2 * self.channels
                && scratch.len() >= 2 * self.states * LANES,
            "the operands of a scan are too small"
        );
        let (state, decay) = scratch.split_at_mut(self.states * LANES);
        let (state, decay) = (state.as_chunks_mut::<LANES>().0, decay.as_chunks_mut::<LANES>().0);
        state.fill([0.0; LANES]);
        for (n, decay) in decay.iter_mut().take(self.states).enumerate() {
            *decay = lanes_of(&io.read(3)[n * self.channels..][..self.channels], group);
        }
        // The channels that nobody scans are copied, a share by each group.
        for t in run_of(self.length, self.groups(), group) {
            let (from, to) = ((image * self.length + t) * self.width + self.channels, self.width - self.channels);
            // SAFETY: these channels of these tokens belong to this part.
            unsafe { io.write(from..from + to) }.copy_from_slice(&io.read(0)[from..from + to]);
        }
        let states = self.states;
        // SAFETY: the result holds all tokens, and the channels of this group belong to this part.
        unsafe {
            match states {
                1 => scan1(caps.isa, self, io, image, group, state, decay),
                8 => scan8(caps.isa, self, io, image, group, state, decay),
                16 => scan16(caps.isa, self, io, image, group, state, decay),
                _ => scan_any(caps.isa, self, io, image, group, state, decay),
            }
        }
    }
}

/// The values of a group's channels, then zeros: those lanes scan nothing.
#[inline(always)]
fn lanes_of(values: &[f32], group: usize) -> Lanes {
    let values = &values[group * LANES..];
    match values.first_chunk::<LANES>() {
        Some(lanes) => *lanes,
        None => {
            let mut lanes = [0.0; LANES];
            lanes[..values.len()].copy_from_slice(values);
            lanes
        }
    }
}

macro_rules! scans {
    ($($name:ident = $body:ident: $states:expr;)*) => {
        each_isa! {
            $(
                /// All tokens of a group of channels.
                fn $name(k: &SelectiveScan, io: &Io<'_>, image: usize, group: usize, state: &mut [Lanes], decay: &[Lanes]) = $body;
            )*
        }

        $(#[inline(always)]
        unsafe fn $body<V: Vector>(k: &SelectiveScan, io: &Io<'_>, image: usize, group: usize, state: &mut [Lanes], decay: &[Lanes]) {
            // SAFETY: handed on to the caller.
            unsafe { scan::<{ $states }>(k, io, image, group, state, decay) }
        })*
    };
}

scans! {
    scan1 = scan1_body: 1;
    scan8 = scan8_body: 8;
    scan16 = scan16_body: 16;
    scan_any = scan_any_body: 0;
}

/// `STATES` is the number of states where it is known, so that they stay in registers; 0 where it is not.
#[inline(always)]
unsafe fn scan<const STATES: usize>(
    k: &SelectiveScan,
    io: &Io<'_>,
    image: usize,
    group: usize,
    state: &mut [Lanes],
    decay: &[Lanes],
) {
    let [xz, delta, x_dbl, vectors] = [0, 1, 2, 4].map(|i| io.read(i));
    let states = if STATES == 0 { k.states } else { STATES };
    let (skips, biases) = (lanes_of(&vectors[..k.channels], group), lanes_of(&vectors[k.channels..2 * k.channels], group));
    let count = LANES.min(k.channels - group * LANES);
    let mut fixed_state = [[0.0; LANES]; STATES];
    let fixed_decay: [Lanes; STATES] = std::array::from_fn(|n| decay[n]);
    let out = io.out().start;
    let (width, last) = (k.length / k.direction.height, k.length - 1);
    let mut at = if k.direction.reversed { last } else { 0 };
    for _ in 0..k.length {
        let token = image * k.length + at;
        at = next(at, width, last, k.direction.reversed);
        let u = lanes_of(&xz[token * k.width..][..k.channels], group);
        let raw = lanes_of(&delta[token * k.channels..][..k.channels], group);
        let (mut dt, mut input, mut y) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
        for lane in 0..LANES {
            dt[lane] = math::softplus(raw[lane] + biases[lane]);
            input[lane] = dt[lane] * u[lane];
            y[lane] = skips[lane] * u[lane];
        }
        if k.sum {
            let others = lanes_of(&io.read(5)[token * k.width..][..k.channels], group);
            y.iter_mut().zip(others).for_each(|(y, other)| *y += other);
        }
        let (b, c) = x_dbl[(token + 1) * k.dbl_width - 2 * states..][..2 * states].split_at(states);
        if STATES == 0 {
            advance(&mut state[..states], &decay[..states], b, c, [&dt, &input], &mut y);
        } else {
            advance(&mut fixed_state, &fixed_decay, b, c, [&dt, &input], &mut y);
        }
        // SAFETY: these channels of this token exist and belong to the caller.
        unsafe { std::ptr::copy_nonoverlapping(y.as_ptr(), out.add(token * k.width + group * LANES), count) };
    }
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

/// One token: all states move on, and what C sees of them is added to y.
#[inline(always)]
fn advance(state: &mut [Lanes], decay: &[Lanes], b: &[f32], c: &[f32], [dt, input]: [&Lanes; 2], y: &mut Lanes) {
    for (((state, decay), b), c) in state.iter_mut().zip(decay).zip(b).zip(c) {
        for lane in 0..LANES {
            // SAFETY: a number needs no instruction set.
            let h = unsafe { math::exp(dt[lane] * decay[lane]) } * state[lane] + input[lane] * b;
            state[lane] = h;
            y[lane] += c * h;
        }
    }
}
