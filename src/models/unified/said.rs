//! What a `config.json` says of a member of the family.

use serde_json::Value as Json;

use super::{Block, Unified};
use crate::models::{keys::said, processing};

type Said<T> = Result<T, String>;

/// One of two words, or what is usual.
fn either(config: &Json, key: &str, [no, yes]: [&str; 2], usual: bool) -> Said<bool> {
    match said::<&str>(config, key)? {
        None => Ok(usual),
        Some(word) if word == no => Ok(false),
        Some(word) if word == yes => Ok(true),
        Some(word) => Err(format!("{key} `{word}` is none of `{no}` and `{yes}`")),
    }
}

/// The sizes and switches, the baseline's where nothing is said.
///
/// # Errors
/// The key and what is wrong with it.
pub(super) fn sizes(config: &Json) -> Said<Unified> {
    let usual = Unified::default();
    let flag = |key: &str, usual: bool| said::<bool>(config, key).map(|said| said.unwrap_or(usual));
    let list = |key: &str| said::<Vec<usize>>(config, key);
    let block = match said::<&str>(config, "block")? {
        None | Some("transformer") => Block::Transformer,
        Some("mila") => Block::Mila,
        Some("mamba") => Block::Mamba,
        Some(word) => return Err(format!("block `{word}` is none of `transformer`, `mila` and `mamba`")),
    };
    let positions: Vec<&str> = said(config, "position")?.unwrap_or_default();
    if let Some(word) = positions.iter().find(|word| !["ape", "lepe", "cpe", "rope"].contains(word)) {
        return Err(format!("position `{word}` is none of `ape`, `lepe`, `cpe` and `rope`"));
    }
    let image_size = match config.get("image_size").filter(|size| !size.is_null()) {
        Some(size) => processing::size(size).ok_or("`image_size` is neither a number nor height and width")?,
        None => usual.image_size,
    };
    let forget_gate = flag("forget_gate", false)?;
    Ok(Unified {
        image_size,
        embed_dim: said(config, "embed_dim")?.unwrap_or(usual.embed_dim),
        depths: list("depths")?.unwrap_or(usual.depths),
        num_heads: list("num_heads")?.unwrap_or(usual.num_heads),
        mlp_ratio: said(config, "mlp_ratio")?.unwrap_or(usual.mlp_ratio),
        qkv_bias: flag("qkv_bias", true)?,
        conv_stem: either(config, "stem", ["patch", "conv"], false)?,
        conv_downsample: either(config, "downsample", ["merge", "conv"], false)?,
        block,
        expand: said(config, "expand")?.unwrap_or(if block == Block::Mamba { 2 } else { 1 }),
        input_gate: flag("input_gate", false)?,
        forget_gate,
        shortcut: flag("shortcut", false)?,
        normalization: flag("normalization", true)?,
        multi_head: flag("multi_head", true)?,
        head_dim: said(config, "head_dim")?,
        dt_rank: said(config, "dt_rank")?,
        elu: either(config, "feature_map", ["identity", "elu1"], true)?,
        causal: flag("causal", forget_gate)?,
        ape: positions.contains(&"ape"),
        lepe: positions.contains(&"lepe"),
        cpe: positions.contains(&"cpe"),
        rope: positions.contains(&"rope"),
        rope_base: said(config, "rope_base")?.unwrap_or(usual.rope_base),
    })
}
