//! Weights that are derived from checkpoint tensors, as data: what is made of what. They can be described before their sources have
//! arrived, compared, and told from each other.

use std::sync::OnceLock;

use crate::{
    error::{Error, Result},
    tensor::{ByteOwner, Bytes, Shape, Tensor, TensorDesc},
};

/// An inference batch norm's vectors, `[C]` each.
#[derive(Debug, Clone)]
pub struct Norm {
    /// The keys `weight`, `bias`, `running_mean` and `running_var`.
    pub vectors: [Tensor; 4],
    /// Added to the variance.
    pub eps: f32,
}

impl Norm {
    /// The normalisation as `x * scale + shift`, in f64.
    fn affine(&self) -> (Vec<f64>, Vec<f64>) {
        let [weight, bias, mean, variance] = self.vectors.each_ref().map(Tensor::to_f32);
        affine([&weight, &bias, &mean, &variance], self.eps)
    }

    fn identity(&self) -> String {
        let vectors = self.vectors.each_ref().map(Tensor::identity);
        format!("{}, eps {:x}", vectors.join(", "), self.eps.to_bits())
    }
}

/// A batch norm with the vectors weight, bias, mean and variance as `x * scale + shift`: `(scale, shift)`, in f64.
pub fn affine([weight, bias, mean, variance]: [&[f32]; 4], eps: f32) -> (Vec<f64>, Vec<f64>) {
    let scale: Vec<f64> =
        weight.iter().zip(variance).map(|(w, v)| f64::from(*w) / (f64::from(*v) + f64::from(eps)).sqrt()).collect();
    let shift = scale.iter().zip(bias).zip(mean).map(|((s, b), m)| f64::from(*b) - f64::from(*m) * s).collect();
    (scale, shift)
}

/// How a weight is made.
#[derive(Debug, Clone)]
pub enum Recipe {
    /// `-e^x`: the decays A of a state-space model from the key `A_log`.
    NegExp(Tensor),
    /// Tensors one after another along the outermost axis.
    Concat(Vec<Tensor>),
    /// A part of filters `[N, C, ..]` along their input channels: what they do to one of several maps side by side.
    Columns {
        /// The whole.
        of: Tensor,
        /// The first channel.
        first: usize,
        /// How many channels.
        count: usize,
    },
    /// A tensor times a number.
    Times {
        /// The tensor.
        of: Tensor,
        /// The number.
        by: f32,
    },
    /// A tensor with its innermost axis from the last element to the first: the taps of a convolution that runs backwards.
    Reversed(Tensor),
    /// Filters `[N, ..]`, each times its channel's factor of the norm that follows.
    ScaleFilters {
        /// The filters.
        weight: Tensor,
        /// The norm.
        norm: Norm,
    },
    /// The bias `[N]` of a convolution with the norm that follows folded into it.
    ShiftBias {
        /// Its own bias, where it has one.
        bias: Option<Tensor>,
        /// The norm.
        norm: Norm,
    },
}

impl Recipe {
    fn sources(&self) -> Vec<&Tensor> {
        match self {
            Self::NegExp(x) | Self::Reversed(x) | Self::Columns { of: x, .. } | Self::Times { of: x, .. } => vec![x],
            Self::Concat(parts) => parts.iter().collect(),
            Self::ScaleFilters { weight, norm } => norm.vectors.iter().chain([weight]).collect(),
            Self::ShiftBias { bias, norm } => norm.vectors.iter().chain(bias).collect(),
        }
    }

