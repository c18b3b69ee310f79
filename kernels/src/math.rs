//! Functions of vectors, and of numbers as vectors of one, without branches or library calls.
//!
//! `shaders/shared/activation.wgsl` holds the same formulas; both are accurate to a few units in the last place.

use crate::{
    Act, Isa,
    simd::{ROUND, Vector, each_isa},
};

/// e^x: range reduction by ln 2 in two parts and a degree-6 polynomial (relative error below 2e-7).
///
/// # Safety
/// Here and below: the processor has the vectors' instruction set.
#[inline(always)]
pub(crate) unsafe fn exp<V: Vector>(x: V) -> V {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    const LOWEST: f32 = -87.3;
    // SAFETY: handed on to the caller.
    unsafe {
        let all = |x: f32| V::splat(x);
        let bounded = x.at_most(all(88.7)).at_least(all(LOWEST));
        let shifted = all(ROUND).multiply_add(bounded, all(LOG2_E));
        let n = shifted.subtract(all(ROUND));
        let r = bounded.multiply_add(n, all(-LN2_HI)).multiply_add(n, all(-LN2_LO));
        let p = polynomial(r, [1.398_2e-3, 8.333_452e-3, 4.166_579_4e-2, 1.666_666_6e-1, 0.5, 1.0, 1.0]);
        x.where_less(all(LOWEST), all(0.0), p.multiply(shifted.power_of_two()))
    }
}

/// The polynomial of these coefficients, that of the highest power first.
#[inline(always)]
unsafe fn polynomial<V: Vector, const N: usize>(x: V, coefficients: [f32; N]) -> V {
    // SAFETY: handed on to the caller.
    unsafe {
        let mut sum = V::splat(coefficients[0]);
        for c in &coefficients[1..] {
            sum = V::splat(*c).multiply_add(sum, x);
        }
        sum
    }
}

/// 1 + e^-x, by which SiLU and the sigmoid divide.
#[inline(always)]
unsafe fn one_and_exp_minus<V: Vector>(x: V) -> V {
    // SAFETY: handed on to the caller.
    unsafe { V::splat(1.0).add(exp(V::splat(0.0).subtract(x))) }
}

/// Hyperbolic tangent through [`exp`]; a Taylor polynomial near zero, where the quotient would cancel.
#[inline(always)]
unsafe fn tanh<V: Vector>(x: V) -> V {
    // SAFETY: handed on to the caller.
    unsafe {
        let (one, a) = (V::splat(1.0), x.magnitude());
        let e = exp(a.add(a));
        let far = one.subtract(V::splat(2.0).divide(e.add(one))).with_sign(x);
        let near = x.multiply(polynomial(x.multiply(x), [-17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0, 1.0]));
        a.where_less(V::splat(0.1), near, far)
    }
}

/// The part of a normal distribution below -|x|, as 2^q with a polynomial q of |x|: that is exact at zero, off by 5e-8 / |x| at the
/// most, and at 9 nothing is left.
#[inline(always)]
unsafe fn normal_tail<V: Vector>(x: V) -> V {
    const Q: [f32; 8] =
        [5.007_543_7e-6, -2.089_587e-5, -5.407_375e-4, 7.595_769e-3, -5.286_570_6e-2, -4.590_881_2e-1, -1.151_118_2, -1.0];
    // SAFETY: handed on to the caller.
    unsafe { polynomial(x.magnitude().at_most(V::splat(9.0)), Q).exp2() }
}

/// 2^r for r from -1/2 to 1/2 (relative error below 2e-7); exact at zero, as what is left of decays near one is near one.
#[inline(always)]
pub(crate) unsafe fn exp2_near_zero<V: Vector>(r: V) -> V {
    // SAFETY: handed on to the caller.
    unsafe { polynomial(r, [1.326_472_7e-3, 9.671_513e-3, 5.550_733_6e-2, 2.402_224_2e-1, std::f32::consts::LN_2, 1.0]) }
}

/// ln(1 + e^x) as max(x, 0) + ln(1 + e^-|x|), with a polynomial for ln(1 + z) over z in 0..1 (relative error below 1e-7).
#[inline(always)]
pub(crate) unsafe fn softplus<V: Vector>(x: V) -> V {
    // SAFETY: handed on to the caller.
    unsafe {
        let zero = V::splat(0.0);
        // Below -120 there is nothing left of an exponential.
        let z = zero.subtract(x.magnitude()).at_least(V::splat(-120.0)).exp2_of_product(V::splat(std::f32::consts::LOG2_E));
        let p = polynomial(
            z,
            [
                5.232_694e-3,
                -2.950_523_8e-2,
                7.822_595e-2,
                -1.366_324_6e-1,
                1.910_600_7e-1,
                -2.484_298_2e-1,
                3.331_909_8e-1,
                -4.999_949_3e-1,
                9.999_999_4e-1,
                0.0,
            ],
        );
        x.at_least(zero).add(p)
    }
}

