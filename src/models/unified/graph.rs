//! The layers of the family between linear attention and Mamba.

use super::{Block, Unified};
use crate::{
    error::{Error, Result},
    graph::{Builder, Layout, Value},
    models::{
        Backbone,
        mila::{conv_stem, patch_merging, tokens},
    },
    ops::{Act, Activation, Add, Epilogue, Gates, Linear, LinearAttention, Mul, Rope, Scale, SelectiveScan, rope_tables},
    packed::Recipe,
    weights::Reader,
};

const NORM_EPS: f32 = 1e-5;

impl Unified {
    pub(super) fn graph(&self, g: &mut Builder, w: &Reader) -> Result<Backbone> {
        let input = g.input();
        let [_, height, width, _] = g.image_dims(input);
        if self.ape && [height, width] != self.image_size {
            let [h, w] = self.image_size;
            let reason = format!("its positions (`ape`) are for images of {h} x {w}, not {height} x {width}");
            return Err(Error::config("a model between linear attention and Mamba", reason));
        }
        let embed = w.pp("patch_embed");
        let mut image = if self.conv_stem {
            conv_stem(g, &embed, self.embed_dim)?
        } else {
            let x = g.patches(&embed.pp("proj"), input, self.embed_dim, 4, 4, false)?;
            g.layer_norm(&embed.pp("norm"), x, NORM_EPS)?
        };
        let stem = tokens(g, image)?;
        g.output("stem", stem, Layout::Plain);
        let mut maps = Vec::with_capacity(self.depths.len());
        for (stage, depth) in self.depths.iter().enumerate() {
            let layer = w.pp("layers").pp(stage);
            for i in 0..*depth {
                image = self.block(g, &layer.pp("blocks").pp(i), image, stage)?;
            }
            maps.push(image);
            if stage + 1 < self.depths.len() {
                let down = layer.pp("downsample");
                image = if self.conv_downsample {
                    patch_merging(g, &down.pp("conv"), image, self.channels(stage + 1))?
                } else {
                    g.merge_patches(&down, image, self.channels(stage + 1))?
                };
            }
            let stage_tokens = tokens(g, image)?;
            g.output(format!("stage{stage}"), stage_tokens, Layout::Plain);
        }
        let x = g.layer_norm(&w.pp("norm"), image, NORM_EPS)?;
        Backbone::mean(g, maps, x)
    }

    /// One block on a map `(B, H, W, C)`.
    fn block(&self, g: &mut Builder, w: &Reader, x: Value, stage: usize) -> Result<Value> {
        let (c, inner) = (self.channels(stage), self.inner(stage));
        let name = w.path("");
        let name = name.trim_end_matches('.');
        let mut x = x;
        if self.ape {
            let [_, height, width, _] = g.image_dims(x);
            let positions = w.get("ape", &[1, height * width, c])?.reshape([1, height, width, c])?;
            let positions = g.constant(w.path("ape"), positions);
            x = g.op(w.path("ape_sum"), Add, vec![x, positions])?;
        }
        x = self.surroundings(g, w, "cpe1", x)?;
        let h = g.layer_norm(&w.pp("norm1"), x, NORM_EPS)?;
        let h = if self.block == Block::Transformer {
            self.attention(g, &w.pp("attn"), h, stage)?
        } else {
            let gate = g.linear(&w.pp("act_proj"), h, inner, true)?;
            let gate = g.activation(w.path("act#0"), gate, Act::Silu)?;
            let h = g.linear(&w.pp("in_proj"), h, inner, true)?;
            let h = g.depthwise3(&w.pp("dwc"), h, 1)?;
            let u = g.activation(w.path("act#1"), h, Act::Silu)?;
            let h = self.attention(g, &w.pp("attn"), u, stage)?;
            g.op(w.path("gated"), Mul, vec![h, gate])?
        };
        let h = g.linear(&w.pp("out_proj"), h, c, true)?;
        if self.block == Block::Mamba {
            return g.op(name, Add, vec![x, h]);
        }
        x = g.op(w.path("attn_sum"), Add, vec![x, h])?;
        x = self.surroundings(g, w, "cpe2", x)?;
        let hidden = (c as f64 * self.mlp_ratio) as usize;
        let h = g.layer_norm(&w.pp("norm2"), x, NORM_EPS)?;
        let h = g.linear(&w.pp("mlp.fc1"), h, hidden, true)?;
        let h = g.activation(w.path("mlp.act"), h, Act::Gelu)?;
        let h = g.linear(&w.pp("mlp.fc2"), h, c, true)?;
        g.op(name, Add, vec![x, h])
    }

    /// The conditional position encoding `cpe1` or `cpe2`, where there is one.
    fn surroundings(&self, g: &mut Builder, w: &Reader, name: &str, x: Value) -> Result<Value> {
        if !self.cpe {
            return Ok(x);
        }
        let h = g.depthwise3(&w.pp(name), x, 1)?;
        g.op(w.path(&format!("{name}_sum")), Add, vec![x, h])
    }

