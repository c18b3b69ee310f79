//! The layers of Vim and of VideoMamba.

use super::{Form, Vim, mixer::Mixer};
use crate::{
    error::{Error, Result},
    graph::{Builder, Layout, Value},
    models::Backbone,
    ops::{Add, EmbedTokens, TakeToken},
    weights::Reader,
};

const NORM_EPS: f32 = 1e-5;

/// Keys of variants that the code of the authors has, but no published file, and what they are.
const REFUSED: [(&str, &str); 4] = [
    ("rope.freqs_cos", "rotary embedding"),
    ("cls_token_head", "two class tokens"),
    ("layers.0.mixer.gamma", "layer scale"),
    ("layers.0.norm.bias", "layer norms"),
];

impl Vim {
    pub(in crate::models) fn graph(&self, g: &mut Builder, w: &Reader, form: Form) -> Result<Backbone> {
        if let Some((key, what)) = REFUSED.iter().find(|(key, _)| w.contains(key)) {
            return Err(Error::config("Vim", format!("`{key}` is of a variant with {what}, which is not run here")));
        }
        let x = g.input();
        let x = g.patches(&w.pp("patch_embed.proj"), x, self.embed_dim, self.patch_size, self.stride, form.frames.is_some())?;
        let [images, rows, columns, channels] = g.image_dims(x);
        let at = if form.middle { rows * columns / 2 } else { 0 };
        let x = g.reshape(x, [images, rows * columns, channels])?;
        let class = g.weight(w, "cls_token", &[1, 1, channels])?;
        let mut inputs = vec![x, class, g.weight(w, "pos_embed", &[1, self.positions, channels])?];
        if let Some(frames) = form.frames {
            inputs.push(g.weight(w, "temporal_pos_embedding", &[1, frames, channels])?);
        }
        let tokens = g.op("layers.0.residual", EmbedTokens { at, frames: form.frames.unwrap_or(1) }, inputs)?;
        g.output("stem", tokens, Layout::Plain);
        let last = layers(g, w, tokens, self.depth, self.mixer(form))?;
        let token = g.op("token", TakeToken { at }, vec![last])?;
        let pooled = g.rms_norm(&w.pp("norm_f"), token, NORM_EPS)?;
        Ok(Backbone { maps: Vec::new(), pooled_map: None, pooled: Some(pooled) })
    }
}

/// The layers over a running sum of what they give; four outputs `stage0`, .. after as many layers each, or after every layer of a
/// shallower model.
fn layers(g: &mut Builder, w: &Reader, tokens: Value, depth: usize, mixer: Mixer) -> Result<Value> {
    let (mut residual, stages) = (tokens, depth.min(4));
    for i in 0..depth {
        let layer = w.pp("layers").pp(i);
        let h = g.rms_norm(&layer.pp("norm"), residual, NORM_EPS)?;
        let h = mixer.build(g, &layer.pp("mixer"), h)?;
        residual = g.op(w.path(&format!("layers.{}.residual", i + 1)), Add, vec![residual, h])?;
        let stage = (0..stages).find(|stage| (stage + 1) * depth / stages == i + 1);
        if let Some(stage) = stage {
            g.output(format!("stage{stage}"), residual, Layout::Plain);
        }
    }
    Ok(residual)
}
