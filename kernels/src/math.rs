//! Scalar functions of the CPU kernels, written without branches or library calls so that loops over them vectorise.
//!
//! `shaders/shared/activation.wgsl` holds the same formulas; both are accurate to a few units in the last place.

use crate::Act;

/// e^x: range reduction by ln 2 in two parts and a degree-6 polynomial (relative error below 2e-7).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    // Adding and subtracting 1.5 * 2^23 rounds to the nearest integer in f32.
    const ROUND: f32 = 12_582_912.0;
    // Not f32::clamp or min/max in this order by accident: NaN must come through.
    let x = if x > 88.7 { 88.7 } else { x };
    let flushed = x < -87.3;
    let x = if flushed { -87.3 } else { x };
    let n = (x * LOG2_E + ROUND) - ROUND;
    let r = (x - n * LN2_HI) - n * LN2_LO;
    let p = 1.0 + r * (1.0 + r * (0.5 + r * (1.666_666_6e-1 + r * (4.166_579_4e-2 + r * (8.333_452e-3 + r * 1.398_2e-3)))));
    let scale = f32::from_bits((((n as i32) + 127) << 23) as u32);
    if flushed { 0.0 } else { p * scale }
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent through [`exp`]; a Taylor polynomial near zero, where the quotient would cancel.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let e = exp(2.0 * x.abs());
    let far = (1.0 - 2.0 / (e + 1.0)).copysign(x);
    let s = x * x;
    let near = x * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 - s * (17.0 / 315.0))));
    if x.abs() < 0.1 { near } else { far }
}

/// The error function (Abramowitz and Stegun 7.1.26, absolute error 1.5e-7).
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p = t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    (1.0 - p * exp(-a * a)).copysign(x)
}

/// ln(1 + e^x): a series where e^x is small, so that the logarithm does not cancel; x itself above 20, as PyTorch.
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    let e = exp(x);
    let small = e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * 0.25)));
    let soft = if e < 0.03 { small } else { ln(1.0 + e) };
    if x > 20.0 { x } else { soft }
}

/// ln x for normal x: the exponent, and a polynomial for the mantissa between sqrt(1/2) and sqrt 2 (relative error below 2e-7).
#[inline(always)]
fn ln(x: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF);
    let exponent = ((shifted as i32) >> 23) as f32;
    let m = f32::from_bits((shifted & 0x007f_ffff).wrapping_add(SQRT_HALF)) - 1.0;
    let p = 0.116_769_99 + m * (-0.115_146_1 + m * 7.037_683_6e-2);
    let p = 0.142_493_23 + m * (-0.124_201_41 + m * p);
    let p = 0.200_007_15 + m * (-0.166_680_58 + m * p);
    let p = 0.333_333_3 + m * (-0.249_999_94 + m * p);
    let square = m * m;
    let low = m * square * p + exponent * -2.121_944_4e-4 - 0.5 * square;
    let value = m + low + exponent * 0.693_359_4;
    if x.is_nan() { x } else { value }
}

/// Applies `f` to every value, sixteen at a time: a constant count is what makes the compiler use vectors for short rows too.
#[inline(always)]
pub(crate) fn each(values: &mut [f32], f: impl Fn(f32) -> f32) {
    let (chunks, rest) = values.as_chunks_mut::<16>();
    for chunk in chunks {
        for v in chunk {
            *v = f(*v);
        }
    }
    for v in rest {
        *v = f(*v);
    }
}

/// Applies a non-linearity to every value.
#[inline(always)]
pub(crate) fn activate(act: Act, values: &mut [f32]) {
    match act {
        Act::Identity => {}
        Act::Relu => each(values, |x| if x < 0.0 { 0.0 } else { x }),
        Act::Gelu => each(values, |x| 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))),
        Act::GeluTanh => each(values, |x| 0.5 * x * (1.0 + tanh(0.797_884_6 * (x + 0.044_715 * x * x * x)))),
        Act::Silu => each(values, |x| x * sigmoid(x)),
        Act::EluPlusOne => each(values, |x| if x > 0.0 { x + 1.0 } else { exp(x) }),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Largest deviation of `got` from `want` over [-20, 20], absolute below 1 and relative above.
    fn deviation(got: fn(f32) -> f32, want: fn(f64) -> f64) -> f64 {
        (-200_000..=200_000)
            .map(|i| i as f32 * 1e-4)
            .map(|x| {
                let w = want(f64::from(x));
                (f64::from(got(x)) - w).abs() / w.abs().max(1.0)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn functions_agree_with_f64() {
        assert!(deviation(exp, f64::exp) < 4e-7, "exp {}", deviation(exp, f64::exp));
        assert!(deviation(tanh, f64::tanh) < 3e-7, "tanh {}", deviation(tanh, f64::tanh));
        assert!(deviation(sigmoid, |x| 1.0 / (1.0 + (-x).exp())) < 3e-7);
        assert!(deviation(softplus, |x| x.exp().ln_1p()) < 5e-7, "softplus {}", deviation(softplus, |x| x.exp().ln_1p()));
    }

    #[test]
    fn small_softplus_keeps_relative_precision() {
        for x in [-5.0f32, -10.0, -20.0, -40.0] {
            let want = f64::from(x).exp().ln_1p();
            assert!(((f64::from(softplus(x)) - want) / want).abs() < 1e-6, "softplus({x})");
        }
    }

    #[test]
    fn erf_agrees_with_tabulated_values() {
        let table = [(0.0f32, 0.0f64), (0.1, 0.112_462_916), (0.5, 0.520_499_878), (1.0, 0.842_700_793), (2.0, 0.995_322_265)];
        for (x, want) in table {
            let [plus, minus] = [erf(x), erf(-x)].map(f64::from);
            assert!((plus - want).abs() < 4e-7 && (minus + want).abs() < 4e-7, "erf({x}) = {plus}");
        }
    }

    #[test]
    fn extremes_stay_defined() {
        assert_eq!(exp(-200.0), 0.0);
        assert!(exp(1000.0) > 1e38 && exp(f32::NAN).is_nan() && tanh(f32::NAN).is_nan() && softplus(f32::NAN).is_nan());
        assert_eq!((tanh(50.0), tanh(-50.0), softplus(100.0), sigmoid(-200.0)), (1.0, -1.0, 100.0, 0.0));
    }
}
