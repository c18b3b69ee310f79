// Pointwise functions; the formulas and numbers are those of `kernels/src/math.rs` and `Act`.

#import shared/padding
#import shared/softplus

// tanh built from exp: the builtin overflows to NaN on some drivers, and its precision is not specified tightly.
fn tanh_(x: vec4f) -> vec4f {
    let s = x * x;
    let near = x * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 - s * (17.0 / 315.0))));
    let far = sign(x) * (1.0 - 2.0 / (exp(2.0 * min(abs(x), vec4f(40.0))) + 1.0));
    return select(far, near, abs(x) < vec4f(0.1));
}

// The part of a normal distribution below -|x|, as a power of two whose exponent is a polynomial of |x|.
fn normal_tail(x: vec4f) -> vec4f {
    let a = min(abs(x), vec4f(9.0));
    let low = a * (-0.45908812 + a * (-0.052865706 + a * (0.007595769 + a * (-5.407375e-4 + a * (-2.089587e-5 + a * 5.0075437e-6)))));
    return exp2(a * (-1.1511182 + low) - 1.0);
}

// Where x is below zero. NaN is not, whatever its sign: compilers may take it that there is none and turn comparisons round, so
// this looks at the bits, from just below minus zero to minus infinity.
fn negative(x: vec4f) -> vec4<bool> {
    return bitcast<vec4u>(x) - vec4u(0x80000001u) <= vec4u(0x7f7fffffu);
}

fn activate(act: u32, x: vec4f) -> vec4f {
    switch act {
        case 1u: { return select(x, vec4f(0.0), negative(x)); }
        case 2u: {
            let tail = normal_tail(x);
            return x * select(1.0 - tail, tail, negative(x));
        }
        case 3u: { return 0.5 * x * (1.0 + tanh_(0.7978846 * (x + 0.044715 * x * x * x))); }
        // The exponent is clamped so that no driver turns inf / inf into NaN.
        case 4u: { return x / (1.0 + exp(min(-x, vec4f(80.0)))); }
        case 5u: { return select(x + 1.0, exp(min(x, vec4f(0.0))), negative(x)); }
        case 6u: { return vec4f(softplus(x.x), softplus(x.y), softplus(x.z), softplus(x.w)); }
        default: { return x; }
    }
}

// The same for channels 4 * c4.. of a row of `channels`, whose padding stays zero also where that of zero is not.
fn activate_channels(act: u32, x: vec4f, c4: u32, channels: u32) -> vec4f {
    let y = activate(act, x);
    if (act >= 5u) {
        return unpadded(y, c4, channels);
    }
    return y;
}
