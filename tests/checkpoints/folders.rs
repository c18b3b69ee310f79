//! Folders as trainers and the hub leave them.

use std::{fs, path::Path};

use super::{
    common::pth_writer::{Node, write_tree},
    micro::Micro,
};
use serde_json::{Value, json};
use webmamba::{Model, ModelOptions, Weights, low_level::weights::write_safetensors};

/// A folder with the config of the micro model.
fn folder(micro: &Micro) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), micro.config(json!({}))).unwrap();
    folder
}

fn open(path: &Path) -> webmamba::Result<Model> {
    Model::open(path, &ModelOptions::default())
}

#[test]
fn one_checkpoint_is_found_among_what_trainers_write() {
    let micro = Micro::new();
    let state = Node::dict([("state_dict", Node::state("model.", &micro.tensors()))]);
    for name in
        ["epoch=3-val_acc=0.91.ckpt", "model.pth", "last.pt", "pytorch_model.bin", "weights.bin", "best.pth.tar", "MODEL.PTH"]
    {
        let folder = folder(&micro);
        write_tree(&folder.path().join(name), &state);
        for other in [
            "optimizer.pt",
            "scheduler.pt",
            "optimizer.bin",
            "rng_state.pth",
            "scaler.pt",
            "training_args.bin",
            "random_states_0.pkl",
            "trainer_state.json",
        ] {
            fs::write(folder.path().join(other), b"not a checkpoint").unwrap();
        }
        micro.same(&open(folder.path()).unwrap_or_else(|error| panic!("{name}: {error}")), name);
        micro.same(&open(&folder.path().join(name)).unwrap(), name);
    }
    let folder = folder(&micro);
    for name in ["best.ckpt", "last.ckpt"] {
        write_tree(&folder.path().join(name), &state);
    }
    let error = open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("several") && error.contains("best.ckpt, last.ckpt"), "{error}");
}

#[test]
fn shards_of_either_format_are_joined() {
    let micro = Micro::new();
    let tensors = micro.tensors();
    let parts = [&tensors[..tensors.len() / 2], &tensors[tensors.len() / 2..]];
    for (index, end) in [("pytorch_model.bin.index.json", "bin"), ("model.safetensors.index.json", "safetensors")] {
        let folder = folder(&micro);
        let mut map = serde_json::Map::new();
        for (i, part) in parts.iter().enumerate() {
            let name = format!("shard-0000{i}-of-00002.{end}");
            map.extend(part.iter().map(|(key, _)| (key.clone(), Value::from(name.as_str()))));
            match end {
                "bin" => write_tree(&folder.path().join(&name), &Node::state("", part)),
                _ => {
                    write_safetensors(&Weights::from_tensors("part", part.to_vec()), &folder.path().join(&name), None, |_, _| {})
                        .unwrap()
                }
            }
        }
        fs::write(folder.path().join(index), json!({"metadata": {"total_size": 1}, "weight_map": map}).to_string()).unwrap();
        micro.same(&open(folder.path()).unwrap(), index);
    }
}

#[test]
fn a_folder_of_the_hubs_cache_stands_for_its_snapshot() {
    let micro = Micro::new();
    let cache = tempfile::tempdir().unwrap();
    let model = cache.path().join("models--owner--name");
    let (old, new) = (model.join("snapshots/0123"), model.join("snapshots/4567"));
    for (snapshot, classes) in [(&old, 10), (&new, 1000)] {
        fs::create_dir_all(snapshot).unwrap();
        fs::write(snapshot.join("config.json"), micro.config(json!({"num_classes": classes}))).unwrap();
        let weights = Weights::from_tensors("micro", micro.tensors());
        write_safetensors(&weights, &snapshot.join("model.safetensors"), None, |_, _| {}).unwrap();
    }
    fs::create_dir_all(model.join("refs")).unwrap();
    let current = |commit: &str| fs::write(model.join("refs/main"), commit).unwrap();
    current("0123");
    assert!(open(&model).unwrap().assumptions.is_empty());
    current("4567\n");
    assert_eq!(open(&model).unwrap().assumptions.len(), 1);
    micro.same(&open(&model).unwrap(), "a snapshot");
    fs::remove_dir_all(model.join("refs")).unwrap();
    assert!(open(&model).unwrap_err().to_string().contains("no checkpoint"));
    fs::remove_dir_all(&new).unwrap();
    assert!(open(&model).unwrap().assumptions.is_empty());
}
