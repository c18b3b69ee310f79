//! Rotary position embedding over two image axes, as MILA has it (Han et al. 2024; RoPE: Su et al. 2021).

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Operator, exact, exactly},
    tensor::{Shape, Tensor},
};

/// Rotates pairs of neighbouring channels by angles that grow with the row (first half of the pairs) and the column (second half).
///
/// Inputs: x `(B, H W, parts * C)`, rows `[H, C/4 * 2]`, columns `[W, C/4 * 2]` (cos and sin interleaved; [`rope_tables`]).
/// The rotation spans all C channels of each part, before any split into heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rope {
    /// Independent parts along the channels: 2 for q and k.
    pub parts: usize,
}

/// The tables of cosines and sines for a grid of `height` x `width` tokens of `channels` channels: angle `position * base^(-k / (C/4))`.
///
/// # Errors
/// [`crate::Error::InvalidArgument`] when `channels` is not a multiple of four.
pub fn rope_tables(height: usize, width: usize, channels: usize, base: f32) -> Result<[Tensor; 2]> {
    if channels == 0 || !channels.is_multiple_of(4) {
        return Err(crate::Error::InvalidArgument(format!("rotary embedding needs a multiple of 4 channels, found {channels}")));
    }
    let count = channels / 4;
    let table = |positions: usize| {
        let angle = |p: usize, k: usize| p as f32 * (1.0 / base.powf(k as f32 / count as f32));
        let values = (0..positions).flat_map(|p| (0..count).flat_map(move |k| [angle(p, k).cos(), angle(p, k).sin()]));
        Tensor::from_f32([positions, 2 * count], values.collect())
    };
    Ok([table(height)?, table(width)?])
}

/// What the kernels and evaluations need to know of the grid.
#[derive(Debug, Clone, Copy)]
pub(super) struct RopeGrid {
    pub(super) width: usize,
    pub(super) channels: usize,
}

impl RopeGrid {
    pub(super) fn check(rows: &Shape, columns: &Shape, tokens: usize, channels: usize) -> std::result::Result<Self, String> {
        match (rows.dims(), columns.dims()) {
            (&[height, a], &[width, b]) if a * 2 == channels && b == a && height * width == tokens => {
                Ok(Self { width, channels })
            }
            _ => Err(format!("tables {rows} and {columns} do not fit {tokens} tokens of {channels} channels")),
        }
    }

    /// Rotates one token's channels in place.
    pub(super) fn rotate(&self, token: usize, rows: &[f64], columns: &[f64], x: &mut [f64]) {
        let half = self.channels / 2;
        let row = &rows[token / self.width * half..][..half];
        let column = &columns[token % self.width * half..][..half];
        for (pair, angle) in x.chunks_exact_mut(2).zip(row.chunks_exact(2).chain(column.chunks_exact(2))) {
            let (re, im) = (pair[0], pair[1]);
            pair[0] = re * angle[0] - im * angle[1];
            pair[1] = re * angle[1] + im * angle[0];
        }
    }
}

impl Operator for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x, rows, columns] = exactly(inputs)?;
        let &[_, tokens, c] = x.dims() else { return Err(format!("input must be (B, L, C), found {x}")) };
        if self.parts == 0 || c % (4 * self.parts) != 0 {
            return Err(format!("{c} channels do not split into {} parts of a multiple of 4", self.parts));
        }
        RopeGrid::check(rows, columns, tokens, c / self.parts)?;
        Ok(x.clone())
    }
}

impl Definition for Rope {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let (tokens, c) = (inputs[0].shape().dims()[1], inputs[0].shape().last() / self.parts);
        let grid = RopeGrid { width: inputs[2].shape().dims()[0], channels: c };
        let [mut out, rows, columns] = [0, 1, 2].map(|i: usize| exact::values(inputs[i]));
        for (i, part) in out.chunks_exact_mut(c).enumerate() {
            grid.rotate(i / self.parts % tokens, &rows, &columns, part);
        }
        exact::tensor(inputs[0].shape().clone(), out)
    }
}
