//! The layers of MambaOut.

use super::MambaOut;
use crate::{
    error::Result,
    graph::{Builder, Layout, Value},
    models::Backbone,
    ops::{Act, DepthwiseConv2d, Epilogue, GlobalAvgPool, Mul},
    packed::Recipe,
    tensor::Tensor,
    weights::Reader,
};

const NORM_EPS: f32 = 1e-6;

impl MambaOut {
    pub(super) fn graph(&self, g: &mut Builder, w: &Reader) -> Result<Backbone> {
        let mut x = self.stem(g, &w.pp("stem"))?;
        g.output("stem", x, Layout::Plain);
        let mut maps = Vec::with_capacity(4);
        for stage in 0..4 {
            let layers = w.pp("stages").pp(stage);
            if stage > 0 {
                x = self.downsample(g, &layers.pp("downsample"), x, self.dims[stage])?;
            }
            for i in 0..self.depths[stage] {
                x = self.block(g, &layers.pp("blocks").pp(i), x, stage)?;
            }
            maps.push(x);
            g.output(format!("stage{stage}"), x, Layout::Plain);
        }
        let pooled = self.head(g, &w.pp("head"), x)?;
        Ok(Backbone { maps, pooled_map: None, pooled: Some(pooled) })
    }

    /// Two convolutions of stride 2, the first to half the channels.
    fn stem(&self, g: &mut Builder, w: &Reader) -> Result<Value> {
        let x = g.input();
        let mut x = g.conv2d(&w.pp("conv1"), x, self.dims[0] / 2, 3, 2, true)?;
        if !self.rw {
            x = g.layer_norm(&w.pp("norm1"), x, NORM_EPS)?;
        }
        let x = g.activation(w.path("act"), x, self.act)?;
        let x = g.conv2d(&w.pp("conv2"), x, self.dims[0], 3, 2, true)?;
        g.layer_norm(&w.pp("norm2"), x, NORM_EPS)
    }

    /// A convolution of stride 2, the norm behind it or, in the "rw" form, before it.
    fn downsample(&self, g: &mut Builder, w: &Reader, x: Value, channels: usize) -> Result<Value> {
        let x = if self.rw { g.layer_norm(&w.pp("norm"), x, NORM_EPS)? } else { x };
        let x = g.conv2d(&w.pp("conv"), x, channels, 3, 2, true)?;
        if self.rw { Ok(x) } else { g.layer_norm(&w.pp("norm"), x, NORM_EPS) }
    }

    /// The gated convolution: `fc1` makes a gate and as many values, of which the last ones are convolved.
    fn block(&self, g: &mut Builder, w: &Reader, x: Value, stage: usize) -> Result<Value> {
        let (channels, hidden, convolved) = (self.dims[stage], self.hidden[stage], self.convolved[stage]);
        let h = g.layer_norm(&w.pp("norm"), x, NORM_EPS)?;
        let gate = g.linear_part(&w.pp("fc1"), "gate", h, 2 * hidden, [0, hidden], true)?;
        let gate = g.activation(w.path("act"), gate, self.act)?;
        let h = g.linear_part(&w.pp("fc1"), "values", h, 2 * hidden, [hidden, hidden], true)?;

        let (conv, passed) = (w.pp("conv"), hidden - convolved);
        let taps = g.weight(&conv, "weight", &[convolved, 1, 7, 7])?;
        let bias = vec![Tensor::from_f32([passed], vec![0.0; passed])?, conv.get("bias", &[convolved])?];
        let bias = g.constant(format!("{passed} zeros + {}", conv.path("bias")), Recipe::Concat(bias).tensor([hidden])?);
        let op = DepthwiseConv2d { passed, ..DepthwiseConv2d::same([7, 7], 1, Epilogue::biased(true)) };
        let h = g.op(w.path("conv"), op, vec![h, taps, bias])?;

        let h = g.op(w.path("gated"), Mul, vec![h, gate])?;
        let h = g.linear(&w.pp("fc2"), h, channels, true)?;
        let scale = w.pp("ls");
        g.residual(w.path("").trim_end_matches('.'), x, h, self.rw.then_some((&scale, "gamma")))
    }

    /// Mean over positions, norm, and a hidden layer, whose activation is GELU whatever that of the blocks is.
    fn head(&self, g: &mut Builder, w: &Reader, x: Value) -> Result<Value> {
        let x = g.op(w.path("global_pool"), GlobalAvgPool, vec![x])?;
        let x = g.layer_norm(&w.pp("norm"), x, NORM_EPS)?;
        let (w, channels) = (w.pp("pre_logits"), self.dims[3]);
        let x = g.linear(&w.pp("fc"), x, 4 * channels, true)?;
        let x = g.activation(w.path("act"), x, Act::Gelu)?;
        if self.rw { Ok(x) } else { g.layer_norm(&w.pp("norm"), x, NORM_EPS) }
    }
}