/// A non-linearity.
#[inline(always)]
pub(crate) unsafe fn activation<V: Vector>(act: Act, x: V) -> V {
    // SAFETY: handed on to the caller.
    unsafe {
        let half = V::splat(0.5);
        match act {
            Act::Identity => x,
            Act::Relu => x.at_least(V::splat(0.0)),
            Act::Gelu => {
                let tail = normal_tail(x);
                x.multiply(x.where_less(V::splat(0.0), tail, V::splat(1.0).subtract(tail)))
            }
            Act::GeluTanh => {
                let (half, cube) = (x.multiply(half), x.multiply(x).multiply(x));
                let inner = x.multiply_add(cube, V::splat(0.044_715)).multiply(V::splat(0.797_884_6));
                half.multiply_add(half, tanh(inner))
            }
            Act::Silu => x.divide(one_and_exp_minus(x)),
            Act::EluPlusOne => V::splat(0.0).where_less(x, x.add(V::splat(1.0)), exp(x)),
            Act::Softplus => softplus(x),
        }
    }
}

/// Applies a non-linearity to every value.
///
/// # Safety
/// The processor has this instruction set.
pub(crate) unsafe fn activate(isa: Isa, act: Act, values: &mut [f32]) {
    // SAFETY: handed on to the caller; it is one row of all values.
    unsafe { activate_rows(isa, act, values.as_mut_ptr(), [1, values.len()], values.len()) }
}

each_isa! {
    /// Applies a non-linearity to some rows of so many values, which lie `stride` apart and belong to nobody else.
    pub(crate) fn activate_rows(act: Act, values: *mut f32, sizes: [usize; 2], stride: usize) = activate_body;
}

/// Nothing here is a closure: those are compiled without the instruction set.
#[inline(always)]
unsafe fn activate_body<V: Vector>(act: Act, values: *mut f32, sizes: [usize; 2], stride: usize) {
    macro_rules! acts {
        ($($act:ident)*) => {
            match act {
                Act::Identity => {}
                // SAFETY: handed on to the caller.
                $(Act::$act => unsafe { activate_by::<V>(Act::$act, values, sizes, stride) },)*
            }
        };
    }
    acts!(Relu Gelu GeluTanh Silu EluPlusOne Softplus);
}

/// A loop of its own for every `act`, which is a constant where this is called.
#[inline(always)]
unsafe fn activate_by<V: Vector>(act: Act, values: *mut f32, [rows, columns]: [usize; 2], stride: usize) {
    for row in 0..rows {
        for column in (0..columns).step_by(V::LANES) {
            let count = columns - column;
            // SAFETY: so many values lie behind that place.
            unsafe {
                let place = values.add(row * stride + column);
                activation(act, V::load_up_to(place, count)).store_up_to(place, count);
            }
        }
    }
}

/// e^((x - max) scale) of every value: a softmax before its division.
#[inline(always)]
pub(crate) unsafe fn exp_from<V: Vector>(values: &mut [f32], max: f32, scale: f32) {
    for at in (0..values.len()).step_by(V::LANES) {
        let count = values.len() - at;
        // SAFETY: so many values lie behind that place.
        unsafe {
            let place = values.as_mut_ptr().add(at);
            let from_max = V::load_up_to(place, count).subtract(V::splat(max));
            exp(from_max.multiply(V::splat(scale))).store_up_to(place, count);
        }
    }
}

/// Sum of f(x) in sixteen lanes, as the vector units and the GPU kernels do it: also more accurate than one running sum.
#[inline(always)]
pub(crate) fn lane_sum(row: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (chunks, rest) = row.as_chunks::<16>();
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane += f(*x);
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().map(|x| f(*x)).sum::<f32>()
}

