//! 64-bit Arm.

use std::arch::aarch64::*;

use super::Vector;

vector! { float32x4_t, 4:
    fn splat(x: f32) -> Self { vdupq_n_f32(x) }
    fn load(p: *const f32) -> Self { vld1q_f32(p) }
    fn store(self, p: *mut f32) { vst1q_f32(p, self) }
    fn multiply_add(self, a: Self, b: Self) -> Self { vfmaq_f32(self, a, b) }
    fn add(self, other: Self) -> Self { vaddq_f32(self, other) }
    fn subtract(self, other: Self) -> Self { vsubq_f32(self, other) }
    fn multiply(self, other: Self) -> Self { vmulq_f32(self, other) }
    fn divide(self, other: Self) -> Self { vdivq_f32(self, other) }
    fn at_most(self, bound: Self) -> Self { vminq_f32(self, bound) }
    fn at_least(self, bound: Self) -> Self { vmaxq_f32(self, bound) }
    fn where_less(self, bound: Self, yes: Self, no: Self) -> Self { vbslq_f32(vcltq_f32(self, bound), yes, no) }
    fn magnitude(self) -> Self { vabsq_f32(self) }
    fn with_sign(self, sign: Self) -> Self { vbslq_f32(vdupq_n_u32(1 << 31), sign, self) }
    fn power_of_two(self) -> Self {
        let shifted = vshlq_n_s32::<23>(vreinterpretq_s32_f32(self));
        vreinterpretq_f32_s32(vaddq_s32(shifted, vreinterpretq_s32_f32(vdupq_n_f32(1.0))))
    }
}
