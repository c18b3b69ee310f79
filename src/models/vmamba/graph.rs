//! The layers of VMamba.

use super::VMamba;
use crate::{
    error::Result,
    graph::{Builder, Layout, Value},
    models::Backbone,
    ops::{Act, Add, DepthwiseConv2d, Direction, Epilogue, Linear, Mul, SelectiveScan},
    packed::Recipe,
    tensor::Tensor,
    weights::Reader,
};

const NORM_EPS: f32 = 1e-5;

impl VMamba {
    pub(super) fn graph(&self, g: &mut Builder, w: &Reader) -> Result<Backbone> {
        let maps = self.stages(g, w)?;
        let x = g.layer_norm(&w.pp("classifier.norm"), maps[3], NORM_EPS)?;
        Backbone::mean(g, maps, x)
    }

    /// The maps of the four stages.
    pub(super) fn stages(&self, g: &mut Builder, w: &Reader) -> Result<Vec<Value>> {
        let layout = if self.first { Layout::Plain } else { Layout::Nchw };
        let mut x = self.stem(g, &w.pp("patch_embed"))?;
        g.output("stem", x, layout);
        let mut maps = Vec::with_capacity(4);
        for stage in 0..4 {
            let layer = w.pp("layers").pp(stage);
            for i in 0..self.depths[stage] {
                x = self.block(g, &layer.pp("blocks").pp(i), x, stage)?;
            }
            maps.push(x);
            if stage < 3 {
                x = self.downsample(g, &layer.pp("downsample"), x, self.dims[stage + 1])?;
            }
            g.output(format!("stage{stage}"), x, layout);
        }
        Ok(maps)
    }

    /// Two convolutions of stride 2, or in the first generation one of stride 4, each with a norm.
    fn stem(&self, g: &mut Builder, w: &Reader) -> Result<Value> {
        let (x, channels) = (g.input(), self.dims[0]);
        if self.first {
            let x = g.patches(&w.pp(0), x, channels, 4, 4, false)?;
            return g.layer_norm(&w.pp(2), x, NORM_EPS);
        }
        let x = g.conv2d(&w.pp(0), x, channels / 2, 3, 2, true)?;
        let x = g.layer_norm(&w.pp(2), x, NORM_EPS)?;
        let x = g.activation(w.path("4"), x, Act::Gelu)?;
        let x = g.conv2d(&w.pp(5), x, channels, 3, 2, true)?;
        g.layer_norm(&w.pp(7), x, NORM_EPS)
    }

    /// A convolution of stride 2, or in the first generation a linear layer over cells of 2 x 2 pixels.
    fn downsample(&self, g: &mut Builder, w: &Reader, x: Value, channels: usize) -> Result<Value> {
        if self.first {
            return g.merge_patches(w, x, channels);
        }
        let x = g.conv2d(&w.pp(1), x, channels, 3, 2, true)?;
        g.layer_norm(&w.pp(3), x, NORM_EPS)
    }

    fn block(&self, g: &mut Builder, w: &Reader, x: Value, stage: usize) -> Result<Value> {
        let (channels, hidden, name) = (self.dims[stage], self.hidden[stage], w.path(""));
        let name = name.trim_end_matches('.');
        let h = g.layer_norm(&w.pp("norm"), x, NORM_EPS)?;
        let h = self.mixer(g, &w.pp("op"), h, stage)?;
        if self.first {
            return g.op(name, Add, vec![x, h]);
        }
        let x = g.op(w.path("op_sum"), Add, vec![x, h])?;
        let h = g.layer_norm(&w.pp("norm2"), x, NORM_EPS)?;
        let h = g.linear(&w.pp("mlp.fc1"), h, hidden, true)?;
        let h = g.activation(w.path("mlp.act"), h, Act::Gelu)?;
        let h = g.linear(&w.pp("mlp.fc2"), h, channels, true)?;
        g.op(name, Add, vec![x, h])
    }

