//! Vectors of f32 under one name for every instruction set, and functions that are compiled for each of them.

use crate::Isa;

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
    /// `self + a b`, fused where the machine can.
    unsafe fn multiply_add(self, a: Self, b: Self) -> Self;

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
}

/// Four values without any instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Plain([f32; 4]);

impl Vector for Plain {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; 4])
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        // SAFETY: the caller has four values behind `p`.
        Self(unsafe { p.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        // SAFETY: as for `load`.
        unsafe { p.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, a: Self, b: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] + a.0[i] * b.0[i]))
    }
}

/// Implements [`Vector`] through intrinsics.
macro_rules! vector {
    ($type:ty, $lanes:literal, $splat:expr, $load:expr, $store:expr, $multiply_add:expr) => {
        impl Vector for $type {
            const LANES: usize = $lanes;

            #[inline(always)]
            unsafe fn splat(x: f32) -> Self {
                // SAFETY: the caller runs on this instruction set.
                #[allow(unused_unsafe)]
                unsafe {
                    $splat(x)
                }
            }

            #[inline(always)]
            unsafe fn load(p: *const f32) -> Self {
                // SAFETY: the caller runs on this instruction set and has the values.
                unsafe { $load(p.cast()) }
            }

            #[inline(always)]
            unsafe fn store(self, p: *mut f32) {
                // SAFETY: as for `load`.
                unsafe { $store(p.cast(), self) }
            }

            #[inline(always)]
            unsafe fn multiply_add(self, a: Self, b: Self) -> Self {
                // SAFETY: the caller runs on this instruction set.
                #[allow(unused_unsafe)]
                unsafe {
                    $multiply_add(self, a, b)
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Vector;

    vector!(
        __m256,
        8,
        |x| _mm256_set1_ps(x),
        |p: *const f32| _mm256_loadu_ps(p),
        |p: *mut f32, v| _mm256_storeu_ps(p, v),
        |c, a, b| { _mm256_fmadd_ps(a, b, c) }
    );
    vector!(
        __m512,
        16,
        |x| _mm512_set1_ps(x),
        |p: *const f32| _mm512_loadu_ps(p),
        |p: *mut f32, v| _mm512_storeu_ps(p, v),
        |c, a, b| { _mm512_fmadd_ps(a, b, c) }
    );
}

#[cfg(target_arch = "aarch64")]
mod arm {
    use std::arch::aarch64::*;

    use super::Vector;

    vector!(float32x4_t, 4, |x| vdupq_n_f32(x), |p: *const f32| vld1q_f32(p), |p: *mut f32, v| vst1q_f32(p, v), |c, a, b| {
        vfmaq_f32(c, a, b)
    });
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm {
    use std::arch::wasm32::*;

    use super::Vector;

    #[cfg(target_feature = "relaxed-simd")]
    fn multiply_add(c: v128, a: v128, b: v128) -> v128 {
        f32x4_relaxed_madd(a, b, c)
    }

    #[cfg(not(target_feature = "relaxed-simd"))]
    fn multiply_add(c: v128, a: v128, b: v128) -> v128 {
        f32x4_add(c, f32x4_mul(a, b))
    }

    vector!(v128, 4, |x| f32x4_splat(x), |p: *const v128| v128_load(p), |p: *mut v128, v| v128_store(p, v), multiply_add);
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
