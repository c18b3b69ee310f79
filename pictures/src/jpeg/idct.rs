//! The accurate integer inverse DCT, in the 16-bit arithmetic of the vector units.
//!
//! Sound coefficients give the same in any arithmetic. Damaged ones overflow, and then the picture depends on where numbers wrap
//! and where they saturate: as they do on x86-64, where the expected pixels come from.

/// Fractional bits of the constants, and of the values between the passes.
const CONST_BITS: u32 = 13;
const PASS1_BITS: u32 = 2;

/// The constants of the factorisation by Loeffler, Ligtenberg and Moschytz, times 2^13.
const F_0_298: i32 = 2446;
const F_0_390: i32 = 3196;
const F_0_541: i32 = 4433;
const F_0_765: i32 = 6270;
const F_0_899: i32 = 7373;
const F_1_175: i32 = 9633;
const F_1_501: i32 = 12299;
const F_1_847: i32 = 15137;
const F_1_961: i32 = 16069;
const F_2_053: i32 = 16819;
const F_2_562: i32 = 20995;
const F_3_072: i32 = 25172;

/// One dimension; `shift` are the bits that are rounded away.
fn transform(x: [i16; 8], shift: u32) -> [i16; 8] {
    let wide = |a: i16| i32::from(a) << CONST_BITS;
    let pair = |a: i16, p: i32, b: i16, q: i32| (i32::from(a) * p).wrapping_add(i32::from(b) * q);

    let (sum, difference) = (wide(x[0].wrapping_add(x[4])), wide(x[0].wrapping_sub(x[4])));
    let outer = pair(x[2], F_0_541 + F_0_765, x[6], F_0_541);
    let inner = pair(x[2], F_0_541, x[6], F_0_541 - F_1_847);
    let even = [sum.wrapping_add(outer), difference.wrapping_add(inner), difference.wrapping_sub(inner), sum.wrapping_sub(outer)];

    let (a, b) = (x[7].wrapping_add(x[3]), x[5].wrapping_add(x[1]));
    let (z3, z4) = (pair(a, F_1_175 - F_1_961, b, F_1_175), pair(a, F_1_175, b, F_1_175 - F_0_390));
    let odd = [
        pair(x[7], -F_0_899, x[1], F_1_501 - F_0_899).wrapping_add(z4),
        pair(x[5], -F_2_562, x[3], F_3_072 - F_2_562).wrapping_add(z3),
        pair(x[5], F_2_053 - F_2_562, x[3], -F_2_562).wrapping_add(z4),
        pair(x[7], F_0_298 - F_0_899, x[1], -F_0_899).wrapping_add(z3),
    ];

    let round = |v: i32| (v.wrapping_add(1 << (shift - 1)) >> shift).clamp(i16::MIN.into(), i16::MAX.into()) as i16;
    std::array::from_fn(|i| if i < 4 { round(even[i].wrapping_add(odd[i])) } else { round(even[7 - i].wrapping_sub(odd[7 - i])) })
}

/// The samples of one block: `coefficients` and `quant` row by row; the 64 results go to `out`, rows `stride` apart.
pub(super) fn idct(coefficients: &[i16], quant: &[u16; 64], out: &mut [u8], stride: usize) {
    let mut block = [[0i16; 8]; 8];
    for (i, (&value, &factor)) in coefficients.iter().zip(quant).enumerate() {
        block[i / 8][i % 8] = value.wrapping_mul(factor as i16);
    }
    let mut columns = [[0i16; 8]; 8];
    if coefficients[8..].iter().all(|&value| value == 0) {
        for (column, &value) in columns.iter_mut().zip(&block[0]) {
            *column = [value << PASS1_BITS; 8];
        }
    } else {
        for (x, column) in columns.iter_mut().enumerate() {
            *column = transform(block.map(|row| row[x]), CONST_BITS - PASS1_BITS);
        }
    }
    for y in 0..8 {
        let row = transform(columns.map(|column| column[y]), CONST_BITS + PASS1_BITS + 3);
        for (sample, value) in out[y * stride..][..8].iter_mut().zip(row) {
            *sample = (value.clamp(-128, 127) + 128) as u8;
        }
    }
}
