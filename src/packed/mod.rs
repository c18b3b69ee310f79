//! Weights as devices store them: how they are made of checkpoint tensors ([`Recipe`]), how they are laid out ([`Packing`]), and what
//! their values are stored as ([`Encoding`]).
//!
//! A packed weight is described when a graph is lowered and materialised one at a time when it is uploaded, so a large
//! checkpoint never exists twice in host memory.

mod encoding;
mod packing;
mod recipe;

pub use encoding::Encoding;
pub use packing::Packing;
pub use recipe::{Norm, Recipe, affine};

use std::borrow::Cow;

use crate::{
    error::{Error, Result},
    tensor::{DType, Tensor},
};

/// A weight of a program: pieces of a checkpoint and how they are laid out.
#[derive(Debug, Clone)]
pub struct PackedWeight {
    name: String,
    key: String,
    /// The host tensors, where an absent optional one is `None`; nothing any more once they were forgotten.
    pieces: Option<Vec<Option<Tensor>>>,
    packing: Packing,
    encoding: Encoding,
    len: usize,
}

impl PackedWeight {
    /// A weight made of these host tensors, in F32; `name` is for errors.
    pub fn new(name: impl Into<String>, pieces: Vec<Option<Tensor>>, packing: Packing) -> Self {
        Self::encoded(name, pieces, packing, Encoding::F32)
    }

    /// The same in another encoding, which must be one for the only piece ([`Encoding::of`]) and its packing panels.
    pub(crate) fn encoded(name: impl Into<String>, pieces: Vec<Option<Tensor>>, packing: Packing, encoding: Encoding) -> Self {
        let of = |piece: &Option<Tensor>| piece.as_ref().map_or_else(|| "-".into(), Tensor::identity);
        let key = format!("{packing:?} {encoding:?} of {}", pieces.iter().map(of).collect::<Vec<_>>().join(" + "));
        let len = packing.len(&pieces, encoding);
        Self { name: name.into(), key, pieces: Some(pieces), packing, encoding, len }
    }

    /// The checkpoint keys that it is made of.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Identity: equal keys pack to equal bytes, whatever their names.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The host tensor, where it is the packed weight already: F32 values in this very order.
    pub(crate) fn as_it_is(&self) -> Option<&Tensor> {
        match (&self.packing, self.pieces.as_deref()) {
            (Packing::Flat, Some([Some(tensor)]))
                if tensor.dtype() == DType::F32 && matches!(tensor.to_f32(), Cow::Borrowed(_)) =>
            {
                Some(tensor)
            }
            _ => None,
        }
    }

    /// Number of f32 values, or words of four bytes in other encodings.
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

    /// False while a host tensor is still on its way, and once they were forgotten.
    pub fn ready(&self) -> bool {
        self.pieces.as_ref().is_some_and(|pieces| pieces.iter().flatten().all(Tensor::ready))
    }

    /// Forgets the host tensors, after the upload.
    pub fn forget(&mut self) {
        self.pieces = None;
    }

    /// Hints that the host tensors are not needed for now, which keeps a mapped checkpoint from staying in memory beside the
    /// device's copy.
    pub fn release(&self) {
        self.pieces.iter().flatten().flatten().for_each(Tensor::release);
    }

    /// Writes the packed values into `out`, which has [`PackedWeight::len`] elements and is all zero.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the host tensors have not arrived or were forgotten, or `out` has another length.
    pub fn pack(&self, out: &mut [f32]) -> Result<()> {
        match &self.pieces {
            Some(pieces) if self.ready() && out.len() == self.len => {
                self.packing.pack(pieces, self.encoding, out);
                Ok(())
            }
            Some(_) if !self.ready() => Err(Error::InvalidArgument(format!("the weight `{}` has not arrived", self.name))),
            Some(_) => {
                Err(Error::InvalidArgument(format!("the weight `{}` has {} values, not {}", self.name, self.len, out.len())))
            }
            None => Err(Error::InvalidArgument(format!("the host's copy of the weight `{}` was forgotten", self.name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(weight: &PackedWeight) -> Vec<f32> {
        let mut out = vec![0.0; weight.len()];
        assert!(weight.pack(&mut out).is_ok());
        out
    }

    #[test]
    fn what_was_forgotten_is_not_zeros() -> Result<()> {
        let tensor = Tensor::from_f32([2, 3], vec![1.0; 6])?;
        let mut weight = PackedWeight::new("w", vec![Some(tensor)], Packing::Transposed);
        assert!(weight.ready());
        weight.forget();
        assert!(!weight.ready());
        let error = weight.pack(&mut vec![0.0; weight.len()]).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("`w` was forgotten"), "{error}");
        Ok(())
    }

    #[test]
    fn panels_hold_columns_of_eight_with_channels_padded() -> Result<()> {
        let (n, c, taps) = (10, 3, 2);
        let tensor = Tensor::from_f32([n, c, taps], (0..n * c * taps).map(|i| i as f32 + 1.0).collect())?;
        let packing = Packing::Panels { first: 8, count: 2, lead: 0, channels: c, taps };
        let weight = PackedWeight::new("w", vec![Some(tensor)], packing);
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
        let taps = |lead| {
            let packing = Packing::Taps { taps: 2, lead, channels: 3, align: 4 };
            packed(&PackedWeight::new("w", vec![Some(tensor.clone())], packing))
        };
        assert_eq!(taps(0), [1.0, 3.0, 5.0, 0.0, 2.0, 4.0, 6.0, 0.0]);
        assert_eq!(taps(1), [0.0, 1.0, 3.0, 5.0, 0.0, 2.0, 4.0, 6.0]);
        Ok(())
    }

    #[test]
    fn absent_vectors_take_their_default() -> Result<()> {
        let bias = Tensor::from_f32([3], vec![1.0, 2.0, 3.0])?;
        let packing = Packing::Vectors { len: 4, first: 1, defaults: vec![0, 1f32.to_bits()] };
        let weight = PackedWeight::new("v", vec![Some(bias), None], packing);
        assert_eq!(packed(&weight), [2.0, 3.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]);
        Ok(())
    }
}
