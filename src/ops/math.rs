//! Scalar functions of the CPU evaluations, written without branches or library calls so that loops over them vectorise.
//!
//! `shaders/shared/activation.wgsl` holds the same formulas; both are accurate to a few units in the last place.

/// e^x: range reduction by ln 2 in two parts and a degree-6 polynomial (relative error below 2e-7).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
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
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Hyperbolic tangent through [`exp`]; a Taylor polynomial near zero, where the quotient would cancel.
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    let e = exp(2.0 * x.abs());
    let far = (1.0 - 2.0 / (e + 1.0)).copysign(x);
    let s = x * x;
    let near = x * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 - s * (17.0 / 315.0))));
    if x.abs() < 0.1 { near } else { far }
}

/// The error function (Abramowitz and Stegun 7.1.26, absolute error 1.5e-7).
#[inline(always)]
pub fn erf(x: f32) -> f32 {
    let a = x.abs();
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let p = t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_7 + t * (-1.453_152 + t * 1.061_405_4))));
    (1.0 - p * exp(-a * a)).copysign(x)
}

/// ln(1 + e^x): a series where e^x is small, so that the logarithm does not cancel; x itself above 20, as PyTorch.
#[inline(always)]
pub fn softplus(x: f32) -> f32 {
    if x > 20.0 {
        return x;
    }
    let e = exp(x);
    if e < 0.03 { e * (1.0 - e * (0.5 - e * (1.0 / 3.0 - e * 0.25))) } else { (1.0 + e).ln() }
}

/// Probabilities of finite logits that a temperature divides; through the library's exponential, as they are few.
pub fn softmax(logits: &[f32], temperature: f32) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = logits.iter().map(|v| ((v - max) / temperature).exp()).collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// y += a b, element by element.
#[multiversion::multiversion(targets = "simd")]
pub fn multiply_add(y: &mut [f32], a: &[f32], b: &[f32]) {
    for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
        *y += a * b;
    }
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