    /// A convolution, a scan in four directions, and a norm over what they sum up to; in the first generation with a gate behind it.
    fn mixer(&self, g: &mut Builder, w: &Reader, x: Value, stage: usize) -> Result<Value> {
        let (channels, inner) = (self.dims[stage], self.inner[stage]);
        let in_proj = w.pp("in_proj");
        let (x, gate) = if self.first {
            let values = g.linear_part(&in_proj, "values", x, 2 * inner, [0, inner], false)?;
            let gate = g.linear_part(&in_proj, "gate", x, 2 * inner, [inner, inner], false)?;
            (values, Some(g.activation(w.path("act#0"), gate, Act::Silu)?))
        } else {
            (g.linear(&in_proj, x, inner, false)?, None)
        };
        let conv = w.pp("conv2d");
        let mut inputs = vec![x, g.weight(&conv, "weight", &[inner, 1, 3, 3])?];
        if self.first {
            inputs.push(g.weight(&conv, "bias", &[inner])?);
        }
        let x = g.op(w.path("conv2d"), DepthwiseConv2d::same([3, 3], 1, Epilogue::biased(self.first)), inputs)?;
        let x = g.activation(w.path(if self.first { "act#1" } else { "act" }), x, Act::Silu)?;
        let y = self.cross_scan(g, w, x, stage)?;
        let mut y = g.layer_norm(&w.pp("out_norm"), y, NORM_EPS)?;
        if let Some(gate) = gate {
            y = g.op(w.path("gated"), Mul, vec![y, gate])?;
        }
        g.linear(&w.pp("out_proj"), y, channels, false)
    }

    /// The sum of four scans over the map `(B, H, W, D)`: by rows and by columns, forwards, then backwards, each with parameters of its
    /// own.
    fn cross_scan(&self, g: &mut Builder, w: &Reader, map: Value, stage: usize) -> Result<Value> {
        let (inner, rank, states) = (self.inner[stage], self.rank[stage], self.d_state);
        let [images, height, width, _] = g.image_dims(map);
        let u = g.reshape(map, [images, height * width, inner])?;
        let projections = w.get("x_proj_weight", &[4, rank + 2 * states, inner])?;
        let steps = w.get("dt_projs_weight", &[4, inner, rank])?;
        let biases = w.get("dt_projs_bias", &[4, inner])?;
        let logs = w.get("A_logs", &[4 * inner, states])?;
        let skips = w.get("Ds", &[4 * inner])?;
        let mut sum = None;
        for (k, (rows, reversed)) in [(1, false), (height, false), (1, true), (height, true)].into_iter().enumerate() {
            // The k-th part of a stack of four.
            let part = |of: &Tensor, count: usize| of.rows(k * count, count);
            let name = |key: &str| format!("{}[{k}]", w.path(key));
            let weight = part(&projections, 1)?.reshape([rank + 2 * states, inner])?;
            let weight = g.constant(name("x_proj_weight"), weight);
            let x_dbl = g.op(w.path(&format!("x_proj.{k}")), Linear::default(), vec![u, weight])?;
            let weight = g.constant(name("dt_projs_weight"), part(&steps, 1)?.reshape([inner, rank])?);
            let delta = g.op(w.path(&format!("dt_projs.{k}")), Linear::default(), [x_dbl.channels(0..rank), weight.into()])?;
            let a = Recipe::NegExp(part(&logs, inner)?).tensor([inner, states])?;
            let a = g.constant(format!("-exp({})", name("A_logs")), a);
            let d = g.constant(name("Ds"), part(&skips, inner)?);
            let bias = g.constant(name("dt_projs_bias"), part(&biases, 1)?.reshape([inner])?);
            let op = SelectiveScan { direction: Direction { height: rows, reversed }, ..SelectiveScan::default() };
            let bc = x_dbl.channels(rank..rank + 2 * states);
            let inputs = [u.into(), delta.into(), bc, a.into(), d.into(), bias.into()];
            let y = g.op(w.path(&format!("scan.{k}")), op, inputs)?;
            sum = Some(match sum {
                Some(sum) => g.op(w.path("sum"), Add, vec![sum, y])?,
                None => y,
            });
        }
        g.reshape(sum.unwrap_or(u), [images, height, width, inner])
    }
}
