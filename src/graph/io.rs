//! What goes into a graph and what comes out of it, on any device.

use crate::{
    error::{Error, Result},
    graph::Layout,
    tensor::{Shape, Tensor},
};

/// Holds inputs against the shapes that a graph or program wants.
pub(crate) fn check_inputs<'a>(wanted: impl ExactSizeIterator<Item = &'a Shape>, inputs: &[&Tensor]) -> Result<()> {
    if wanted.len() != inputs.len() {
        return Err(Error::InvalidArgument(format!("there must be {} inputs, found {}", wanted.len(), inputs.len())));
    }
    for (wanted, input) in wanted.zip(inputs) {
        if input.shape() != wanted {
            return Err(Error::InvalidArgument(format!("the input must be {wanted}, found {}", input.shape())));
        }
    }
    Ok(())
}

/// A result in the layout in which it is handed out.
///
/// # Errors
/// None in practice: the number of values stays.
pub fn arrange(value: &Tensor, layout: Layout) -> Result<Tensor> {
    match (layout, value.shape().dims()) {
        (Layout::Nchw, &[b, h, w, c]) => {
            let (src, plane) = (value.to_f32(), h * w);
            let mut out = vec![0.0; src.len()];
            for (i, pixel) in src.chunks_exact(c.max(1)).enumerate() {
                for (channel, v) in pixel.iter().enumerate() {
                    out[(i / plane * c + channel) * plane + i % plane] = *v;
                }
            }
            Tensor::from_f32([b, c, h, w], out)
        }
        _ => Ok(value.clone()),
    }
}
