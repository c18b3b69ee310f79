//! The entropy-coded bits of a scan, with the markers among them, and what to do where they are wrong.
//!
//! Damage is met as libjpeg meets it: a code that is none counts as 0, a segment that ends early gives zeros up to the next
//! restart marker, and restart markers that are lost, doubled or swapped are weighed by their number.

use super::{Repairs, huffman::Table};
use crate::{Decode, TRUNCATED};

/// Bits that are fetched ahead at the most.
const AHEAD: u32 = 57;
pub(super) const RST0: u8 = 0xd0;
pub(super) const RST7: u8 = 0xd7;
const SOF0: u8 = 0xc0;

/// A reader of the entropy-coded data of one scan.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    buffer: u64,
    left: u32,
    /// The marker that ended the data, 0 for none.
    marker: u8,
    next_restart: u8,
    /// The segment ended before it was decoded: what follows is zero up to the next restart marker.
    pub(super) insufficient: bool,
    pub(super) repairs: Repairs,
}

impl<'a> Bits<'a> {
    /// From byte `at` of the file `data`.
    pub(super) fn new(data: &'a [u8], at: usize) -> Self {
        let repairs = Repairs::default();
        Self { data, at, buffer: 0, left: 0, marker: 0, next_restart: 0, insufficient: false, repairs }
    }

    /// Where headers go on: behind the data, with the marker that was met already (0 for none).
    pub(super) fn end(self) -> (usize, u8, Repairs) {
        (self.at, self.marker, self.repairs)
    }

    /// Fetches what there is; then there are at least `need` bits, made up where a marker ended the data.
    fn fill(&mut self, need: u32) -> Decode<()> {
        while self.left < AHEAD && self.marker == 0 {
            let Some(&byte) = self.data.get(self.at) else { break };
            let mut next = self.at + 1;
            if byte == 0xff {
                // Any number of fill bytes, then 0 for a byte of data or the code of a marker.
                while self.data.get(next) == Some(&0xff) {
                    next += 1;
                }
                match self.data.get(next) {
                    Some(0) => {}
                    Some(&marker) => self.marker = marker,
                    None => break,
                }
                next += 1;
            }
            self.at = next;
            if self.marker == 0 {
                self.buffer = self.buffer << 8 | u64::from(byte);
                self.left += 8;
            }
        }
        if self.left >= need {
            return Ok(());
        }
        if self.marker == 0 {
            return Err(TRUNCATED.into());
        }
        self.repairs.damaged |= !self.insufficient;
        self.insufficient = true;
        self.buffer <<= AHEAD - self.left;
        self.left = AHEAD;
        Ok(())
    }

    /// The next `n` bits, at most 16.
    pub(super) fn get(&mut self, n: u32) -> Decode<i32> {
        if self.left < n {
            self.fill(n)?;
        }
        self.left -= n;
        Ok((self.buffer >> self.left & ((1 << n) - 1)) as i32)
    }

    /// The next symbol of a code; 0 for a code that is none.
    pub(super) fn symbol(&mut self, table: &Table) -> Decode<u8> {
        if self.left < 8 {
            self.fill(0)?;
        }
        if self.left >= 8
            && let Some((length, symbol)) = table.short((self.buffer >> (self.left - 8)) as u8)
        {
            self.left -= length;
            return Ok(symbol);
        }
        let mut code = 0;
        for length in 1..=16 {
            code = code << 1 | self.get(1)?;
            if let Some(symbol) = table.long(length, code) {
                return Ok(symbol);
            }
        }
        // It takes one bit more to be sure.
        self.get(1)?;
        self.repairs.damaged = true;
        Ok(0)
    }

    /// A number of `size` bits in the form that coefficients have.
    pub(super) fn signed(&mut self, size: u8) -> Decode<i32> {
        let size = u32::from(size);
        if size == 0 {
            return Ok(0);
        }
        let value = self.get(size)?;
        Ok(if value < 1 << (size - 1) { value - (1 << size) + 1 } else { value })
    }

    /// Goes to the marker between two segments.
    pub(super) fn restart(&mut self) -> Decode<()> {
        self.left = 0;
        if self.marker == 0 {
            self.marker = next_marker(self.data, &mut self.at)?;
        }
        if self.marker == RST0 + self.next_restart {
            self.marker = 0;
        } else {
            self.repairs.restarts = true;
            self.resync()?;
        }
        self.next_restart = (self.next_restart + 1) & 7;
        if self.marker == 0 {
            self.insufficient = false;
        }
        Ok(())
    }

    /// Weighs a marker that is not the one expected: taken for it, passed over, or left where it is, so that zeros follow.
    fn resync(&mut self) -> Decode<()> {
        loop {
            let ahead = self.marker.wrapping_sub(RST0).wrapping_sub(self.next_restart) & 7;
            match self.marker {
                RST0..=RST7 if matches!(ahead, 1 | 2) => return Ok(()),
                RST0..=RST7 if !matches!(ahead, 6 | 7) => {
                    self.marker = 0;
                    return Ok(());
                }
                RST0..=RST7 | ..SOF0 => self.marker = next_marker(self.data, &mut self.at)?,
                _ => return Ok(()),
            }
        }
    }
}

/// The code of the first marker from `at` on, which moves behind it.
pub(super) fn next_marker(data: &[u8], at: &mut usize) -> Decode<u8> {
    loop {
        let rest = data.get(*at..).unwrap_or_default();
        *at += rest.iter().position(|&byte| byte == 0xff).ok_or(TRUNCATED)?;
        while data.get(*at) == Some(&0xff) {
            *at += 1;
        }
        let code = *data.get(*at).ok_or(TRUNCATED)?;
        *at += 1;
        if code != 0 {
            return Ok(code);
        }
    }
}