/// Sum of a b in sixteen lanes.
#[inline(always)]
pub(crate) fn lane_product(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
    for (a, b) in a.iter().zip(b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::available;

    /// Largest deviation of `got` from `want` over [-20, 20], absolute below 1 and relative above.
    fn deviation(got: impl Fn(f32) -> f32, want: fn(f64) -> f64) -> f64 {
        (-20_000..=20_000)
            .map(|i| i as f32 * 1e-3)
            .map(|x| {
                let w = want(f64::from(x));
                (f64::from(got(x)) - w).abs() / w.abs().max(1.0)
            })
            .fold(0.0, f64::max)
    }

    each_isa! {
        /// e^x, tanh, GELU, the sigmoid and the softplus of every value.
        fn functions(x: &mut [[f32; 16]; 5]) = functions_body;
    }

    unsafe fn functions_body<V: Vector>(x: &mut [[f32; 16]; 5]) {
        let [e, t, f, s, p] = x;
        // SAFETY: handed on to the caller.
        unsafe {
            for at in (0..16).step_by(V::LANES) {
                let [e, t, f, s, p] = [&mut *e, &mut *t, &mut *f, &mut *s, &mut *p].map(|lanes| lanes[at..].as_mut_ptr());
                exp(V::load(e)).store(e);
                tanh(V::load(t)).store(t);
                activation(Act::Gelu, V::load(f)).store(f);
                V::splat(1.0).divide(one_and_exp_minus(V::load(s))).store(s);
                softplus(V::load(p)).store(p);
            }
        }
    }

    /// Those functions of one value, the same in all lanes.
    fn functions_of(isa: Isa, x: f32) -> [f32; 5] {
        let mut values = [[x; 16]; 5];
        // SAFETY: only instruction sets that are available are passed.
        unsafe { functions(isa, &mut values) };
        values.map(|lanes| {
            assert!(lanes.iter().all(|v| v.to_bits() == lanes[0].to_bits()), "{isa:?}: lanes differ at {x}");
            lanes[0]
        })
    }

    #[test]
    fn functions_agree_with_f64() {
        for isa in available() {
            assert!(deviation(|x| functions_of(isa, x)[0], f64::exp) < 4e-7, "exp on {isa:?}");
            assert!(deviation(|x| functions_of(isa, x)[1], f64::tanh) < 3e-7, "tanh on {isa:?}");
            assert!(deviation(|x| functions_of(isa, x)[3], |x| 1.0 / (1.0 + (-x).exp())) < 3e-7, "sigmoid on {isa:?}");
            assert!(deviation(|x| functions_of(isa, x)[4], |x| x.exp().ln_1p()) < 5e-7, "softplus on {isa:?}");
        }
    }

    #[test]
    fn small_softplus_keeps_relative_precision() {
        for (isa, x) in available().into_iter().flat_map(|isa| [-5.0f32, -10.0, -20.0, -40.0].map(|x| (isa, x))) {
            let (got, want) = (f64::from(functions_of(isa, x)[4]), f64::from(x).exp().ln_1p());
            assert!(((got - want) / want).abs() < 1e-6, "{isa:?}: softplus({x})");
        }
    }

    #[test]
    fn gelu_agrees_with_tabulated_values() {
        // What of a normal distribution lies below.
        let table = [
            (0.0f32, 0.5f64),
            (0.01, 0.503_989_356_3),
            (0.1, 0.539_827_837_3),
            (0.5, 0.691_462_461_3),
            (1.0, 0.841_344_746_1),
            (2.0, 0.977_249_868_1),
            (3.0, 0.998_650_102_0),
            (5.0, 0.999_999_713_3),
            (9.0, 1.0),
            (1e9, 1.0),
        ];
        for (isa, (x, below)) in available().into_iter().flat_map(|isa| table.map(|row| (isa, row))) {
            let [plus, minus] = [x, -x].map(|x| f64::from(functions_of(isa, x)[2]));
            let (x, bound) = (f64::from(x), 2e-7 * f64::from(x).max(1.0));
            assert!((plus - x * below).abs() < bound, "{isa:?}: gelu({x}) = {plus}");
            assert!((minus + x * (1.0 - below)).abs() < 2e-7, "{isa:?}: gelu(-{x}) = {minus}");
        }
    }

    #[test]
    fn extremes_stay_defined() {
        for isa in available() {
            let of = |x: f32| functions_of(isa, x);
            assert_eq!(of(-200.0)[0], 0.0, "{isa:?}");
            assert!(of(1000.0)[0] > 1e38 && of(f32::NAN).iter().all(|v| v.is_nan()), "{isa:?}");
            assert_eq!((of(50.0)[1], of(-50.0)[1], of(-200.0)[3] < 1e-37), (1.0, -1.0, true), "{isa:?}");
            assert_eq!((of(100.0)[4], of(-1e30)[4] < 1e-37), (100.0, true), "{isa:?}");
        }
    }
}