    /// The values, from sources that are there.
    fn make(&self) -> Vec<f32> {
        match self {
            Self::NegExp(x) => x.to_f32().iter().map(|v| -v.exp()).collect(),
            Self::Concat(parts) => parts.iter().flat_map(|part| part.to_f32().into_owned()).collect(),
            Self::Columns { of, first, count } => {
                let (row, inner) = (row_len(of), inner_len(of));
                let rows = of.to_f32();
                rows.chunks_exact(row.max(1)).flat_map(|row| row[first * inner..(first + count) * inner].to_vec()).collect()
            }
            Self::Times { of, by } => of.to_f32().iter().map(|v| v * by).collect(),
            Self::Reversed(x) => {
                x.to_f32().chunks(x.shape().last().max(1)).flat_map(|row| row.iter().rev().copied().collect::<Vec<_>>()).collect()
            }
            Self::ScaleFilters { weight, norm } => {
                let (scale, _) = norm.affine();
                let mut filters = weight.to_f32().into_owned();
                // The output channel is the outermost axis of every weight of a checkpoint.
                let per_channel = (filters.len() / scale.len().max(1)).max(1);
                for (filter, s) in filters.chunks_exact_mut(per_channel).zip(&scale) {
                    filter.iter_mut().for_each(|v| *v = (f64::from(*v) * s) as f32);
                }
                filters
            }
            Self::ShiftBias { bias, norm } => {
                let (scale, shift) = norm.affine();
                let bias = bias.as_ref().map(Tensor::to_f32);
                let own = |i: usize| bias.as_ref().map_or(0.0, |bias| f64::from(bias[i]));
                scale.iter().zip(&shift).enumerate().map(|(i, (s, t))| (own(i) * s + t) as f32).collect()
            }
        }
    }

    /// The tensor that comes of it, whose values are made when they are first read.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the shape does not have as many elements as the recipe makes, or a part is none of the whole.
    pub fn tensor(self, shape: impl Into<Shape>) -> Result<Tensor> {
        self.tensor_of(TensorDesc::f32(shape))
    }

    fn tensor_of(self, desc: TensorDesc) -> Result<Tensor> {
        // What factors do to quantised values they do to their scales.
        if let Self::Times { of, .. } | Self::ScaleFilters { weight: of, .. } = &self
            && let Some(scales) = of.scales().cloned()
        {
            let (of, of_scales) = (of.clone(), TensorDesc::f32(scales.shape().clone()));
            let scaled = match self {
                Self::ScaleFilters { norm, .. } => Self::ScaleFilters { weight: scales, norm },
                Self::Times { by, .. } => Self::Times { of: scales, by },
                other => other,
            };
            return of.rescaled(scaled.tensor_of(of_scales)?).reshape(desc.shape);
        }
        let len = |t: &Tensor| t.shape().len();
        let made = match &self {
            Self::NegExp(x) | Self::Reversed(x) | Self::Times { of: x, .. } => len(x),
            Self::Concat(parts) => parts.iter().map(len).sum(),
            Self::Columns { of, first, count } => {
                let dims = of.shape().dims();
                if dims.len() < 2 || first.checked_add(*count).is_none_or(|end| end > dims[1]) {
                    let desc = of.desc();
                    return Err(Error::InvalidArgument(format!(
                        "{count} channels from {first} on are no part of a tensor {desc}"
                    )));
                }
                dims[0] * count * inner_len(of)
            }
            Self::ScaleFilters { weight, .. } => len(weight),
            Self::ShiftBias { norm, .. } => len(&norm.vectors[0]),
        };
        match desc.shape.checked_len().and_then(|n| n.checked_mul(4)) {
            Some(bytes) if bytes / 4 == made => {
                Tensor::new(desc, Bytes::pending(Derived { recipe: self, values: OnceLock::new() }, bytes))
            }
            _ => Err(Error::InvalidArgument(format!("a recipe that makes {made} values cannot fill a tensor {desc}"))),
        }
    }
}

/// Elements of a row along the outermost axis.
fn row_len(tensor: &Tensor) -> usize {
    tensor.shape().dims().get(1..).unwrap_or_default().iter().product()
}

/// Elements that belong to an input channel of a filter.
fn inner_len(tensor: &Tensor) -> usize {
    tensor.shape().dims().get(2..).unwrap_or_default().iter().product()
}

/// Values that are made when they are first read, but never before their sources have arrived.
struct Derived {
    recipe: Recipe,
    values: OnceLock<Vec<f32>>,
}

impl ByteOwner for Derived {
    fn bytes(&self) -> &[u8] {
        // What is made of half a download would be kept for ever.
        if !self.ready() {
            return &[];
        }
        bytemuck::cast_slice(self.values.get_or_init(|| self.recipe.make()))
    }

    fn ready(&self) -> bool {
        self.recipe.sources().into_iter().all(Tensor::ready)
    }

