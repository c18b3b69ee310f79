//! The layers of MILA.

use super::Mila;
use crate::{
    error::Result,
    graph::{Builder, Layout, Value},
    models::Backbone,
    ops::{Act, Add, LinearAttention, Mul, Rope, rope_tables},
    weights::Reader,
};

const NORM_EPS: f32 = 1e-5;
const ROPE_BASE: f32 = 10_000.0;

impl Mila {
    pub(super) fn graph(&self, g: &mut Builder, w: &Reader) -> Result<Backbone> {
        let maps = self.stages(g, w)?;
        let x = g.layer_norm(&w.pp("norm"), maps[3], NORM_EPS)?;
        Backbone::mean(g, maps, x)
    }

    /// The maps of the four stages.
    pub(super) fn stages(&self, g: &mut Builder, w: &Reader) -> Result<Vec<Value>> {
        let mut image = conv_stem(g, &w.pp("patch_embed"), self.embed_dim)?;
        let stem = tokens(g, image)?;
        g.output("stem", stem, Layout::Plain);
        let mut maps = Vec::with_capacity(4);
        for stage in 0..4 {
            let layer = w.pp("layers").pp(stage);
            for i in 0..self.depths[stage] {
                image = self.block(g, &layer.pp("blocks").pp(i), image, stage)?;
            }
            maps.push(image);
            if stage < 3 {
                image = patch_merging(g, &layer.pp("downsample.conv"), image, self.channels(stage + 1))?;
            }
            let stage_tokens = tokens(g, image)?;
            g.output(format!("stage{stage}"), stage_tokens, Layout::Plain);
        }
        Ok(maps)
    }

    /// One block on an image-shaped value `(B, H, W, C)`: every token-wise layer sees the same bytes as `(B, L, C)`.
    fn block(&self, g: &mut Builder, w: &Reader, x: Value, stage: usize) -> Result<Value> {
        let [b, height, width, c] = g.image_dims(x);
        let hidden = (c as f64 * self.mlp_ratio) as usize;

        let h = g.depthwise3(&w.pp("cpe1"), x, 1)?;
        let x = g.op(w.path("cpe1_sum"), Add, vec![x, h])?;
        let h = g.layer_norm(&w.pp("norm1"), x, NORM_EPS)?;
        let gate = g.linear(&w.pp("act_proj"), h, c, true)?;
        let gate = g.activation(w.path("act#0"), gate, Act::Silu)?;
        let h = g.linear(&w.pp("in_proj"), h, c, true)?;
        let h = g.depthwise3(&w.pp("dwc"), h, 1)?;
        let v = g.activation(w.path("act#1"), h, Act::Silu)?;

        let attn = w.pp("attn");
        let qk = g.linear(&attn.pp("qk"), v, 2 * c, self.qkv_bias)?;
        let qk = g.activation(attn.path("elu"), qk, Act::EluPlusOne)?;
        let [rows, columns] = rope_tables(height, width, c, ROPE_BASE)?;
        // Named by what they depend on: all blocks of a stage share one pair.
        let rows = g.constant(format!("rope rows {height} x {c}"), rows);
        let columns = g.constant(format!("rope columns {width} x {c}"), columns);
        let (qk, v_tokens) = (g.reshape(qk, [b, height * width, 2 * c])?, tokens(g, v)?);
        let rotated = g.op(attn.path("rope"), Rope { parts: 2 }, vec![qk, rows, columns])?;
        let attention = LinearAttention { heads: self.num_heads[stage], fused_rope: false, normalised: true };
        let h = g.op(attn.path("linear_attention"), attention, vec![qk, v_tokens, rotated])?;
        let h = g.reshape(h, [b, height, width, c])?;
        let lepe = g.depthwise3(&attn.pp("lepe"), v, 1)?;
        let h = g.op(w.path("attn"), Add, vec![h, lepe])?;

        let h = g.op(w.path("gated"), Mul, vec![h, gate])?;
        let h = g.linear(&w.pp("out_proj"), h, c, true)?;
        let x = g.op(w.path("attn_sum"), Add, vec![x, h])?;
        let h = g.depthwise3(&w.pp("cpe2"), x, 1)?;
        let x = g.op(w.path("cpe2_sum"), Add, vec![x, h])?;
        let h = g.layer_norm(&w.pp("norm2"), x, NORM_EPS)?;
        let h = g.linear(&w.pp("mlp.fc1"), h, hidden, true)?;
        let h = g.activation(w.path("mlp.act"), h, Act::Gelu)?;
        let h = g.linear(&w.pp("mlp.fc2"), h, c, true)?;
        g.op(w.path("").trim_end_matches('.'), Add, vec![x, h])
    }
}

/// Convolution, batch norm and (not always) ReLU.
fn conv_norm(g: &mut Builder, w: &Reader, x: Value, conv: [usize; 3], act: bool) -> Result<Value> {
    let [channels, kernel, stride] = conv;
    let h = g.conv2d(&w.pp("conv"), x, channels, kernel, stride, false)?;
    let h = g.batch_norm(&w.pp("norm"), h, NORM_EPS)?;
    if act { g.activation(w.path("act"), h, Act::Relu) } else { Ok(h) }
}

/// Stride 2, a residual pair (without an activation after the sum), stride 2 to a wide layer, and down to `embed_dim`.
pub(in crate::models) fn conv_stem(g: &mut Builder, w: &Reader, embed_dim: usize) -> Result<Value> {
    let (half, wide) = (embed_dim / 2, embed_dim * 4);
    let x = g.input();
    let x = conv_norm(g, &w.pp("conv1"), x, [half, 3, 2], true)?;
    let h = conv_norm(g, &w.pp("conv2.0"), x, [half, 3, 1], true)?;
    let h = conv_norm(g, &w.pp("conv2.1"), h, [half, 3, 1], false)?;
    let x = g.op(w.path("sum"), Add, vec![x, h])?;
    let x = conv_norm(g, &w.pp("conv3.0"), x, [wide, 3, 2], true)?;
    conv_norm(g, &w.pp("conv3.1"), x, [embed_dim, 1, 1], false)
}

/// 1x1 up, depthwise stride 2, 1x1 down with batch norm; ReLU after the first two.
pub(in crate::models) fn patch_merging(g: &mut Builder, w: &Reader, x: Value, out: usize) -> Result<Value> {
    let wide = out * 4;
    let h = g.conv2d(&w.pp("0.conv"), x, wide, 1, 1, true)?;
    let h = g.activation(w.path("0.act"), h, Act::Relu)?;
    let h = g.depthwise3(&w.pp("1.conv"), h, 2)?;
    let h = g.activation(w.path("1.act"), h, Act::Relu)?;
    let h = g.conv2d(&w.pp("2.conv"), h, out, 1, 1, true)?;
    g.batch_norm(&w.pp("2.norm"), h, NORM_EPS)
}

/// `(B, H, W, C)` seen as `(B, L, C)`.
pub(in crate::models) fn tokens(g: &mut Builder, image: Value) -> Result<Value> {
    let [b, h, w, c] = g.image_dims(image);
    g.reshape(image, [b, h * w, c])
}
