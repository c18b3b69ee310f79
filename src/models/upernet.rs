//! UPerNet (Xiao et al., ECCV 2018): a class for every pixel from the maps of four stages. Pooled pyramids of the last map, a path from the
//! coarse maps down to the fine ones, and all of them fused.
//!
//! What upstream does to maps side by side is done to each of them, and summed: the wide map is never made.

use crate::{
    error::{Error, Result},
    graph::{Builder, Layout, Value},
    models::{
        foreign,
        head::{Found, Head},
    },
    ops::{Act, AdaptiveAvgPool, Add, Conv2d, Epilogue, Resize},
    packed::Recipe,
    weights::{Entry, Reader},
};

const NORM_EPS: f32 = 1e-5;

/// Bins of the pyramid's levels, down and across.
const POOLS: [usize; 4] = [1, 2, 3, 6];

/// Where the head lies in a checkpoint, and its last layer, which tells of its sizes.
const PATH: &str = "decode_head";
const LOGITS: &str = "decode_head.conv_seg.weight";

/// Adds the output `logits` `(B, classes, h, w)` of the size of the first of four `maps` `(B, H, W, C)`, with `channels` in between.
///
/// # Errors
/// [`Error::Config`] when there are not four maps.
pub(super) fn build(g: &mut Builder, r: &Reader, maps: &[Value], channels: usize, classes: usize) -> Result<()> {
    let &[_, _, _, last] = maps else {
        return Err(Error::config("UPerNet", "it takes the maps of four stages, which this family does not have"));
    };
    let r = r.pp(PATH);
    let mut pyramid = vec![last];
    for (i, bins) in POOLS.into_iter().enumerate() {
        let level = r.pp("psp_modules").pp(i);
        let pooled = g.op(level.path("0"), AdaptiveAvgPool { size: [bins; 2] }, vec![last])?;
        pyramid.push(fused(g, &level.pp(1), &[pooled], channels, 1)?);
    }
    let mut above = fused(g, &r.pp("bottleneck"), &pyramid, channels, 3)?;
    let mut fine = vec![above];
    for k in (0..3).rev() {
        let lateral = fused(g, &r.pp("lateral_convs").pp(k), &maps[k..=k], channels, 1)?;
        let [_, height, width, _] = g.image_dims(lateral);
        let name = r.path(&format!("top_down.{k}"));
        above = resized(g, &format!("{name}.resized"), above, [height, width])?;
        above = g.op(name, Add, vec![lateral, above])?;
        fine.insert(0, fused(g, &r.pp("fpn_convs").pp(k), &[above], channels, 3)?);
    }
    let x = fused(g, &r.pp("fpn_bottleneck"), &fine, channels, 3)?;
    let logits = g.conv2d(&r.pp("conv_seg"), x, classes, 1, 1, true)?;
    g.output("logits", logits, Layout::Nchw);
    Ok(())
}

/// Convolution without bias, batch norm and ReLU over maps side by side, resized to the first of them.
fn fused(g: &mut Builder, w: &Reader, maps: &[Value], n: usize, kernel: usize) -> Result<Value> {
    let conv = w.pp("conv");
    let widths: Vec<usize> = maps.iter().map(|map| g.shape(*map).last()).collect();
    let whole = conv.get("weight", &[n, widths.iter().sum(), kernel, kernel])?;
    let [_, height, width, _] = g.image_dims(maps[0]);
    let (mut first, mut sum) = (0, None);
    for (i, (map, count)) in maps.iter().zip(widths).enumerate() {
        let x = resized(g, &conv.path(&format!("resized.{i}")), *map, [height, width])?;
        let part = Recipe::Columns { of: whole.clone(), first, count };
        let part = if maps.len() == 1 { whole.clone() } else { part.tensor([n, count, kernel, kernel])? };
        let part = g.constant(format!("{}[:, {first}..{}]", conv.path("weight"), first + count), part);
        let conv2d = Conv2d { stride: 1, padding: kernel / 2, epilogue: Epilogue::default() };
        let y = g.op(conv.path(&i.to_string()), conv2d, vec![x, part])?;
        sum = Some(match sum {
            Some(sum) => g.op(conv.path("sum"), Add, vec![sum, y])?,
            None => y,
        });
        first += count;
    }
    let x = g.batch_norm(&w.pp("bn"), sum.unwrap_or(maps[0]), NORM_EPS)?;
    g.activation(w.path("activate"), x, Act::Relu)
}

/// A map at another size; itself where it has that.
fn resized(g: &mut Builder, name: &str, x: Value, size: [usize; 2]) -> Result<Value> {
    let [_, height, width, _] = g.image_dims(x);
    if [height, width] == size { Ok(x) } else { g.op(name, Resize { size, nearest: false }, vec![x]) }
}

/// The head of the checkpoint called `name` among `entries`, the tensors that the backbone does not read.
///
/// # Errors
/// [`Error::Checkpoint`] when there is none.
pub(super) fn find<'a>(name: &str, entries: &[(&'a str, &'a Entry)]) -> Result<Found<'a>> {
    let last = entries.iter().find_map(|(key, entry)| Some((key.strip_suffix(LOGITS)?, entry.shape())));
    let Some((prefix, [classes, channels, ..])) = last.as_ref().map(|(prefix, shape)| (*prefix, shape.dims())) else {
        let keys: Vec<&str> = entries.iter().map(|(key, _)| *key).collect();
        let seems = foreign::named(&keys).map(|what| format!(" (its tensors look like those of {what})")).unwrap_or_default();
        let reason = format!("it has the norms of a dense model's backbone, but no `{LOGITS}`{seems}");
        return Err(Error::checkpoint(name, reason));
    };
    let path = format!("{prefix}{PATH}.");
    let own: Vec<&(&str, &Entry)> = entries.iter().filter(|(key, _)| key.starts_with(&path)).collect();
    Ok(Found {
        head: Head::UperNet { channels: *channels },
        classes: *classes,
        entries: own.iter().map(|(key, entry)| (key[prefix.len()..].to_owned(), (*entry).clone())).collect(),
        keys: own.iter().map(|(key, _)| *key).collect(),
        note: None,
        missing: None,
    })
}
