//! Huffman codes: built from their lengths, looked up by eight bits at once.

use super::bits::Bits;
use crate::Decode;

/// A code.
#[derive(Clone)]
pub(super) struct Table {
    /// By the next eight bits: length of the code (0 where it is longer) and symbol.
    short: [(u8, u8); 256],
    /// By length: the largest code, -1 where there is none, and what to add to a code for its place in `symbols`.
    long: [(i32, i32); 17],
    symbols: Vec<u8>,
}

impl Table {
    /// From the number of codes of each length, 1 to 16, and the symbols in order.
    pub(super) fn new(counts: &[u8], symbols: &[u8]) -> Option<Self> {
        let mut table = Self { short: [(0, 0); 256], long: [(-1, 0); 17], symbols: symbols.to_vec() };
        let (mut code, mut place) = (0i32, 0i32);
        for (length, &count) in (1u8..).zip(counts) {
            let count = i32::from(count);
            // The code of all ones is reserved.
            if count > 0 && code + count >= 1 << length {
                return None;
            }
            if count > 0 {
                table.long[usize::from(length)] = (code + count - 1, place - code);
            }
            for i in 0..count {
                let symbol = *symbols.get((place + i) as usize)?;
                if length <= 8 {
                    let first = ((code + i) << (8 - length)) as usize;
                    table.short[first..first + (1 << (8 - length))].fill((length, symbol));
                }
            }
            place += count;
            code = (code + count) << 1;
        }
        Some(table)
    }

    /// True when all symbols are sizes that a DC difference may have.
    pub(super) fn fits_dc(&self) -> bool {
        self.symbols.iter().all(|&symbol| symbol <= 15)
    }

    /// Length and symbol of the code that these eight bits begin with.
    pub(super) fn short(&self, bits: u8) -> Option<(u32, u8)> {
        let (length, symbol) = self.short[usize::from(bits)];
        (length > 0).then_some((length.into(), symbol))
    }

    /// The symbol of `code` of `length` bits, 1 to 16.
    pub(super) fn long(&self, length: usize, code: i32) -> Option<u8> {
        let (largest, offset) = self.long[length];
        (code <= largest).then(|| self.symbols.get((code + offset) as usize).copied().unwrap_or(0))
    }
}

/// The order in which the coefficients of a block are stored. A damaged run may lead up to 15 places past the last.
pub(super) const NATURAL: [u8; 80] = {
    let mut order = [63; 80];
    let (mut x, mut y, mut i) = (0i8, 0i8, 0);
    while i < 64 {
        order[i] = (y * 8 + x) as u8;
        // Even diagonals go up, odd ones down.
        let (dx, dy) = if (x + y) % 2 == 0 { (1, -1) } else { (-1, 1) };
        if x + dx > 7 {
            y += 1;
        } else if y + dy > 7 {
            x += 1;
        } else if x + dx < 0 {
            y += 1;
        } else if y + dy < 0 {
            x += 1;
        } else {
            (x, y) = (x + dx, y + dy);
        }
        i += 1;
    }
    order
};

pub(super) fn natural(k: usize) -> usize {
    usize::from(NATURAL[k.min(79)])
}

/// The coefficients of one sequential block; `last` is the DC value before it.
pub(super) fn sequential(bits: &mut Bits<'_>, dc: &Table, ac: &Table, last: &mut i32, block: &mut [i16]) -> Decode<()> {
    let size = bits.symbol(dc)?;
    *last = last.wrapping_add(bits.signed(size)?);
    block[0] = *last as i16;
    let mut k = 1;
    while k < 64 {
        let symbol = bits.symbol(ac)?;
        let (run, size) = (usize::from(symbol >> 4), symbol & 15);
        if size > 0 {
            k += run;
            block[natural(k)] = bits.signed(size)? as i16;
        } else if run == 15 {
            k += 15;
        } else {
            break;
        }
        k += 1;
    }
    Ok(())
}

/// Which coefficients a progressive scan brings, and which bits of them.
#[derive(Clone, Copy)]
pub(super) struct Band {
    pub(super) first: usize,
    pub(super) last: usize,
    /// The bit that is known already, 0 for none.
    pub(super) high: u32,
    pub(super) low: u32,
}

/// The first bits of the AC coefficients of one block; `run` is the number of blocks that are known to have none.
pub(super) fn first_ac(bits: &mut Bits<'_>, ac: &Table, band: Band, run: &mut i32, block: &mut [i16]) -> Decode<()> {
    if *run > 0 {
        *run -= 1;
        return Ok(());
    }
    let mut k = band.first;
    while k <= band.last {
        let symbol = bits.symbol(ac)?;
        let (zeros, size) = (symbol >> 4, symbol & 15);
        if size > 0 {
            k += usize::from(zeros);
            block[natural(k)] = (bits.signed(size)? << band.low) as i16;
        } else if zeros == 15 {
            k += 15;
        } else {
            *run = (1 << zeros) + bits.get(zeros.into())? - 1;
            break;
        }
        k += 1;
    }
    Ok(())
}

/// One more bit of the AC coefficients of one block.
pub(super) fn refine_ac(bits: &mut Bits<'_>, ac: &Table, band: Band, run: &mut i32, block: &mut [i16]) -> Decode<()> {
    let bit = 1i16 << band.low;
    let mut k = band.first;
    if *run == 0 {
        while k <= band.last {
            let symbol = bits.symbol(ac)?;
            let (mut zeros, size) = (i32::from(symbol >> 4), symbol & 15);
            let mut value = 0;
            if size > 0 {
                // A new coefficient is one bit large.
                bits.repairs.damaged |= size != 1;
                value = if bits.get(1)? == 1 { bit } else { -bit };
            } else if zeros != 15 {
                *run = (1 << zeros) + bits.get(zeros as u32)?;
                break;
            }
            while k <= band.last {
                let place = &mut block[natural(k)];
                if *place == 0 {
                    zeros -= 1;
                    if zeros < 0 {
                        break;
                    }
                } else {
                    correct(bits, bit, place)?;
                }
                k += 1;
            }
            if value != 0 {
                block[natural(k)] = value;
            }
            k += 1;
        }
    }
    if *run > 0 {
        while k <= band.last {
            let place = &mut block[natural(k)];
            if *place != 0 {
                correct(bits, bit, place)?;
            }
            k += 1;
        }
        *run -= 1;
    }
    Ok(())
}

/// One more bit of a coefficient that is not 0.
fn correct(bits: &mut Bits<'_>, bit: i16, value: &mut i16) -> Decode<()> {
    if bits.get(1)? == 1 && *value & bit == 0 {
        *value = if *value >= 0 { value.wrapping_add(bit) } else { value.wrapping_sub(bit) };
    }
    Ok(())
}
