//! How the values of a weight are laid out for a device.

use std::ops::Range;

use super::{Encoding, affine, encoding};
use crate::tensor::Tensor;

/// Columns of a GEMM panel: what one thread of the direct kernel computes.
pub(super) const PANEL: usize = 8;
/// What channels are padded to a multiple of on GPUs.
pub(super) const CHANNEL_ALIGN: usize = 4;

/// The layout of a packed weight.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Packing {
    /// A dense convolution or linear weight `[N, C, taps..]` as panels `(n / 8, taps * C4, 8)`, where C4 is `lead` + C padded to four:
    /// consecutive columns are contiguous, so a slice of the columns is a slice of the buffer. In other encodings than F32 four lines of
    /// four columns are a block of their own ([`Encoding`]).
    Panels {
        /// Output channels of the whole weight that go into this buffer; the start is a multiple of 8.
        first: usize,
        /// How many of them.
        count: usize,
        /// Zeros before the first input channel.
        lead: usize,
        /// Input channels.
        channels: usize,
        /// Kernel positions: kh * kw.
        taps: usize,
    },
    /// A dense convolution or linear weight `[N, C, taps..]` for processor cores: panels of `width` columns as `(taps * C, width)`,
    /// the last one as narrow as whole vectors allow.
    Columns {
        /// Values of a vector.
        lanes: usize,
        /// Columns of a panel.
        width: usize,
        /// Input channels.
        channels: usize,
        /// Kernel positions: kh * kw.
        taps: usize,
    },
    /// A depthwise weight `[C, 1, taps..]` as `(taps, C)`.
    Taps {
        /// Kernel positions: kh * kw.
        taps: usize,
        /// Zeros before the first channel.
        lead: usize,
        /// C.
        channels: usize,
        /// What these together are padded to a multiple of.
        align: usize,
    },
    /// Vectors, each as one row padded with `fill` to `len`; an absent piece is a row of `default`.
    Vectors {
        /// Padded length of a row.
        len: usize,
        /// First element taken of each vector.
        first: usize,
        /// Value of absent pieces, one for each row, as f32 bits.
        defaults: Vec<u32>,
    },
    /// The values as they are, one tensor after another.
    Flat,
    /// A matrix `[R, C]`, row by row.
    Rows {
        /// What C is padded to a multiple of.
        align: usize,
    },
    /// A matrix `[R, C]`, column by column.
    Transposed,
    /// A batch norm's weight, bias, mean and variance as a row of factors and a row of terms.
    Affine {
        /// Added to the variance, as f32 bits.
        eps: u32,
    },
}

impl Packing {
    /// Number of values that these pieces take, or of words of four bytes in other encodings than F32.
    pub(super) fn len(&self, pieces: &[Option<Tensor>], encoding: Encoding) -> usize {
        match self {
            Self::Panels { count, lead, channels, taps, .. } => {
                count.div_ceil(PANEL) * encoding.panel_words(lead + channels, *taps)
            }
            Self::Columns { lanes, channels, taps, .. } => {
                let columns = pieces.iter().flatten().map(|t| t.shape().dims().first().copied().unwrap_or(0));
                columns.sum::<usize>().next_multiple_of(*lanes) * channels * taps
            }
            Self::Taps { taps, lead, channels, align } => taps * (lead + channels).next_multiple_of(*align),
            Self::Vectors { len, .. } => len * pieces.len(),
            Self::Rows { align } => {
                pieces.iter().flatten().map(|t| t.shape().rows() * t.shape().last().next_multiple_of(*align)).sum()
            }
            Self::Transposed | Self::Flat => pieces.iter().flatten().map(|t| t.shape().len()).sum(),
            Self::Affine { .. } => pieces.iter().flatten().map(|t| t.shape().len()).sum::<usize>() / 2,
        }
    }

