//! What the values of a weight are stored as on a GPU: the panels of products in 16, 8 and 4 bits.

use std::ops::Range;

use super::packing::{CHANNEL_ALIGN, PANEL};
use crate::tensor::{DType, GROUP, Tensor};

/// How the values of a packed weight are stored. All but F32 are for panels, whose blocks of four lines (input channels) and four columns
/// lie together, `(N / 8, taps * C / 4, 2, 4, 4)`; behind those of 8 and 4 bits there is an F32 scale for every column and 32 channels at
/// a tap, `(N / 8, taps, C / 32, 8)`. The numbers stand in `shaders/shared/weights.wgsl` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Single precision.
    F32 = 0,
    /// Half precision.
    F16 = 1,
    /// The upper half of an F32.
    Bf16 = 2,
    /// Signed bytes times scales.
    Q8 = 3,
    /// Signed numbers of 4 bits times scales.
    Q4 = 4,
}

impl Encoding {
    /// That of a tensor as it is, for a product that takes it as filters `[N, channels, taps]` with `lead` zeros before the first channel.
    pub fn of(tensor: &Tensor, [lead, channels, taps]: [usize; 3]) -> Self {
        // Groups lie along input channels: a shape that moved these has others.
        let fits = lead == 0
            && tensor.scales().is_some_and(|scales| {
                let dims = scales.shape().dims();
                dims[0] * channels * taps == tensor.shape().len() && dims[2..].iter().product::<usize>() == taps
            });
        match tensor.dtype() {
            DType::F16 => Self::F16,
            DType::BF16 => Self::Bf16,
            DType::Q8 if fits => Self::Q8,
            DType::Q4 if fits => Self::Q4,
            _ => Self::F32,
        }
    }

    /// Words of four bytes that a panel takes, scales included.
    pub(crate) fn panel_words(self, channels: usize, taps: usize) -> usize {
        let (values, scales) = (PANEL * taps * channels.next_multiple_of(CHANNEL_ALIGN), PANEL * taps * channels.div_ceil(GROUP));
        match self {
            Self::F32 => values,
            Self::F16 | Self::Bf16 => values / 2,
            Self::Q8 => values / 4 + scales,
            Self::Q4 => values / 8 + scales,
        }
    }
}

/// Some filters of `[N, channels, taps]` into panels, which are all zero; see [`Encoding`].
pub(super) fn pack_panels(
    filters: &Tensor,
    encoding: Encoding,
    columns: Range<usize>,
    [lead, channels, taps]: [usize; 3],
    out: &mut [u32],
) {
    let (first, count) = (columns.start, columns.len());
    let lines = (lead + channels).next_multiple_of(CHANNEL_ALIGN);
    let depth = taps * lines;
    let panels = count.div_ceil(PANEL);
    // The place of a value, counted in values.
    let place = |n: usize, channel: usize, tap: usize| {
        let k = tap * lines + lead + channel;
        (((n / PANEL * depth + k) / 4 * 2 + n % PANEL / 4) * 4 + k % 4) * 4 + n % 4
    };
    let mut put = |at: usize, bits: usize, value: u32| out[at * bits / 32] |= value << (at * bits % 32);
    let Some(levels) = filters.levels() else {
        let halves = filters.bytes().as_chunks::<2>().0;
        for (n, filter) in halves.chunks_exact((channels * taps).max(1)).skip(first).take(count).enumerate() {
            for (i, value) in filter.iter().enumerate() {
                put(place(n, i / taps, i % taps), 16, u16::from_le_bytes(*value).into());
            }
        }
        return;
    };
    let (bits, mask) = if encoding == Encoding::Q8 { (8, 255) } else { (4, 15) };
    for n in 0..count.min(levels.rows.saturating_sub(first)) {
        for channel in 0..channels {
            for tap in 0..taps {
                put(place(n, channel, tap), bits, levels.level(first + n, channel, tap) as u32 & mask);
            }
        }
    }
    let (scales, groups) = (panels * depth * PANEL * bits / 32, channels.div_ceil(GROUP));
    for n in 0..count.min(levels.rows.saturating_sub(first)) {
        for (i, scale) in levels.scales(first + n).iter().enumerate() {
            let (group, tap) = (i / taps, i % taps);
            out[scales + ((n / PANEL * taps + tap) * groups + group) * PANEL + n % PANEL] = scale.to_bits();
        }
    }
}
