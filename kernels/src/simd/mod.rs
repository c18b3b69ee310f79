//! Vectors of f32 under one name for every instruction set, and functions that are compiled for each of them.

/// Implements [`Vector`]: every body may use the type's instruction set, and the values behind a pointer.
macro_rules! vector {
    ($type:ty, $lanes:literal: $(fn $name:ident $args:tt $(-> $result:ty)? { $($body:tt)* })*) => {
        impl Vector for $type {
            const LANES: usize = $lanes;

            $(#[inline(always)]
            unsafe fn $name $args $(-> $result)? {
                // SAFETY: the caller runs on this instruction set, and has the values behind a pointer.
                #[allow(unused_unsafe)]
                unsafe {
                    $($body)*
                }
            })*
        }
    };
}

#[cfg(target_arch = "aarch64")]
mod arm;
mod plain;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

pub(crate) use plain::Plain;

use crate::{Isa, math::exp2_near_zero};

/// Adding and subtracting 1.5 * 2^23 rounds to the nearest integer.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// A vector of f32.
///
/// # Safety
/// All functions need the instruction set that the type stands for; loads and stores need `LANES` (or `count`) values behind
/// the pointer. They are called inside functions made by [`each_isa`] only, which check the former.
pub(crate) trait Vector: Copy {
    /// Values in a vector.
    const LANES: usize;

    /// `x` in every lane.
    unsafe fn splat(x: f32) -> Self;
    /// The values behind `p`.
    unsafe fn load(p: *const f32) -> Self;
    /// Puts the values behind `p`.
    unsafe fn store(self, p: *mut f32);
    /// Asks for what lies behind `p`, which need not be anything, to be brought into the second-level cache.
    unsafe fn prefetch(_p: *const f32) {}
    /// `self + a b`, fused where the machine can.
    unsafe fn multiply_add(self, a: Self, b: Self) -> Self;
    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// `self - other`.
    unsafe fn subtract(self, other: Self) -> Self;
    /// `self * other`.
    unsafe fn multiply(self, other: Self) -> Self;
    /// `self / other`.
    unsafe fn divide(self, other: Self) -> Self;
    /// The smaller one; a NaN of `self` comes through.
    unsafe fn at_most(self, bound: Self) -> Self;
    /// The larger one; a NaN of `self` comes through.
    unsafe fn at_least(self, bound: Self) -> Self;
    /// `yes` in the lanes where `self < bound`, `no` in the others and those of a NaN.
    unsafe fn where_less(self, bound: Self, yes: Self, no: Self) -> Self;
    /// Without the sign.
    unsafe fn magnitude(self) -> Self;
    /// With the sign of `sign`; `self` has none.
    unsafe fn with_sign(self, sign: Self) -> Self;
    /// 2^n, for a whole n between -127 and 128 to which 1.5 * 2^23 was added: its last bits hold n then.
    unsafe fn power_of_two(self) -> Self;

    /// 2^(self other) for products up to 127; of those below -126 next to nothing is left.
    #[inline(always)]
    unsafe fn exp2_of_product(self, other: Self) -> Self {
        // SAFETY: handed on to the caller.
        unsafe { self.multiply(other).at_least(Self::splat(-126.0)).exp2() }
    }

    /// 2^self, of values from -126 to 127.
    #[inline(always)]
    unsafe fn exp2(self) -> Self {
        // SAFETY: handed on to the caller.
        unsafe {
            let shifted = self.add(Self::splat(ROUND));
            exp2_near_zero(self.subtract(shifted.subtract(Self::splat(ROUND)))).multiply(shifted.power_of_two())
        }
    }

    /// Puts the sums of the lanes of four vectors behind `p`.
    #[inline(always)]
    unsafe fn store_sums(vectors: [Self; 4], p: *mut f32) {
        for (i, vector) in vectors.into_iter().enumerate() {
            let mut lanes = [0.0f32; 16];
            // SAFETY: no vector has more than 16 lanes, and the caller has four values behind `p`.
            unsafe {
                vector.store(lanes.as_mut_ptr());
                *p.add(i) = lanes[..Self::LANES].iter().sum();
            }
        }
    }

