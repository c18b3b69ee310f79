//! JPEG, to the same pixels as libjpeg-turbo's defaults (accurate integer DCT, smooth chroma upsampling), which PIL uses.
//!
//! Sound files of the usual kinds go through the vector code of `libjpeg-turbo-rs`. The decoder of the `image` crate is a level or
//! two off on 1 % of the samples, more than the models' reference outputs allow. What that crate refuses or would read in
//! another way (damaged scans, restart markers out of order, unusual sampling) goes through the plain decoder of this module, which
//! makes of it what libjpeg makes of it.

mod bits;
mod fast;
mod frame;
mod huffman;
mod idct;
mod plain;
mod upsample;

use super::{Decode, Decoded};

/// Scans that a progressive file may have. Real ones have some ten; each costs a pass over the whole image.
const MAX_SCANS: usize = 500;

/// What was wrong with a file that was decoded all the same.
#[derive(Debug, Default, Clone, Copy)]
struct Repairs {
    /// Codes that are none, or data that ended early.
    damaged: bool,
    /// Restart markers that were missing, doubled or out of order.
    restarts: bool,
}

impl Repairs {
    fn add(&mut self, other: Self) {
        self.damaged |= other.damaged;
        self.restarts |= other.restarts;
    }

    fn note(self) -> Option<&'static str> {
        match (self.damaged, self.restarts) {
            (true, true) => Some("its data are damaged and its restart markers out of order; parts of the picture may be wrong"),
            (true, false) => Some("its data are damaged; parts of the picture may be wrong"),
            (false, true) => Some("its restart markers are out of order; parts of the picture may be wrong"),
            (false, false) => None,
        }
    }
}

pub(super) fn decode(bytes: &[u8]) -> Decode<Decoded> {
    match fast::decode(bytes)? {
        Some(decoded) => Ok(decoded),
        None => plain::decode(bytes),
    }
}
