//! How checkpoint tensors become device buffers.
//!
//! A packed weight is described when a graph is lowered and materialised one at a time when it is uploaded, so a large
//! checkpoint never exists twice in host memory.

use crate::{program::padded_channels, tensor::Tensor};

/// Columns of a GEMM panel: what one thread of the direct kernel computes.
const PANEL: usize = 8;

/// The layout of a packed weight.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Packing {
    /// A dense convolution or linear weight `[N, C, taps..]` as panels `(n / 8, taps * C4, 8)`, where C4 is C padded to four:
    /// consecutive columns are contiguous, so a slice of the columns is a slice of the buffer.
    Panels {
        /// Output channels of the whole weight that go into this buffer; the start is a multiple of 8.
        first: usize,
        /// How many of them.
        count: usize,
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
        /// C.
        channels: usize,
        /// What C is padded to a multiple of.
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

/// A weight of a program: pieces of a checkpoint and how they are laid out.
#[derive(Debug, Clone)]
pub struct PackedWeight {
    /// Identity: the same key always packs to the same bytes (checkpoint key and layout).
    pub key: String,
    /// The host tensors; `None` stands for an absent optional one.
    pieces: Vec<Option<Tensor>>,
    packing: Packing,
    len: usize,
}

impl PackedWeight {
    /// A weight made of these host tensors.
    pub fn new(key: String, pieces: Vec<Option<Tensor>>, packing: Packing) -> Self {
        let len = match &packing {
            Packing::Panels { count, channels, taps, .. } => count.next_multiple_of(PANEL) * taps * padded_channels(*channels),
            Packing::Columns { lanes, channels, taps, .. } => {
                let columns = pieces.iter().flatten().map(|t| t.shape().dims().first().copied().unwrap_or(0));
                columns.sum::<usize>().next_multiple_of(*lanes) * channels * taps
            }
            Packing::Taps { taps, channels, align } => taps * channels.next_multiple_of(*align),
            Packing::Vectors { len, .. } => len * pieces.len(),
            Packing::Rows { align } => {
                pieces.iter().flatten().map(|t| t.shape().rows() * t.shape().last().next_multiple_of(*align)).sum()
            }
            Packing::Transposed => pieces.iter().flatten().map(|t| t.shape().len()).sum(),
            Packing::Affine { .. } => pieces.iter().flatten().map(|t| t.shape().len()).sum::<usize>() / 2,
        };
        Self { key, pieces, packing, len }
    }

    /// Number of f32 values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there is nothing to upload.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes on the device.
    pub fn bytes(&self) -> u64 {
        self.len() as u64 * 4
    }

    /// False while a host tensor is still on its way.
    pub fn ready(&self) -> bool {
        self.pieces.iter().flatten().all(Tensor::ready)
    }

    /// Forgets the host tensors, after the upload.
    pub fn forget(&mut self) {
        self.pieces.clear();
    }

    /// Hints that the host tensors are not needed for now, which keeps a mapped checkpoint from staying in memory beside the
    /// device's copy.
    pub fn release(&self) {
        self.pieces.iter().flatten().for_each(Tensor::release);
    }

    /// Writes the packed values into `out`, which has [`PackedWeight::len`] elements and is all zero.
    pub fn pack(&self, out: &mut [f32]) {
        match &self.packing {
            Packing::Panels { first, count, channels, taps } => {
                for piece in self.pieces.iter().flatten() {
                    pack_panels(&piece.to_f32(), *first, *count, *channels, *taps, out);
                }
            }
            Packing::Columns { lanes, width, channels, taps } => {
                for piece in self.pieces.iter().flatten() {
                    pack_columns(&piece.to_f32(), [*lanes, *width], *channels, *taps, out);
                }
            }
            Packing::Taps { taps, channels, align } => {
                for piece in self.pieces.iter().flatten() {
                    pack_taps(&piece.to_f32(), *taps, channels.next_multiple_of(*align), out);
                }
            }
            Packing::Vectors { len, first, defaults } => {
                for ((row, piece), default) in out.chunks_exact_mut(*len).zip(&self.pieces).zip(defaults) {
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
            Packing::Rows { align } => {
                let mut rest = out;
                for piece in self.pieces.iter().flatten() {
                    let width = piece.shape().last();
                    let padded = width.next_multiple_of(*align).max(1);
                    let (rows, tail) = rest.split_at_mut(piece.shape().rows() * padded);
                    for (dst, src) in rows.chunks_exact_mut(padded).zip(piece.to_f32().chunks_exact(width.max(1))) {
                        dst[..width].copy_from_slice(src);
                    }
                    rest = tail;
                }
            }
            Packing::Transposed => {
                for piece in self.pieces.iter().flatten() {
                    let (rows, width) = (piece.shape().rows(), piece.shape().last());
                    for (row, values) in piece.to_f32().chunks_exact(width.max(1)).enumerate() {
                        for (column, value) in values.iter().enumerate() {
                            out[column * rows + row] = *value;
                        }
                    }
                }
            }
            Packing::Affine { eps } => {
                if let [Some(weight), Some(bias), Some(mean), Some(variance)] = &self.pieces[..] {
                    let [weight, bias, mean, variance] = [weight, bias, mean, variance].map(|t| t.to_f32());
                    let (factors, terms) = out.split_at_mut(weight.len());
                    for c in 0..weight.len() {
                        let variance = f64::from(variance[c]) + f64::from(f32::from_bits(*eps));
                        let factor = f64::from(weight[c]) / variance.sqrt();
                        factors[c] = factor as f32;
                        terms[c] = (f64::from(bias[c]) - f64::from(mean[c]) * factor) as f32;
                    }
                }
            }
        }
    }
}

/// `weight` is `[channels, taps]`; see [`Packing::Taps`].
fn pack_taps(weight: &[f32], taps: usize, stride: usize, out: &mut [f32]) {
    for (channel, kernel) in weight.chunks_exact(taps).enumerate() {
        for (tap, value) in kernel.iter().enumerate() {
            out[tap * stride + channel] = *value;
        }
    }
}

/// `weight` is `[N, channels, taps]`; see [`Packing::Columns`].
fn pack_columns(weight: &[f32], [lanes, width]: [usize; 2], channels: usize, taps: usize, out: &mut [f32]) {
    let inner = channels * taps;
    for (panel, filters) in weight.chunks(inner * width).enumerate() {
        let padded = (filters.len() / inner).next_multiple_of(lanes);
        let panel = &mut out[panel * width * inner..][..inner * padded];
        for (column, filter) in filters.chunks_exact(inner).enumerate() {
            for (channel, kernel) in filter.chunks_exact(taps).enumerate() {
                for (tap, value) in kernel.iter().enumerate() {
                    panel[(tap * channels + channel) * padded + column] = *value;
                }
            }
        }
    }
}

/// `weight` is `[N, channels, taps]`; see [`Packing::Panels`].
fn pack_panels(weight: &[f32], first: usize, count: usize, channels: usize, taps: usize, out: &mut [f32]) {
    let padded = padded_channels(channels);
    let rows = weight.chunks_exact(channels * taps).skip(first).take(count);
    for (n, row) in rows.enumerate() {
        let panel = n / PANEL * (taps * padded * PANEL);
        for (channel, kernel) in row.chunks_exact(taps).enumerate() {
            for (tap, value) in kernel.iter().enumerate() {
                out[panel + (tap * padded + channel) * PANEL + n % PANEL] = *value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;

    fn packed(weight: &PackedWeight) -> Vec<f32> {
        let mut out = vec![0.0; weight.len()];
        weight.pack(&mut out);
        out
    }

    #[test]
    fn panels_hold_columns_of_eight_with_channels_padded() -> Result<()> {
        let (n, c, taps) = (10, 3, 2);
        let tensor = Tensor::from_f32([n, c, taps], (0..n * c * taps).map(|i| i as f32 + 1.0).collect())?;
        let packing = Packing::Panels { first: 8, count: 2, channels: c, taps };
        let weight = PackedWeight::new("w".into(), vec![Some(tensor)], packing);
        let out = packed(&weight);
        assert_eq!(out.len(), 8 * taps * 4);
        for column in 0..8 {
            for tap in 0..taps {
                for channel in 0..4 {
                    let inside = column < 2 && channel < c;
                    let want = if inside { ((8 + column) * c + channel) * taps + tap + 1 } else { 0 };
                    assert_eq!(out[(tap * 4 + channel) * 8 + column], want as f32);
                }
            }
        }
        Ok(())
    }

    #[test]
    fn taps_put_channels_innermost() -> Result<()> {
        let tensor = Tensor::from_f32([3, 1, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0])?;
        let packing = Packing::Taps { taps: 2, channels: 3, align: 4 };
        let weight = PackedWeight::new("w".into(), vec![Some(tensor)], packing);
        assert_eq!(packed(&weight), [1.0, 3.0, 5.0, 0.0, 2.0, 4.0, 6.0, 0.0]);
        Ok(())
    }

    #[test]
    fn absent_vectors_take_their_default() -> Result<()> {
        let bias = Tensor::from_f32([3], vec![1.0, 2.0, 3.0])?;
        let packing = Packing::Vectors { len: 4, first: 1, defaults: vec![0, 1f32.to_bits()] };
        let weight = PackedWeight::new("v".into(), vec![Some(bias), None], packing);
        assert_eq!(packed(&weight), [2.0, 3.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
        Ok(())
    }
}