    fn identity(&self) -> Option<String> {
        let of = |tensors: &[Tensor]| tensors.iter().map(Tensor::identity).collect::<Vec<_>>().join(", ");
        Some(match &self.recipe {
            Recipe::NegExp(x) => format!("neg_exp({})", x.identity()),
            Recipe::Concat(parts) => format!("concat({})", of(parts)),
            Recipe::Columns { of, first, count } => format!("columns({}; {count} from {first})", of.identity()),
            Recipe::Times { of, by } => format!("times({}; {:x})", of.identity(), by.to_bits()),
            Recipe::Reversed(x) => format!("reversed({})", x.identity()),
            Recipe::ScaleFilters { weight, norm } => format!("scale_filters({}; {})", weight.identity(), norm.identity()),
            Recipe::ShiftBias { bias, norm } => format!("shift_bias({}; {})", of(bias.as_slice()), norm.identity()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Memory that arrives when it is told to.
    struct Late(std::sync::Arc<AtomicBool>, Vec<u8>);

    impl ByteOwner for Late {
        fn bytes(&self) -> &[u8] {
            if self.ready() { &self.1 } else { &[] }
        }

        fn ready(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn what_is_read_too_early_is_not_kept() -> Result<()> {
        let arrived = std::sync::Arc::new(AtomicBool::new(false));
        let bytes = Bytes::pending(Late(arrived.clone(), 0f32.to_le_bytes().repeat(3)), 12);
        let made = Recipe::NegExp(Tensor::new(TensorDesc::f32([3]), bytes)?).tensor([3])?;
        assert!(!made.ready() && made.bytes().is_empty());
        arrived.store(true, Ordering::Relaxed);
        assert_eq!(made.to_f32()[..], [-1.0, -1.0, -1.0]);
        Ok(())
    }

    #[test]
    fn the_same_recipe_of_the_same_tensors_is_the_same_weight() -> Result<()> {
        let [a, b] = [1.0, 2.0].map(|v| Tensor::from_f32([2], vec![v; 2]));
        let (a, b) = (a?, b?);
        let identity =
            |parts: [&Tensor; 2]| Ok::<_, Error>(Recipe::Concat(parts.map(Clone::clone).to_vec()).tensor([4])?.identity());
        assert_eq!(identity([&a, &b])?, identity([&a, &b])?);
        assert_ne!(identity([&a, &b])?, identity([&b, &a])?);
        // Equal values in other memory are another weight: nobody compares megabytes.
        assert_ne!(identity([&a, &b])?, identity([&a, &Tensor::from_f32([2], vec![2.0; 2])?])?);
        Ok(())
    }

    #[test]
    fn columns_are_a_part_of_every_filter() -> Result<()> {
        let x = Tensor::from_f32([2, 3, 2], (0..12).map(|i| i as f32).collect())?;
        let columns = |first, count| Recipe::Columns { of: x.clone(), first, count }.tensor([2, count, 2]);
        assert_eq!(columns(1, 2)?.to_f32()[..], [2.0, 3.0, 4.0, 5.0, 8.0, 9.0, 10.0, 11.0]);
        assert_ne!(columns(0, 1)?.identity(), columns(1, 1)?.identity());
        assert!(columns(2, 2).is_err() && columns(usize::MAX, 2).is_err());
        Ok(())
    }

    #[test]
    fn taps_are_reversed_and_weights_scaled() -> Result<()> {
        let x = Tensor::from_f32([2, 3], vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0])?;
        assert_eq!(Recipe::Reversed(x.clone()).tensor([2, 3])?.to_f32()[..], [2.0, 1.0, 0.0, 5.0, 4.0, 3.0]);
        let times = |by| Recipe::Times { of: x.clone(), by }.tensor([6]);
        assert_eq!(times(0.5)?.to_f32()[..], [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
        assert_ne!(times(0.5)?.identity(), times(0.25)?.identity());
        Ok(())
    }

    #[test]
    fn a_shape_that_the_recipe_does_not_fill_is_refused() -> Result<()> {
        let x = Tensor::from_f32([2, 2], vec![0.0; 4])?;
        assert!(Recipe::NegExp(x.clone()).tensor([5]).is_err() && Recipe::NegExp(x).tensor([4]).is_ok());
        Ok(())
    }
}