    /// Writes the pieces into `out`, which has as many values as they take and is all zero.
    pub(super) fn pack(&self, pieces: &[Option<Tensor>], encoding: Encoding, out: &mut [f32]) {
        match self {
            Self::Panels { first, count, lead, channels, taps } => {
                for piece in pieces.iter().flatten() {
                    let (filters, shape) = (*first..first + count, [*lead, *channels, *taps]);
                    match encoding {
                        Encoding::F32 => pack_panels(&piece.to_f32(), filters, *lead, *channels, *taps, out),
                        _ => encoding::pack_panels(piece, encoding, filters, shape, bytemuck::cast_slice_mut(out)),
                    }
                }
            }
            Self::Columns { lanes, width, channels, taps } => {
                for piece in pieces.iter().flatten() {
                    pack_columns(&piece.to_f32(), [*lanes, *width], *channels, *taps, out);
                }
            }
            Self::Taps { taps, lead, channels, align } => {
                for piece in pieces.iter().flatten() {
                    pack_taps(&piece.to_f32(), *taps, *lead, (lead + channels).next_multiple_of(*align), out);
                }
            }
            Self::Vectors { len, first, defaults } => {
                for ((row, piece), default) in out.chunks_exact_mut(*len).zip(pieces).zip(defaults) {
                    match piece {
                        Some(tensor) => {
                            for (dst, src) in row.iter_mut().zip(tensor.to_f32().iter().skip(*first)) {
                                *dst = *src;
                            }
                        }
                        None => row.fill(f32::from_bits(*default)),
                    }
                }
            }
            Self::Rows { align } => {
                let mut rest = out;
                for piece in pieces.iter().flatten() {
                    let width = piece.shape().last();
                    let padded = width.next_multiple_of(*align).max(1);
                    let (rows, tail) = rest.split_at_mut(piece.shape().rows() * padded);
                    for (dst, src) in rows.chunks_exact_mut(padded).zip(piece.to_f32().chunks_exact(width.max(1))) {
                        dst[..width].copy_from_slice(src);
                    }
                    rest = tail;
                }
            }
            Self::Flat => {
                let values = pieces.iter().flatten().flat_map(|piece| piece.to_f32().into_owned());
                out.iter_mut().zip(values).for_each(|(out, v)| *out = v);
            }
            Self::Transposed => {
                for piece in pieces.iter().flatten() {
                    let (rows, width) = (piece.shape().rows(), piece.shape().last());
                    for (row, values) in piece.to_f32().chunks_exact(width.max(1)).enumerate() {
                        for (column, value) in values.iter().enumerate() {
                            out[column * rows + row] = *value;
                        }
                    }
                }
            }
            Self::Affine { eps } => {
                if let [Some(weight), Some(bias), Some(mean), Some(variance)] = pieces {
                    let [weight, bias, mean, variance] = [weight, bias, mean, variance].map(Tensor::to_f32);
                    let (factors, terms) = affine([&weight, &bias, &mean, &variance], f32::from_bits(*eps));
                    out.iter_mut().zip(factors.into_iter().chain(terms)).for_each(|(out, v)| *out = v as f32);
                }
            }
        }
    }
}

/// `weight` is `[channels, taps]`; see [`Packing::Taps`].
fn pack_taps(weight: &[f32], taps: usize, lead: usize, stride: usize, out: &mut [f32]) {
    for (channel, kernel) in weight.chunks_exact(taps).enumerate() {
        for (tap, value) in kernel.iter().enumerate() {
            out[tap * stride + lead + channel] = *value;
        }
    }
}

/// `weight` is `[N, channels, taps]`; see [`Packing::Columns`].
fn pack_columns(weight: &[f32], [lanes, width]: [usize; 2], channels: usize, taps: usize, out: &mut [f32]) {
    /// Rows of a panel that are filled together: what is read of each filter for them is some cache lines, and stays.
    const ROWS: usize = 16;
    let inner = channels * taps;
    for (panel, filters) in weight.chunks(inner * width).enumerate() {
        let columns = filters.len() / inner;
        let padded = columns.next_multiple_of(lanes);
        let panel = &mut out[panel * width * inner..][..inner * padded];
        for (tap, panel) in panel.chunks_exact_mut(channels * padded).enumerate() {
            for (block, rows) in panel.chunks_mut(ROWS * padded).enumerate() {
                for (column, filter) in filters.chunks_exact(inner).enumerate() {
                    let values = filter[block * ROWS * taps + tap..].iter().step_by(taps);
                    for (row, value) in rows.chunks_exact_mut(padded).zip(values) {
                        row[column] = *value;
                    }
                }
            }
        }
    }
}

/// `weight` is `[N, channels, taps]`; see [`Packing::Panels`].
fn pack_panels(weight: &[f32], filters: Range<usize>, lead: usize, channels: usize, taps: usize, out: &mut [f32]) {
    let padded = (lead + channels).next_multiple_of(CHANNEL_ALIGN);
    let rows = weight.chunks_exact(channels * taps).skip(filters.start).take(filters.len());
    for (n, row) in rows.enumerate() {
        let panel = n / PANEL * (taps * padded * PANEL);
        for (channel, kernel) in row.chunks_exact(taps).enumerate() {
            for (tap, value) in kernel.iter().enumerate() {
                out[panel + (tap * padded + lead + channel) * PANEL + n % PANEL] = *value;
            }
        }
    }
}