    /// Puts the first `count` values behind `p`; `count` is at most `LANES`.
    #[inline(always)]
    unsafe fn store_first(self, p: *mut f32, count: usize) {
        let mut values = [0.0f32; 16];
        // SAFETY: no vector has more than 16 lanes, and the caller has `count` values behind `p`.
        unsafe {
            self.store(values.as_mut_ptr());
            std::ptr::copy_nonoverlapping(values.as_ptr(), p, count);
        }
    }

    /// The first `count` values behind `p`, then zeros.
    #[inline(always)]
    unsafe fn load_first(p: *const f32, count: usize) -> Self {
        let mut values = [0.0f32; 16];
        // SAFETY: as above.
        unsafe {
            std::ptr::copy_nonoverlapping(p, values.as_mut_ptr(), count);
            Self::load(values.as_ptr())
        }
    }

    /// As `load` where there are that many values, else as `load_first`.
    #[inline(always)]
    unsafe fn load_up_to(p: *const f32, count: usize) -> Self {
        // SAFETY: as for either.
        unsafe { if count >= Self::LANES { Self::load(p) } else { Self::load_first(p, count) } }
    }

    /// As `store` where there are that many values, else as `store_first`.
    #[inline(always)]
    unsafe fn store_up_to(self, p: *mut f32, count: usize) {
        // SAFETY: as for either.
        unsafe { if count >= Self::LANES { self.store(p) } else { self.store_first(p, count) } }
    }
}

/// The best instruction set of the processor at hand.
pub fn detect() -> Isa {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") && has!("fma") {
            return Isa::Avx512;
        }
        if has!("avx2") && has!("fma") {
            return Isa::Avx2;
        }
    }
    if cfg!(target_arch = "aarch64") {
        return Isa::Neon;
    }
    if cfg!(all(target_arch = "wasm32", target_feature = "simd128")) {
        return Isa::WasmSimd;
    }
    Isa::Scalar
}

/// The instruction sets that this processor runs, the best one last: what tests go through.
pub fn available() -> Vec<Isa> {
    let all = [Isa::Scalar, Isa::WasmSimd, Isa::Neon, Isa::Avx2, Isa::Avx512];
    let best = detect();
    all.into_iter().filter(|isa| *isa == Isa::Scalar || *isa == best || (best == Isa::Avx512 && *isa == Isa::Avx2)).collect()
}

/// Declares functions that run a generic body, compiled for the instruction set that their first argument names.
///
/// `fn name(a: A) = body;` makes `name(isa, a)` out of `unsafe fn body<V: Vector>(a: A)`. The caller keeps to the body's own
/// conditions, and `isa` must come from [`detect`] or [`available`].
macro_rules! each_isa {
    ($($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $body:ident;)*) => {
        $($(#[$doc])*
        ///
        /// # Safety
        /// The processor has this instruction set, and the arguments are as the body wants them.
        $vis unsafe fn $name(isa: $crate::Isa, $($arg: $type),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            unsafe fn avx2($($arg: $type),*) {
                // SAFETY: handed on to the caller.
                unsafe { $body::<std::arch::x86_64::__m256>($($arg),*) }
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            unsafe fn avx512($($arg: $type),*) {
                // SAFETY: handed on to the caller.
                unsafe { $body::<std::arch::x86_64::__m512>($($arg),*) }
            }

            // SAFETY: handed on to the caller.
            unsafe {
                match isa {
                    #[cfg(target_arch = "x86_64")]
                    $crate::Isa::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::Isa::Avx2 => avx2($($arg),*),
                    #[cfg(target_arch = "aarch64")]
                    $crate::Isa::Neon => $body::<std::arch::aarch64::float32x4_t>($($arg),*),
                    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
                    $crate::Isa::WasmSimd => $body::<std::arch::wasm32::v128>($($arg),*),
                    _ => $body::<$crate::simd::Plain>($($arg),*),
                }
            }
        })*
    };
}
pub(crate) use each_isa;
