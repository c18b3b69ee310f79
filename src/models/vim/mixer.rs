//! Vim's mixer: the tokens are scanned forwards and backwards, each way behind a causal convolution of its own.

use crate::{
    error::Result,
    graph::{Builder, Value},
    ops::{Act, Add, DepthwiseConv2d, Direction, Epilogue, Mul, SelectiveScan},
    packed::Recipe,
    weights::Reader,
};

/// Sizes of a mixer.
#[derive(Debug, Clone, Copy)]
pub(in crate::models) struct Mixer {
    /// Channels of a token.
    pub(in crate::models) channels: usize,
    /// Channels that are scanned.
    pub(in crate::models) inner: usize,
    /// States a channel.
    pub(in crate::models) states: usize,
    /// Rank of the step sizes.
    pub(in crate::models) rank: usize,
    /// Taps of the convolutions.
    pub(in crate::models) taps: usize,
    /// The two directions are averaged rather than summed.
    pub(in crate::models) halved: bool,
}

impl Mixer {
    /// Tokens `(B, L, C)` to as many.
    pub(in crate::models) fn build(self, g: &mut Builder, w: &Reader, tokens: Value) -> Result<Value> {
        let inner = self.inner;
        let x = g.linear_part(&w.pp("in_proj"), "values", tokens, 2 * inner, [0, inner], false)?;
        let gate = g.linear_part(&w.pp("in_proj"), "gate", tokens, 2 * inner, [inner, inner], false)?;
        let gate = g.activation(w.path("gate"), gate, Act::Silu)?;
        let forward = self.direction(g, w, x, false)?;
        let backward = self.direction(g, w, x, true)?;
        // The gate of either direction is that of the token, so it may wait for the sum.
        let y = g.op(w.path("sum"), Add, vec![forward, backward])?;
        let y = g.op(w.path("gated"), Mul, vec![y, gate])?;

        let out_proj = w.pp("out_proj");
        let mut weight = out_proj.get("weight", &[self.channels, inner])?;
        let mut name = out_proj.path("weight");
        if self.halved {
            weight = Recipe::Times { of: weight, by: 0.5 }.tensor([self.channels, inner])?;
            name += " / 2";
        }
        let weight = g.constant(name, weight);
        g.op(w.path("out_proj"), crate::ops::Linear::default(), vec![y, weight])
    }

    /// A scan of `x` `(B, L, D)`. Backwards the convolution looks at the tokens behind, and the result is where the token is.
    fn direction(self, g: &mut Builder, w: &Reader, x: Value, reversed: bool) -> Result<Value> {
        let Self { inner, states, rank, taps, .. } = self;
        let (suffix, path, a_log) = if reversed { ("_b", "backward.", "A_b_log") } else { ("", "", "A_log") };
        let name = |part: &str| w.path(&format!("{path}{part}"));
        let shape = g.shape(x).clone();

        let conv = w.pp(format!("conv1d{suffix}"));
        let filters = conv.get("weight", &[inner, 1, taps])?;
        let (filters, padding) = match reversed {
            true => (Recipe::Reversed(filters).tensor([inner, 1, 1, taps])?, [0, taps - 1]),
            false => (filters.reshape([inner, 1, 1, taps])?, [taps - 1, 0]),
        };
        let filters = g.constant(conv.path("weight"), filters);
        let bias = g.weight(&conv, "bias", &[inner])?;
        let (images, length) = (shape.dims()[0], shape.rows() / shape.dims()[0].max(1));
        let rows = g.reshape(x, [images, 1, length, inner])?;
        let op = DepthwiseConv2d { stride: 1, padding: [[0; 2], padding], passed: 0, epilogue: Epilogue::biased(true) };
        let u = g.op(name("conv1d"), op, vec![rows, filters, bias])?;
        let u = g.activation(name("scan.u"), u, Act::Silu)?;
        let u = g.reshape(u, shape)?;

        let x_dbl = g.linear(&w.pp(format!("x_proj{suffix}")), u, rank + 2 * states, false)?;
        let dt_proj = w.pp(format!("dt_proj{suffix}"));
        let delta = g.linear(&dt_proj, x_dbl.channels(0..rank), inner, false)?;
        let a = Recipe::NegExp(w.get(a_log, &[inner, states])?).tensor([inner, states])?;
        let a = g.constant(format!("-exp({})", w.path(a_log)), a);
        let d = g.weight(w, &format!("D{suffix}"), &[inner])?;
        let delta_bias = g.weight(&dt_proj, "bias", &[inner])?;
        let op = SelectiveScan { direction: Direction { height: 1, reversed }, ..SelectiveScan::default() };
        let bc = x_dbl.channels(rank..rank + 2 * states);
        g.op(name("scan.y"), op, [u.into(), delta.into(), bc, a.into(), d.into(), delta_bias.into()])
    }
}
