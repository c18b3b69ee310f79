//! WebAssembly with 128-bit vectors.

use std::arch::wasm32::*;

use super::Vector;

#[cfg(target_feature = "relaxed-simd")]
#[inline(always)]
fn fused(c: v128, a: v128, b: v128) -> v128 {
    f32x4_relaxed_madd(a, b, c)
}

#[cfg(not(target_feature = "relaxed-simd"))]
#[inline(always)]
fn fused(c: v128, a: v128, b: v128) -> v128 {
    f32x4_add(c, f32x4_mul(a, b))
}

/// The sums of the even and the odd lanes of each: those of `a` and `b` in turn.
#[inline(always)]
fn halves(a: v128, b: v128) -> v128 {
    f32x4_add(i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<2, 6, 3, 7>(a, b))
}

vector! { v128, 4:
    fn splat(x: f32) -> Self { f32x4_splat(x) }
    fn load(p: *const f32) -> Self { v128_load(p.cast()) }
    fn store(self, p: *mut f32) { v128_store(p.cast(), self) }
    fn multiply_add(self, a: Self, b: Self) -> Self { fused(self, a, b) }
    fn add(self, other: Self) -> Self { f32x4_add(self, other) }
    fn subtract(self, other: Self) -> Self { f32x4_sub(self, other) }
    fn multiply(self, other: Self) -> Self { f32x4_mul(self, other) }
    fn divide(self, other: Self) -> Self { f32x4_div(self, other) }
    // These compare as C's `b < a ? b : a`.
    fn at_most(self, bound: Self) -> Self { f32x4_pmin(self, bound) }
    fn at_least(self, bound: Self) -> Self { f32x4_pmax(self, bound) }
    fn where_less(self, bound: Self, yes: Self, no: Self) -> Self { v128_bitselect(yes, no, f32x4_lt(self, bound)) }
    fn magnitude(self) -> Self { f32x4_abs(self) }
    fn with_sign(self, sign: Self) -> Self { v128_or(self, v128_and(sign, f32x4_splat(-0.0))) }
    fn store_sums([a, b, c, d]: [Self; 4], p: *mut f32) {
        let (ab, cd) = (halves(a, b), halves(c, d));
        f32x4_add(i32x4_shuffle::<0, 1, 4, 5>(ab, cd), i32x4_shuffle::<2, 3, 6, 7>(ab, cd)).store(p)
    }
    fn power_of_two(self) -> Self { i32x4_add(i32x4_shl(self, 23), f32x4_splat(1.0)) }
}
