//! Where the tokens of a scan lie in the picture.

use crate::{
    error::{Error, Result},
    graph::{Graph, Kind, Value},
    ops::Op,
};

/// How tokens make a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Patches of frames, and a class token behind `class` of them.
    Tokens { class: usize, frames: usize, size: [usize; 2] },
    /// A map, row by row.
    Map { size: [usize; 2] },
    /// Square windows, row by row, of a map that is padded to whole windows; `size` is the map's own.
    Windows { side: usize, size: [usize; 2] },
}

impl Place {
    /// The place of the tokens `(images, L, C)` in an input of `input` = `[h, w]` pixels.
    ///
    /// # Errors
    /// [`Error::Shape`] where they are none of the known arrangements.
    pub(super) fn of(graph: &Graph, tokens: Value, input: [usize; 2]) -> Result<Self> {
        let node = graph.node(tokens);
        let &[images, length, _] = node.shape().dims() else { return Err(unknown(graph, tokens)) };
        let embedding = graph.nodes().iter().find_map(|node| match &node.kind {
            Kind::Op(Op::EmbedTokens(op), inputs) => Some((op, inputs[0].value)),
            _ => None,
        });
        if let Some((op, patches)) = embedding {
            let [_, rows, columns, _] = map_of(graph, patches).ok_or_else(|| unknown(graph, tokens))?;
            return Ok(Self::Tokens { class: op.at, frames: op.frames, size: [rows, columns] });
        }
        if let Some([1, rows, columns, _]) = map_of(graph, tokens).filter(|[_, rows, ..]| *rows > 1 || length == 1) {
            return Ok(Self::Map { size: [rows, columns] });
        }
        // A model halves its maps: of the strides at which there are so many windows the smallest.
        let side = length.isqrt();
        let whole = |stride: usize| input.map(|pixels| pixels.div_ceil(stride));
        let windows = |stride: usize| whole(stride).map(|extent| extent.div_ceil(side)).iter().product::<usize>();
        let stride = (0..7).map(|i| 1 << i).find(|stride| side * side == length && windows(*stride) == images);
        stride.map(|stride| Self::Windows { side, size: whole(stride) }).ok_or_else(|| unknown(graph, tokens))
    }

    /// Windows, or 1.
    pub(super) fn images(self) -> usize {
        match self {
            Self::Windows { side, size } => size.iter().map(|extent| extent.div_ceil(side)).product(),
            _ => 1,
        }
    }

    /// Where the class token is among the tokens.
    pub(super) fn class_token(self) -> Option<usize> {
        match self {
            Self::Tokens { class, .. } => Some(class),
            _ => None,
        }
    }

    pub(super) fn frames(self) -> usize {
        match self {
            Self::Tokens { frames, .. } => frames,
            _ => 1,
        }
    }

    /// Rows and columns of the map, and the tokens' values row by row, without the class token's and those of padding.
    pub(super) fn lay_out(self, values: &[f32]) -> ([usize; 2], Vec<f32>) {
        match self {
            Self::Tokens { class, size, .. } => {
                let patches = values.iter().enumerate().filter(|(i, _)| *i != class).map(|(_, value)| *value);
                (size, patches.collect())
            }
            Self::Map { size } => (size, values.to_vec()),
            Self::Windows { side, size: [rows, columns] } => {
                let across = columns.div_ceil(side);
                let at = |row: usize, column: usize| {
                    let window = row / side * across + column / side;
                    values[window * side * side + row % side * side + column % side]
                };
                ([rows, columns], (0..rows).flat_map(|row| (0..columns).map(move |column| at(row, column))).collect())
            }
        }
    }
}

/// `(B, H, W, C)` of which a value is another view.
fn map_of(graph: &Graph, value: Value) -> Option<[usize; 4]> {
    match &graph.node(value).kind {
        Kind::Op(Op::Reshape(_), inputs) => graph.node(inputs[0].value).shape().dims().try_into().ok(),
        _ => None,
    }
}

fn unknown(graph: &Graph, tokens: Value) -> Error {
    let node = graph.node(tokens);
    let reason = format!("it cannot be told where its tokens {} lie in the picture", node.shape());
    Error::Shape { op: "explain", node: node.name.clone(), reason }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn windows_are_put_side_by_side_without_their_padding() {
        // A map of 3 x 3 in windows of 2 x 2, of which each has one row or column of padding, or both.
        let place = Place::Windows { side: 2, size: [3, 3] };
        assert_eq!(place.images(), 4);
        let values: Vec<f32> = (0..16).map(|i| i as f32).collect();
        assert_eq!(place.lay_out(&values), ([3, 3], vec![0.0, 1.0, 4.0, 2.0, 3.0, 6.0, 8.0, 9.0, 12.0]));
    }

    #[test]
    fn the_class_token_is_no_place_of_the_picture() {
        let place = Place::Tokens { class: 2, frames: 1, size: [2, 2] };
        assert_eq!(place.lay_out(&[0.0, 1.0, 9.0, 2.0, 3.0]), ([2, 2], vec![0.0, 1.0, 2.0, 3.0]));
    }
}
