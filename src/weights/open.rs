//! From a path or bytes to entries: which file of a folder, and which format.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{element::Entry, pickle::quote, prefix, pth, safetensors};
use crate::{
    error::{Error, Result},
    platform,
    tensor::Bytes,
};

/// The entries of a checkpoint, and the files they came from.
pub(super) type Found = (Vec<(String, Entry)>, Vec<PathBuf>);

const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";

/// What stands at `path`: a file or a folder.
pub(super) fn path(path: &Path) -> Result<Found> {
    if !path.is_dir() {
        return file(path);
    }
    if path.join(INDEX).is_file() {
        return shards(path);
    }
    if path.join(SINGLE).is_file() {
        return file(&path.join(SINGLE));
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
            Err(Error::checkpoint(path.display(), format!("there is no checkpoint in it (*.safetensors, *.pth, *.pt): {shown}")))
        }
        many => {
            let list = many.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
            Err(Error::checkpoint(path.display(), format!("the folder has several checkpoints, name one of them: {list}")))
        }
    }
}

fn is_checkpoint(name: &str) -> bool {
    [".safetensors", ".pth", ".pth.tar", ".pt"].iter().any(|end| name.ends_with(end)) || name == "pytorch_model.bin"
}

fn file(path: &Path) -> Result<Found> {
    let name = path.display().to_string();
    let entries = bytes(&name, &platform::map_file(path)?)?;
    Ok((stripped(&name, entries)?, vec![path.to_owned()]))
}

/// Takes the common prefixes away from the keys of the checkpoint called `name`.
pub(super) fn stripped(name: &str, entries: Vec<(String, Entry)>) -> Result<Vec<(String, Entry)>> {
    prefix::strip(entries).map_err(|reason| Error::checkpoint(name, reason))
}

/// The entries of one file, whose format shows in its first bytes.
pub(super) fn bytes(name: &str, bytes: &Bytes) -> Result<Vec<(String, Entry)>> {
    let file = bytes.as_slice();
    let entries = match file {
        [] => Err("the file is empty".into()),
        [_, _, _, _, _, _, _, _, b'{', ..] => safetensors::load(bytes),
        [b'P', b'K', 3, 4, ..] => pth::load_zip(bytes),
        [0x80, 1..=5, ..] => pth::load_stream(bytes),
        _ => Err(foreign(file)),
    };
    let entries = entries.map_err(|reason| Error::checkpoint(name, reason))?;
    if entries.is_empty() {
        return Err(Error::checkpoint(name, "there are no tensors in it"));
    }
    Ok(entries)
}

/// What a file is that is no checkpoint, as far as that can be told.
fn foreign(file: &[u8]) -> String {
    let head = String::from_utf8_lossy(file.get(..256).unwrap_or(file)).trim_start().to_lowercase();
    if head.starts_with("version https://git-lfs") {
        "it is a Git LFS pointer, not the file itself; fetch it with `git lfs pull`".into()
    } else if head.starts_with("<!doctype") || head.starts_with("<html") {
        "it is a web page, not a checkpoint: the download went wrong".into()
    } else if file.get(257..262) == Some(b"ustar") {
        "it is a tar archive; unpack it, or save the checkpoint again with a recent torch".into()
    } else {
        "it is neither safetensors nor a file of torch.save".into()
    }
}

/// The files that the index in `folder` lists.
fn shards(folder: &Path) -> Result<Found> {
    let index_path = folder.join(INDEX);
    let bad = |reason: String| Error::checkpoint(index_path.display(), reason);
    let text = fs::read(&index_path).map_err(|source| Error::io(&index_path, source))?;
    let index: Value = serde_json::from_slice(&text).map_err(|error| bad(format!("it is not JSON: {error}")))?;
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
    let mut entries = Vec::new();
    let mut files = Vec::new();
    let mut owner: HashMap<String, &str> = HashMap::new();
    for (shard, keys) in wanted {
        let path = folder.join(shard);
        let part = bytes(&path.display().to_string(), &platform::map_file(&path)?)?;
        let present: HashSet<&str> = part.iter().map(|(key, _)| key.as_str()).collect();
        if let Some(key) = keys.iter().find(|key| !present.contains(*key)) {
            return Err(bad(format!("{} should be in {shard}, but is not", quote(key))));
        }
        for (key, _) in &part {
            if let Some(other) = owner.insert(key.clone(), shard) {
                return Err(bad(format!("{} is in {other} and in {shard}", quote(key))));
            }
        }
        entries.extend(part);
        files.push(path);
    }
    if entries.is_empty() {
        return Err(bad("it lists no tensors".into()));
    }
    Ok((stripped(&folder.display().to_string(), entries)?, files))
}
