//! The layers of MambaVision.

use super::MambaVision;
use crate::{
    error::{Error, Result},
    graph::{Builder, Layout, Value},
    models::Backbone,
    ops::{Act, Attention, DepthwiseConv2d, Epilogue, SelectiveScan},
    packed::Recipe,
    weights::Reader,
};

/// The stem's batch norms have an epsilon of their own.
const STEM_EPS: f32 = 1e-4;
const NORM_EPS: f32 = 1e-5;

impl MambaVision {
    pub(super) fn graph(&self, g: &mut Builder, w: &Reader) -> Result<Backbone> {
        let maps = self.stages(g, w)?;
        let x = g.batch_norm(&w.pp("norm"), maps[3], NORM_EPS)?;
        Backbone::mean(g, maps, x)
    }

    /// The maps of the four stages.
    pub(super) fn stages(&self, g: &mut Builder, w: &Reader) -> Result<Vec<Value>> {
        let mut x = self.stem(g, &w.pp("patch_embed").pp("conv_down"))?;
        g.output("stem", x, Layout::Nchw);
        let mut maps = Vec::with_capacity(4);
        for stage in 0..4 {
            let level = w.pp("levels").pp(stage);
            x = if stage < 2 { self.conv_stage(g, &level, x, stage)? } else { self.mixer_stage(g, &level, x, stage)? };
            maps.push(x);
            if stage < 3 {
                let reduction = level.pp("downsample.reduction.0");
                x = g.conv2d(&reduction, x, self.channels(stage + 1), 3, 2, false)?;
            }
            g.output(format!("stage{stage}"), x, Layout::Nchw);
        }
        Ok(maps)
    }

    /// Two 3x3 convolutions of stride 2, each with batch norm and ReLU.
    fn stem(&self, g: &mut Builder, w: &Reader) -> Result<Value> {
        let mut x = g.input();
        for (conv, channels) in [(0, self.in_dim), (3, self.dim)] {
            x = g.conv2d(&w.pp(conv), x, channels, 3, 2, false)?;
            x = g.batch_norm(&w.pp(conv + 1), x, STEM_EPS)?;
            x = g.activation(w.path(&(conv + 2).to_string()), x, Act::Relu)?;
        }
        Ok(x)
    }

    fn conv_stage(&self, g: &mut Builder, level: &Reader, mut x: Value, stage: usize) -> Result<Value> {
        let channels = self.channels(stage);
        for i in 0..self.depths[stage] {
            let w = level.pp("blocks").pp(i);
            let h = g.conv2d(&w.pp("conv1"), x, channels, 3, 1, true)?;
            let h = g.batch_norm(&w.pp("norm1"), h, NORM_EPS)?;
            let h = g.activation(w.path("act1"), h, Act::GeluTanh)?;
            let h = g.conv2d(&w.pp("conv2"), h, channels, 3, 1, true)?;
            let h = g.batch_norm(&w.pp("norm2"), h, NORM_EPS)?;
            let gamma = self.layer_scale_conv.then_some((&w, "gamma"));
            x = g.residual(&level.path(&format!("blocks.{i}")), x, h, gamma)?;
        }
        Ok(x)
    }