    /// The attention on a map `(B, H, W, I)`: a scan where the order of the tokens counts, else sums over all of them.
    fn attention(&self, g: &mut Builder, w: &Reader, u: Value, stage: usize) -> Result<Value> {
        let inner = self.inner(stage);
        let [b, height, width, _] = g.image_dims(u);
        let map = [b, height, width, inner];
        let values = if self.block == Block::Transformer { g.linear(&w.pp("v"), u, inner, true)? } else { u };
        let v = tokens(g, values)?;
        let mut y = if self.causal { self.scan(g, w, u, v, stage)? } else { self.sums(g, w, u, v, stage)? };
        y = g.reshape(y, map)?;
        if self.lepe {
            let lepe = g.depthwise3(&w.pp("lepe"), values, 1)?;
            y = g.op(w.path("lepe_sum"), Add, vec![y, lepe])?;
        }
        Ok(y)
    }

    /// Queries and keys of the map as tokens, and rotated where they are; keys first for a scan, as Mamba has B and C.
    fn queries(&self, g: &mut Builder, w: &Reader, u: Value, stage: usize) -> Result<[Value; 2]> {
        let (inner, keys) = (self.inner(stage), self.groups(stage) * self.query(stage));
        let [b, height, width, _] = g.image_dims(u);
        let qk = w.pp("qk");
        let mut inputs = vec![u];
        for (key, row) in [("weight", vec![inner]), ("bias", vec![])].into_iter().take(1 + usize::from(self.qkv_bias)) {
            let shape = [vec![2 * keys], row].concat();
            if !self.causal {
                inputs.push(g.weight(&qk, key, &shape)?);
                continue;
            }
            let of = qk.get(key, &shape)?;
            let turned = Recipe::Concat(vec![of.rows(keys, keys)?, of.rows(0, keys)?]).tensor(shape)?;
            inputs.push(g.constant(format!("{}, keys first", qk.path(key)), turned));
        }
        let mut x = g.op(w.path("qk"), Linear { epilogue: Epilogue::biased(self.qkv_bias) }, inputs)?;
        if self.elu {
            x = g.activation(w.path("elu"), x, Act::EluPlusOne)?;
        }
        x = g.reshape(x, [b, height * width, 2 * keys])?;
        if !self.rope {
            return Ok([x, x]);
        }
        let [rows, columns] = rope_tables(height, width, keys, self.rope_base as f32)?;
        // Named by what they depend on: all blocks of a stage share one pair.
        let rows = g.constant(format!("rope rows {height} x {keys}"), rows);
        let columns = g.constant(format!("rope columns {width} x {keys}"), columns);
        let rotated = g.op(w.path("rope"), Rope { parts: 2 }, vec![x, rows, columns])?;
        Ok([x, rotated])
    }

    /// The low rank from which step sizes are made, of every token.
    fn steps(&self, g: &mut Builder, w: &Reader, u: Value, stage: usize) -> Result<Value> {
        let x = g.linear(&w.pp("dt_in"), u, self.rank(stage), false)?;
        tokens(g, x)
    }

    /// Every token sees all tokens.
    fn sums(&self, g: &mut Builder, w: &Reader, u: Value, v: Value, stage: usize) -> Result<Value> {
        let inner = self.inner(stage);
        let mut gated = v;
        if self.input_gate {
            let steps = self.steps(g, w, u, stage)?;
            let raw = g.linear(&w.pp("dt_proj"), steps, inner, true)?;
            let delta = g.op(w.path("delta"), Activation(Act::Softplus), vec![raw])?;
            gated = g.op(w.path("input"), Mul, vec![delta, v])?;
        }
        let [qk, rotated] = self.queries(g, w, u, stage)?;
        let op = LinearAttention { heads: self.groups(stage), fused_rope: false, normalised: self.normalization };
        let y = g.op(w.path("linear_attention"), op, vec![qk, gated, rotated])?;
        if !self.shortcut {
            return Ok(y);
        }
        let factors = g.weight(w, "D", &[inner])?;
        let shortcut = g.op(w.path("shortcut"), Scale, vec![v, factors])?;
        g.op(w.path("shortcut_sum"), Add, vec![y, shortcut])
    }

    /// Every token sees itself and those before it, row by row.
    fn scan(&self, g: &mut Builder, w: &Reader, u: Value, v: Value, stage: usize) -> Result<Value> {
        let (inner, states) = (self.inner(stage), self.query(stage));
        let [qk, rotated] = self.queries(g, w, u, stage)?;
        let gates = Gates {
            groups: self.groups(stage),
            input: self.input_gate,
            forget: self.forget_gate,
            shortcut: self.shortcut,
            normalised: self.normalization,
            rotated: self.rope && self.normalization,
        };
        let (dt_proj, gated) = (w.pp("dt_proj"), self.input_gate || self.forget_gate);
        let mut inputs = vec![v];
        if gated {
            let steps = self.steps(g, w, u, stage)?;
            inputs.push(g.linear(&dt_proj, steps, inner, false)?);
        }
        inputs.push(if gates.rotated { qk } else { rotated });
        if self.forget_gate {
            let a = Recipe::NegExp(w.get("A_log", &[inner, states])?).tensor([inner, states])?;
            inputs.push(g.constant(format!("-exp({})", w.path("A_log")), a));
        }
        if self.shortcut {
            inputs.push(g.weight(w, "D", &[inner])?);
        }
        if gated {
            inputs.push(g.weight(&dt_proj, "bias", &[inner])?);
        }
        if gates.rotated {
            inputs.push(rotated);
        }
        g.op(w.path("scan"), SelectiveScan { gates, ..SelectiveScan::default() }, inputs)
    }
}
