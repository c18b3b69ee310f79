//! From a path or bytes to what is in them: which file of a folder, and which format.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

#[cfg(feature = "torch")]
use super::torch;
use super::{
    contents::Contents,
    safetensors::{self, SCALES},
};
use crate::{
    error::{Error, Result, quote},
    hub, platform,
    tensor::Bytes,
    text,
};

/// What a checkpoint holds, and the files that it came from.
pub(super) type Found = (Contents, Vec<PathBuf>);

/// In a folder these are looked for, in this order: lists of shards, then whole files.
const INDICES: [&str; 2] = ["model.safetensors.index.json", "pytorch_model.bin.index.json"];
const NAMES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];

/// Endings of checkpoints.
const ENDINGS: [&str; 6] = [".safetensors", ".pth", ".pth.tar", ".pt", ".ckpt", ".bin"];

/// Beginnings of what trainers write beside a checkpoint.
const TRAINERS: [&str; 7] = ["optimizer", "optim", "scheduler", "scaler", "rng_state", "random_states", "training_args"];

/// What stands at `path`: a file or a folder.
pub(super) fn path(path: &Path) -> Result<Found> {
    if !path.is_dir() {
        return file(path);
    }
    let path = &hub::folder(path);
    for (index, name) in INDICES.iter().zip(NAMES) {
        if path.join(index).is_file() {
            return shards(path, index);
        }
        if path.join(name).is_file() {
            return file(&path.join(name));
        }
    }
    let mut names = Vec::new();
    for item in fs::read_dir(path).map_err(|source| Error::io(path, source))? {
        names.push(item.map_err(|source| Error::io(path, source))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    let candidates: Vec<_> = names.iter().filter(|name| is_checkpoint(name)).collect();
    match candidates.as_slice() {
        [one] => file(&path.join(one)),
        [] => {
            let shown = match names.len() {
                0 => "the folder is empty".into(),
                n if n > 20 => format!("the folder has {} and {} more", names[..20].join(", "), n - 20),
                _ => format!("the folder has {}", names.join(", ")),
            };
            Err(Error::checkpoint(path.display(), format!("there is no checkpoint in it (*{}): {shown}", ENDINGS.join(", *"))))
        }
        many => {
            let list = many.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            Err(Error::checkpoint(path.display(), format!("the folder has several checkpoints, name one of them: {list}")))
        }
    }
}

fn is_checkpoint(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ENDINGS.iter().any(|end| name.ends_with(end)) && !TRAINERS.iter().any(|start| name.starts_with(start))
}

fn file(path: &Path) -> Result<Found> {
    let contents = bytes(&path.display().to_string(), &platform::map_file(path)?)?;
    Ok((contents, vec![path.to_owned()]))
}

/// What one file holds, whose format shows in its first bytes.
pub(super) fn bytes(name: &str, bytes: &Bytes) -> Result<Contents> {
    let file = bytes.as_slice();
    let contents = match file {
        [] => Err("the file is empty".into()),
        [_, _, _, _, _, _, _, _, b'{', ..] => safetensors::load(bytes).map(|entries| Contents::flat("safetensors", entries)),
        [b'P', b'K', 3, 4, ..] | [0x80, 1..=5, ..] => saved_by_torch(bytes),
        _ => Err(foreign(file)),
    };
    let contents = contents.map_err(|reason| Error::checkpoint(name, reason))?;
    if contents.entries.is_empty() {
        return Err(Error::checkpoint(name, "there are no tensors in it"));
    }
    Ok(contents)
}

#[cfg(feature = "torch")]
use torch::load as saved_by_torch;

#[cfg(not(feature = "torch"))]
fn saved_by_torch(_: &Bytes) -> std::result::Result<Contents, String> {
    Err("it is a file of torch.save, and this build reads safetensors only, as it was made without the feature `torch`".into())
}

/// What a file is that is no checkpoint, as far as that can be told.
fn foreign(file: &[u8]) -> String {
    let head = String::from_utf8_lossy(file.get(..256).unwrap_or(file)).trim_start().to_ascii_lowercase();
    let known = [
        ("version https://git-lfs", "it is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`"),
        ("<!doctype", "it is a web page, not a checkpoint: the download went wrong"),
        ("<html", "it is a web page, not a checkpoint: the download went wrong"),
        ("{", "it is JSON, not a checkpoint; name the weights beside it, or their folder"),
        ("\u{fffd}hdf", "it is HDF5 (Keras); only safetensors and files of torch.save are read"),
        ("gguf", "it is GGUF; only safetensors and files of torch.save are read"),
    ];
    if let Some((_, what)) = known.iter().find(|(start, _)| head.starts_with(start)) {
        (*what).into()
    } else if file.get(257..262) == Some(b"ustar") {
        "it is a tar archive; unpack it, or save the checkpoint again with a recent torch".into()
    } else if file.starts_with(&[0x1f, 0x8b]) {
        "it is compressed by gzip; unpack it".into()
    } else {
        "it is neither safetensors nor a file of torch.save".into()
    }
}

/// The files that the list `index` in `folder` names.
fn shards(folder: &Path, index: &str) -> Result<Found> {
    let index_path = folder.join(index);
    let bad = |reason: String| Error::checkpoint(index_path.display(), reason);
    let bytes_of_index = fs::read(&index_path).map_err(|source| Error::io(&index_path, source))?;
    let text = text::decode(&bytes_of_index).map_err(bad)?;
    let index: Value = serde_json::from_str(&text).map_err(|error| bad(format!("it is not JSON: {error}")))?;
    let map = index.get("weight_map").and_then(Value::as_object).ok_or_else(|| bad("there is no `weight_map` in it".into()))?;
    let mut wanted: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (key, shard) in map {
        // A name, not a path: an index must not lead out of its folder.
        match shard.as_str() {
            Some(name) if !name.is_empty() && name != ".." && !name.contains(['/', '\\', ':']) => {
                wanted.entry(name).or_default().push(key);
            }
            _ => return Err(bad(format!("the file of {} is not a plain name", quote(key)))),
        }
    }
    let absent: Vec<_> = wanted.keys().filter(|name| !folder.join(name).is_file()).copied().collect();
    if !absent.is_empty() {
        return Err(bad(format!("files that it lists are missing: {}", absent.join(", "))));
    }
    let mut all = Contents::default();
    let mut files = Vec::new();
    let mut owner: HashMap<String, &str> = HashMap::new();
    for (shard, keys) in wanted {
        let path = folder.join(shard);
        let mut part = bytes(&path.display().to_string(), &platform::map_file(&path)?)?;
        let present: HashSet<&str> = part.entries.iter().map(|(key, _)| key.as_str()).collect();
        // Scales are part of their tensor.
        let listed = |key: &str| present.contains(key) || key.strip_suffix(SCALES).is_some_and(|key| present.contains(key));
        if let Some(key) = keys.iter().find(|key| !listed(key)) {
            return Err(bad(format!("{} should be in {shard}, but is not", quote(key))));
        }
        for (key, _) in &part.entries {
            if let Some(other) = owner.insert(key.clone(), shard) {
                return Err(bad(format!("{} is in {other} and in {shard}", quote(key))));
            }
        }
        all.entries.append(&mut part.entries);
        all.about.beside.append(&mut part.about.beside);
        part.about.states.retain(|state| !all.about.states.contains(state));
        all.about.states.append(&mut part.about.states);
        all.about.container = part.about.container;
        files.push(path);
    }
    if all.entries.is_empty() {
        return Err(bad("it lists no tensors".into()));
    }
    Ok((all, files))
}
