//! Checkpoints of models that are not run here: what they seem to be.

use crate::{
    error::{listed, quote},
    models::family::families,
    weights::Weights,
};

/// Families by keys that their checkpoints have, wherever these begin; all of a line.
const KNOWN: [(&str, &[&str]); 12] = [
    ("Mask R-CNN or another detector with a feature pyramid", &["rpn_head.rpn_cls.weight", "neck.lateral_convs.0.conv.weight"]),
    ("UPerNet (semantic segmentation) over another backbone", &["decode_head.psp_modules.0.1.conv.weight"]),
    ("a segmentation model of mmsegmentation", &["decode_head.conv_seg.weight"]),
    ("VideoMamba with patches that span several frames", &["temporal_pos_embedding", "layers.0.mixer.A_b_log"]),
    ("Mamba, a language model", &["layers.0.mixer.A_log"]),
    ("Swin Transformer", &["layers.0.blocks.0.attn.relative_position_bias_table"]),
    ("ConvNeXt", &["stages.0.blocks.0.conv_dw.weight"]),
    ("ConvNeXt, under its authors' names", &["stages.0.0.dwconv.weight"]),
    ("a vision transformer (ViT, DeiT)", &["blocks.0.attn.qkv.weight", "patch_embed.proj.weight"]),
    ("a vision transformer of Hugging Face", &["encoder.layer.0.attention.attention.query.weight"]),
    ("ResNet", &["layer1.0.conv1.weight", "layer4.0.conv1.weight"]),
    ("EfficientNet or MobileNet", &["conv_stem.weight", "blocks.0.0.conv_dw.weight"]),
];

/// The family whose keys these are, in words, if it is a known one: also of families that are not run here.
pub fn likely(weights: &Weights) -> Option<&'static str> {
    named(&weights.keys().collect::<Vec<_>>())
}

/// As [`likely`], of these keys.
pub(super) fn named(keys: &[&str]) -> Option<&'static str> {
    let has =
        |end: &&str| keys.iter().any(|key| key.strip_suffix(*end).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    KNOWN.iter().find(|(_, keys)| keys.iter().all(&has)).map(|(family, _)| *family)
}

/// Why `weights` are not recognised.
pub(super) fn reason(weights: &Weights) -> String {
    let names: Vec<&str> = families().map(|family| family.name).collect();
    let names = names.join(" or ");
    let keys: Vec<String> = weights.keys().map(quote).collect();
    let keys = listed(&keys);
    match likely(weights) {
        Some(family) => format!("its tensors look like those of {family}, not of {names} (its keys are {keys})"),
        None => format!("its tensors are not those of {names} (its keys are {keys})"),
    }
}
