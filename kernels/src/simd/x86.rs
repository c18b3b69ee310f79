//! AVX2 with FMA, and AVX-512.

use std::arch::x86_64::*;

use super::{ROUND, Vector};
use crate::math::exp2_near_zero;

vector! { __m256, 8:
    fn splat(x: f32) -> Self { _mm256_set1_ps(x) }
    fn load(p: *const f32) -> Self { _mm256_loadu_ps(p) }
    fn store(self, p: *mut f32) { _mm256_storeu_ps(p, self) }
    fn prefetch(p: *const f32) { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    fn multiply_add(self, a: Self, b: Self) -> Self { _mm256_fmadd_ps(a, b, self) }
    fn add(self, other: Self) -> Self { _mm256_add_ps(self, other) }
    fn subtract(self, other: Self) -> Self { _mm256_sub_ps(self, other) }
    fn multiply(self, other: Self) -> Self { _mm256_mul_ps(self, other) }
    fn divide(self, other: Self) -> Self { _mm256_div_ps(self, other) }
    // With a NaN among them these give the second operand.
    fn at_most(self, bound: Self) -> Self { _mm256_min_ps(bound, self) }
    fn at_least(self, bound: Self) -> Self { _mm256_max_ps(bound, self) }
    fn where_less(self, bound: Self, yes: Self, no: Self) -> Self { _mm256_blendv_ps(no, yes, _mm256_cmp_ps::<_CMP_LT_OQ>(self, bound)) }
    fn magnitude(self) -> Self { _mm256_andnot_ps(_mm256_set1_ps(-0.0), self) }
    fn with_sign(self, sign: Self) -> Self { _mm256_or_ps(self, _mm256_and_ps(_mm256_set1_ps(-0.0), sign)) }
    fn power_of_two(self) -> Self {
        let shifted = _mm256_slli_epi32::<23>(_mm256_castps_si256(self));
        _mm256_castsi256_ps(_mm256_add_epi32(shifted, _mm256_castps_si256(_mm256_set1_ps(1.0))))
    }
}

vector! { __m512, 16:
    fn splat(x: f32) -> Self { _mm512_set1_ps(x) }
    fn load(p: *const f32) -> Self { _mm512_loadu_ps(p) }
    fn store(self, p: *mut f32) { _mm512_storeu_ps(p, self) }
    fn prefetch(p: *const f32) { _mm_prefetch::<_MM_HINT_T1>(p.cast()) }
    fn multiply_add(self, a: Self, b: Self) -> Self { _mm512_fmadd_ps(a, b, self) }
    fn add(self, other: Self) -> Self { _mm512_add_ps(self, other) }
    fn subtract(self, other: Self) -> Self { _mm512_sub_ps(self, other) }
    fn multiply(self, other: Self) -> Self { _mm512_mul_ps(self, other) }
    fn divide(self, other: Self) -> Self { _mm512_div_ps(self, other) }
    // With a NaN among them these give the second operand.
    fn at_most(self, bound: Self) -> Self { _mm512_min_ps(bound, self) }
    fn at_least(self, bound: Self) -> Self { _mm512_max_ps(bound, self) }
    fn where_less(self, bound: Self, yes: Self, no: Self) -> Self { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(self, bound), no, yes) }
    fn magnitude(self) -> Self { _mm512_andnot_ps(_mm512_set1_ps(-0.0), self) }
    fn with_sign(self, sign: Self) -> Self { _mm512_or_ps(self, _mm512_and_ps(_mm512_set1_ps(-0.0), sign)) }
    fn power_of_two(self) -> Self {
        let shifted = _mm512_slli_epi32::<23>(_mm512_castps_si512(self));
        _mm512_castsi512_ps(_mm512_add_epi32(shifted, _mm512_castps_si512(_mm512_set1_ps(1.0))))
    }
    // Of any exponent, and with the product inside of the sums.
    fn exp2_of_product(self, other: Self) -> Self {
        let n = _mm512_sub_ps(_mm512_fmadd_ps(self, other, _mm512_set1_ps(ROUND)), _mm512_set1_ps(ROUND));
        _mm512_scalef_ps(exp2_near_zero(_mm512_fmsub_ps(self, other, n)), n)
    }
}
