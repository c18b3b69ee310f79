//! Without any instruction set: four values as a vector, and a number as a vector of one.

use super::Vector;

/// The bits of 1.0.
const ONE: u32 = 1.0f32.to_bits();

/// Four values.
#[derive(Clone, Copy)]
pub(crate) struct Plain([f32; 4]);

impl Plain {
    #[inline(always)]
    fn map(self, f: impl Fn(f32) -> f32) -> Self {
        Self(self.0.map(f))
    }

    #[inline(always)]
    fn with(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

vector! { Plain, 4:
    fn splat(x: f32) -> Self { Self([x; 4]) }
    fn load(p: *const f32) -> Self { Self(p.cast::<[f32; 4]>().read_unaligned()) }
    fn store(self, p: *mut f32) { p.cast::<[f32; 4]>().write_unaligned(self.0) }
    fn multiply_add(self, a: Self, b: Self) -> Self { Self(std::array::from_fn(|i| self.0[i] + a.0[i] * b.0[i])) }
    fn add(self, other: Self) -> Self { self.with(other, |a, b| a + b) }
    fn subtract(self, other: Self) -> Self { self.with(other, |a, b| a - b) }
    fn multiply(self, other: Self) -> Self { self.with(other, |a, b| a * b) }
    fn divide(self, other: Self) -> Self { self.with(other, |a, b| a / b) }
    fn at_most(self, bound: Self) -> Self { self.with(bound, |a, b| a.at_most(b)) }
    fn at_least(self, bound: Self) -> Self { self.with(bound, |a, b| a.at_least(b)) }
    fn where_less(self, bound: Self, yes: Self, no: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].where_less(bound.0[i], yes.0[i], no.0[i])))
    }
    fn magnitude(self) -> Self { self.map(f32::abs) }
    fn with_sign(self, sign: Self) -> Self { self.with(sign, f32::copysign) }
    fn power_of_two(self) -> Self { self.map(|n| n.power_of_two()) }
}

vector! { f32, 1:
    fn splat(x: f32) -> Self { x }
    fn load(p: *const f32) -> Self { p.read() }
    fn store(self, p: *mut f32) { p.write(self) }
    fn multiply_add(self, a: Self, b: Self) -> Self { self + a * b }
    fn add(self, other: Self) -> Self { self + other }
    fn subtract(self, other: Self) -> Self { self - other }
    fn multiply(self, other: Self) -> Self { self * other }
    fn divide(self, other: Self) -> Self { self / other }
    fn at_most(self, bound: Self) -> Self { if self > bound { bound } else { self } }
    fn at_least(self, bound: Self) -> Self { if self < bound { bound } else { self } }
    fn where_less(self, bound: Self, yes: Self, no: Self) -> Self { if self < bound { yes } else { no } }
    fn magnitude(self) -> Self { self.abs() }
    fn with_sign(self, sign: Self) -> Self { self.copysign(sign) }
    fn power_of_two(self) -> Self { Self::from_bits((self.to_bits() << 23).wrapping_add(ONE)) }
}