    /// Blocks on windows of the feature map; the padding of incomplete windows takes part like any token.
    fn mixer_stage(&self, g: &mut Builder, level: &Reader, x: Value, stage: usize) -> Result<Value> {
        let [_, height, width, channels] = g.image_dims(x);
        let (size, name) = (self.window_size[stage], level.path("blocks"));
        let mut x = g.window_partition(&name, x, size)?;
        let hidden = (channels as f64 * self.mlp_ratio) as usize;
        for i in 0..self.depths[stage] {
            let w = level.pp("blocks").pp(i);
            let h = g.layer_norm(&w.pp("norm1"), x, NORM_EPS)?;
            let h = if self.is_mamba(stage, i) {
                self.mamba_mixer(g, &w.pp("mixer"), h, channels)?
            } else {
                self.attention(g, &w.pp("mixer"), h, self.num_heads[stage])?
            };
            let gamma = |key| self.layer_scale.then_some((&w, key));
            x = g.residual(&w.path("mixer_sum"), x, h, gamma("gamma_1"))?;
            let h = g.layer_norm(&w.pp("norm2"), x, NORM_EPS)?;
            let h = g.linear(&w.pp("mlp.fc1"), h, hidden, true)?;
            let h = g.activation(w.path("mlp.act"), h, Act::Gelu)?;
            let h = g.linear(&w.pp("mlp.fc2"), h, channels, true)?;
            x = g.residual(&level.path(&format!("blocks.{i}")), x, h, gamma("gamma_2"))?;
        }
        g.window_reverse(&name, x, size, height, width)
    }

    /// One projection to two branches: the first is convolved and scanned, the second only convolved; both meet in `out_proj`.
    fn mamba_mixer(&self, g: &mut Builder, w: &Reader, x: Value, channels: usize) -> Result<Value> {
        let inner = channels * self.expand;
        let (half, states, rank) = (inner / 2, self.d_state, channels.div_ceil(16));
        let xz = g.linear(&w.pp("in_proj"), x, inner, false)?;
        let xz = self.conv1d(g, w, xz, half)?;
        let x_dbl = g.linear(&w.pp("x_proj"), xz.channels(0..half), rank + 2 * states, false)?;
        let dt_proj = w.pp("dt_proj");
        let delta = g.linear(&dt_proj, x_dbl.channels(0..rank), half, true)?;

        let a_log = w.get("A_log", &[half, states])?;
        let a = Recipe::NegExp(a_log).tensor([half, states])?;
        let a = g.constant(format!("-exp({})", w.path("A_log")), a);
        let d = g.weight(w, "D", &[half])?;
        let delta_bias = g.weight(&dt_proj, "bias", &[half])?;
        let bc = x_dbl.channels(rank..rank + 2 * states);
        let inputs = [xz.into(), delta.into(), bc, a.into(), d.into(), delta_bias.into()];
        let yz = g.op(w.path("scan.y"), SelectiveScan::default(), inputs)?;
        g.linear(&w.pp("out_proj"), yz, channels, false)
    }

    /// The depthwise convolutions of both branches and their SiLU as one.
    fn conv1d(&self, g: &mut Builder, w: &Reader, xz: Value, half: usize) -> Result<Value> {
        let (shape, k) = (g.shape(xz).dims().to_vec(), self.d_conv);
        let halves = vec![w.get("conv1d_x.weight", &[half, 1, k])?, w.get("conv1d_z.weight", &[half, 1, k])?];
        let name = format!("{} + conv1d_z.weight", w.path("conv1d_x.weight"));
        let taps = g.constant(name, Recipe::Concat(halves).tensor([2 * half, 1, 1, k])?);
        let &[b, l, c] = shape.as_slice() else {
            return Err(Error::Shape {
                op: "conv1d",
                node: w.path("conv1d_x"),
                reason: format!("needs (B, L, C), found {shape:?}"),
            });
        };
        let rows = g.reshape(xz, [b, 1, l, c])?;
        let conv = DepthwiseConv2d::same([1, k], 1, Epilogue::default());
        let rows = g.op(w.path("conv1d"), conv, vec![rows, taps])?;
        let rows = g.activation(w.path("scan.u"), rows, Act::Silu)?;
        g.reshape(rows, [b, l, c])
    }

    fn attention(&self, g: &mut Builder, w: &Reader, x: Value, heads: usize) -> Result<Value> {
        let channels = g.shape(x).last();
        let qkv = g.linear(&w.pp("qkv"), x, 3 * channels, self.qkv_bias)?;
        let h = g.op(w.path("attn"), Attention { heads }, vec![qkv])?;
        g.linear(&w.pp("proj"), h, channels, true)
    }
}
