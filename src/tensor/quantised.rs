//! Values of 8 or 4 bits: whole numbers, each times the scale of its group, which is 32 input channels of a filter at one position
//! of its kernel.

use std::{borrow::Cow, sync::Arc};

use super::{Bytes, DType, Shape, Tensor, TensorDesc};
use crate::error::{Error, Result};

/// Input channels that share a scale.
pub const GROUP: usize = 32;

impl Tensor {
    /// Filters `[N, C, ..]` in 8 or 4 bits: `value[n, c, ..] = level[n, c, ..] * scales[n, c / 32, ..]`. Levels of 8 bits are signed bytes;
    /// of 4 bits, two channels share a byte, `[N, C / 2, ..]`, the even one in its lower half, each as level + 8.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the number of bytes or the shape of the scales is not that of the filters, C is odd in 4 bits,
    /// or `dtype` or that of the scales is another than those.
    pub fn quantised(dtype: DType, shape: impl Into<Shape>, bytes: Bytes, scales: Self) -> Result<Self> {
        let desc = TensorDesc { dtype, shape: shape.into() };
        let dims = scales.shape().dims();
        let fits = match *desc.shape.dims() {
            [n, c, ref kernel @ ..] => {
                matches!(*dims, [rows, groups, ref taps @ ..] if rows == n && groups == c.div_ceil(GROUP) && taps == kernel)
                    && (dtype == DType::Q8 || dtype == DType::Q4 && c % 2 == 0)
            }
            _ => false,
        };
        if !fits || !matches!(scales.dtype(), DType::F16 | DType::F32) {
            let found = scales.desc();
            let reason = format!("a tensor {desc} cannot have scales {found}: there must be one for each 32 input channels");
            return Err(Error::InvalidArgument(reason));
        }
        Self::with_scales(desc, bytes, Some(Arc::new(scales)))
    }

    /// The scales of quantised values.
    pub fn scales(&self) -> Option<&Self> {
        self.scales.as_deref()
    }

    /// The same levels with other scales of the same shape.
    pub(crate) fn rescaled(self, scales: Self) -> Self {
        Self { scales: Some(Arc::new(scales)), ..self }
    }

    /// The levels and scales of quantised values, once they have arrived.
    pub(crate) fn levels(&self) -> Option<Levels<'_>> {
        let scales = self.scales.as_deref().filter(|_| self.ready())?;
        // Whatever shape the values were given since, their groups are where the scales have them.
        let (dims, len) = (scales.shape().dims(), self.shape().len());
        let (rows, taps) = (dims[0], dims[2..].iter().product::<usize>());
        let channels = len / (rows * taps).max(1);
        Some(Levels { bytes: self.bytes(), half: self.dtype() == DType::Q4, scales: scales.to_f32(), rows, channels, taps })
    }
}

/// What quantised filters `[rows, channels, taps]` are made of.
pub(crate) struct Levels<'a> {
    bytes: &'a [u8],
    /// Two levels a byte.
    half: bool,
    /// `[rows, groups, taps]`.
    scales: Cow<'a, [f32]>,
    pub(crate) rows: usize,
    pub(crate) channels: usize,
    pub(crate) taps: usize,
}

impl Levels<'_> {
    /// Numbers that a row of scales has.
    fn row_of_scales(&self) -> usize {
        self.channels.div_ceil(GROUP) * self.taps
    }

    /// The scales `[groups, taps]` of a filter.
    pub(crate) fn scales(&self, row: usize) -> &[f32] {
        &self.scales[row * self.row_of_scales()..][..self.row_of_scales()]
    }

    /// The level of a filter's channel at a tap.
    pub(crate) fn level(&self, row: usize, channel: usize, tap: usize) -> i8 {
        if !self.half {
            return self.bytes[(row * self.channels + channel) * self.taps + tap] as i8;
        }
        let pair = self.bytes[(row * self.channels + channel) / 2 * self.taps + tap];
        (pair >> (channel % 2 * 4) & 15) as i8 - 8
    }

    /// All values, in order.
    pub(super) fn values(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.rows * self.channels * self.taps);
        for row in 0..self.rows {
            let scales = self.scales(row);
            for channel in 0..self.channels {
                for (tap, scale) in scales[channel / GROUP * self.taps..][..self.taps].iter().enumerate() {
                    values.push(f32::from(self.level(row, channel, tap)) * scale);
                }
            }
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    fn scales(shape: [usize; 3], values: &[f32]) -> Result<Tensor> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect();
        Tensor::new(TensorDesc { dtype: DType::F16, shape: shape.into() }, Bytes::new(bytes))
    }

    #[test]
    fn a_group_is_32_channels_at_one_tap() -> Result<()> {
        let levels: Vec<u8> = (0..2 * 34 * 2).map(|i| (i % 5) as u8).collect();
        let factors = [0.5, 1.0, 2.0, 4.0, -1.0, -2.0, -4.0, -8.0];
        let tensor = Tensor::quantised(DType::Q8, [2, 34, 2], Bytes::new(levels.clone()), scales([2, 2, 2], &factors)?)?;
        for (i, value) in tensor.to_f32().iter().enumerate() {
            let (row, channel, tap) = (i / 68, i / 2 % 34, i % 2);
            assert_eq!(*value, f32::from(levels[i]) * factors[row * 4 + channel / 32 * 2 + tap]);
        }
        assert_eq!(tensor.rows(1, 1)?.to_f32()[..], tensor.to_f32()[68..]);
        assert_eq!(tensor.reshape([68, 2])?.to_f32(), tensor.to_f32());
        Ok(())
    }

    #[test]
    fn two_channels_share_a_byte() -> Result<()> {
        // Channels 0 and 1 at both taps, then 2 and 3.
        let bytes = Bytes::new(vec![0x0f, 0x78, 0x9a, 0xcb]);
        let tensor = Tensor::quantised(DType::Q4, [1, 4, 2], bytes, scales([1, 1, 2], &[1.0, 0.5])?)?;
        assert_eq!(tensor.to_f32()[..], [7.0, 0.0, -8.0, -0.5, 2.0, 1.5, 1.0, 2.0]);
        Ok(())
    }

    #[test]
    fn what_does_not_fit_is_refused() -> Result<()> {
        let bytes = |n: usize| Bytes::new(vec![0u8; n]);
        let quantised = |dtype, shape: &[usize], n, groups: [usize; 3]| {
            Tensor::quantised(dtype, shape.to_vec(), bytes(n), scales(groups, &vec![1.0; groups.iter().product()])?)
        };
        assert!(quantised(DType::Q8, &[2, 33, 1], 66, [2, 2, 1]).is_ok());
        assert!(quantised(DType::Q8, &[2, 33, 1], 65, [2, 2, 1]).is_err());
        assert!(quantised(DType::Q8, &[2, 33, 1], 66, [2, 1, 1]).is_err());
        assert!(quantised(DType::Q8, &[66], 66, [66, 1, 1]).is_err());
        assert!(quantised(DType::Q4, &[2, 33, 1], 33, [2, 2, 1]).is_err());
        assert!(quantised(DType::F16, &[2, 33, 1], 132, [2, 2, 1]).is_err());
        assert!(Tensor::new(TensorDesc { dtype: DType::Q8, shape: [2, 2].into() }, bytes(4)).is_err());
        Ok(())
    }
}
