//! Each family's own forms of checkpoints: configs, older names, and what tensors do not tell.

use std::path::Path;

use super::{
    common::{
        manifest::Manifest,
        pth_writer::{Node, write_tree},
    },
    logits_of,
};
use serde_json::{Value, json};
use webmamba::{
    Error, Model, ModelOptions, Result, Tensor, Weights,
    low_level::{
        image::{CropMode, Filter},
        models::{MambaOut, VMamba, Vim},
        ops::Act,
    },
};

type Tensors = Vec<(String, Tensor)>;

fn open(tensors: Tensors, config: Option<&Value>) -> Result<Model> {
    let config = config.map(Value::to_string);
    Model::new(Weights::from_tensors("checkpoint", tensors), config.as_deref(), &ModelOptions::default())
}

/// Holds the logits of the first case to be those of the official implementation, and the parameters to be as many.
fn holds(manifest: &Manifest, model: &Model) {
    let want = super::expected(manifest);
    assert!(super::rel_err(&logits_of(manifest, model), &want) < 1e-4, "{}", manifest.name);
    assert_eq!(model.parameter_count().unwrap(), manifest.params, "{}", manifest.name);
}

/// The tensors under other keys.
fn renamed(tensors: Tensors, name: impl Fn(&str) -> String) -> Tensors {
    tensors.into_iter().map(|(key, tensor)| (name(&key), tensor)).collect()
}

#[test]
fn mambaout_is_what_timm_writes_beside_it() {
    for (name, called, size, act) in [
        ("mambaout_femto", "mambaout_femto", 224, Act::Gelu),
        ("mambaout_micro", "mambaout", 224, Act::Gelu),
        ("mambaout_micro_rw", "mambaout", 160, Act::Silu),
    ] {
        let manifest = Manifest::load(name);
        let mut config = manifest.hf_config.clone().unwrap();
        let model = open(manifest.weights(), Some(&config)).unwrap();
        holds(&manifest, &model);
        assert_eq!((model.name.as_str(), model.preprocess.size), (called, [size, size]));
        assert_eq!(model.architecture.sizes::<MambaOut>().unwrap().act, act);
        assert!(model.licence == "apache-2.0" && model.preprocess.crop_pct == 1.0, "{}", model.licence);
        assert_eq!(model.assumptions, Vec::<String>::new(), "{name}");
        // Older exports say nothing of the sizes: the tensors show them.
        config.as_object_mut().unwrap().remove("model_args");
        holds(&manifest, &open(manifest.weights(), Some(&config)).unwrap());
    }
}

#[test]
fn mambaout_is_recognised_by_its_tensors() {
    let manifest = Manifest::load("mambaout_femto");
    let model = open(manifest.weights(), None).unwrap();
    holds(&manifest, &model);
    assert_eq!((model.name.as_str(), model.labels.get(281)), ("mambaout_femto", Some("tabby")));
    assert_eq!(model.assumptions, Vec::<String>::new());
    let prefixed = renamed(manifest.weights(), |key| format!("model.backbone.{key}"));
    assert_eq!(open(prefixed, None).unwrap().name, "mambaout_femto");
}

#[test]
fn mambaout_has_other_names_in_its_authors_files() {
    let manifest = Manifest::load("mambaout_micro");
    let name = |key: &str| {
        let parts: Vec<&str> = key.split('.').collect();
        match parts.as_slice() {
            ["stem", rest @ ..] => format!("downsample_layers.0.{}", rest.join(".")),
            ["stages", stage, "downsample", rest @ ..] => format!("downsample_layers.{stage}.{}", rest.join(".")),
            ["stages", stage, "blocks", rest @ ..] => format!("stages.{stage}.{}", rest.join(".")),
            ["head", "norm", end] => format!("norm.{end}"),
            ["head", "pre_logits", "fc", end] => format!("head.fc1.{end}"),
            ["head", "pre_logits", "norm", end] => format!("head.norm.{end}"),
            ["head", "fc", end] => format!("head.fc2.{end}"),
            _ => panic!("{key}"),
        }
    };
    let tensors = renamed(manifest.weights(), name);
    let model = open(tensors, None).unwrap();
    holds(&manifest, &model);
    assert_eq!((model.name.as_str(), model.assumptions.len()), ("mambaout", 0));
}

#[test]
fn the_activation_of_mambaout_is_not_guessed() {
    let manifest = Manifest::load("mambaout_micro_rw");
    match open(manifest.weights(), None) {
        Err(Error::Unrecognised { reason, .. }) => assert!(reason.contains("do not tell the activation"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let mut config = json!({"architecture": "mambaout_mine"});
    match open(manifest.weights(), Some(&config)) {
        Err(Error::Config { reason, .. }) => assert!(reason.contains("act_layer"), "{reason}"),
        other => panic!("{other:?}"),
    }
    config["model_args"] = json!({"act_layer": "mish"});
    assert!(open(manifest.weights(), Some(&config)).unwrap_err().to_string().contains("`mish`"));
    config["model_args"] = json!({"act_layer": "silu"});
    holds(&manifest, &open(manifest.weights(), Some(&config)).unwrap());
    // Published shapes tell it.
    let wide = Model::synthetic("mambaout_base_wide_rw", None).unwrap();
    assert_eq!(wide.architecture.sizes::<MambaOut>().unwrap().act, Act::Silu);
}

#[test]
fn sizes_of_mambaout_that_contradict_themselves_are_refused() {
    let manifest = Manifest::load("mambaout_micro");
    for (key, value, said) in [
        ("depths", json!([1, 1, 0, 1]), "depths"),
        ("dims", json!([15, 24, 40, 56]), "dims"),
        ("conv_ratio", json!(3.0), "cannot be convolved"),
        ("expansion_ratio", json!("wide"), "`expansion_ratio` \"wide\" is no number"),
        ("depths", json!([1, 1]), "four whole numbers"),
    ] {
        let mut config = manifest.hf_config.clone().unwrap();
        config["model_args"][key] = value;
        let error = open(manifest.weights(), Some(&config)).unwrap_err().to_string();
        assert!(error.contains(said), "{key}: {error}");
    }
}

#[test]
fn the_384_pixels_of_mambaout_are_squashed() {
    let manifest = Manifest::load("mambaout_femto");
    let mut config = manifest.hf_config.clone().unwrap();
    config["pretrained_cfg"]["input_size"] = json!([3, 384, 384]);
    config["pretrained_cfg"]["crop_mode"] = json!("squash");
    let model = open(manifest.weights(), Some(&config)).unwrap();
    assert_eq!((model.preprocess.size, model.preprocess.crop_mode), ([384, 384], CropMode::Squash));
}

/// A training checkpoint as Vim's authors publish it: the state beside an optimizer's and the arguments of the command line.
fn training_checkpoint(path: &Path, manifest: &Manifest) {
    let moments = [("exp_avg", Node::Tensor(Tensor::from_f32([3], vec![0.0; 3]).unwrap())), ("step", Node::Int(3))];
    let optimizer = Node::dict([("state", Node::List(vec![Node::dict(moments)])), ("param_groups", Node::List(Vec::new()))]);
    let arguments = Node::dict([("model", Node::Text("vim_tiny".into())), ("batch_size", Node::Int(64))]);
    let root = Node::dict([
        ("model", Node::state("", &manifest.weights())),
        ("optimizer", optimizer),
        ("epoch", Node::Int(299)),
        ("args", Node::Object("argparse", "Namespace", Box::new(arguments))),
    ]);
    write_tree(path, &root);
}

#[test]
fn vim_is_recognised_in_its_training_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = Manifest::load("vim_t");
    let path = folder.path().join("vim_t_midclstok_76p1acc.pth");
    training_checkpoint(&path, &manifest);
    let model = Model::open(&path, &ModelOptions::default()).unwrap();
    holds(&manifest, &model);
    assert_eq!((model.name.as_str(), model.preprocess.size, model.preprocess.crop_pct), ("vim_t", [224, 224], 0.875));
    assert_eq!(model.labels.get(281), Some("tabby"));
    assert_eq!(model.assumptions, Vec::<String>::new());
}

#[test]
fn the_strides_of_vim_show_in_its_positions() {
    for (name, positions) in [("vim_t", 197), ("vim_t_s8", 730), ("vim_s_s8", 730), ("vim_b", 197)] {
        let model = Model::synthetic(name, None).unwrap();
        assert_eq!(model.architecture.sizes::<Vim>().unwrap().positions, positions);
    }
    // Those of other sizes need a config.
    let manifest = Manifest::load("vim_micro_s8");
    match open(manifest.weights(), None) {
        Err(Error::Unrecognised { reason, .. }) => assert!(reason.contains("do not tell the stride"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let model = open(manifest.weights(), Some(&json!({"model_type": "vim", "stride": 8, "image_size": 64}))).unwrap();
    holds(&manifest, &model);
    assert_eq!(model.preprocess.size, [64, 64]);
}

#[test]
fn vim_runs_at_its_own_size_only() {
    let manifest = Manifest::load("vim_micro");
    let mut config = manifest.config.clone();
    config["model_type"] = json!("vim");
    let options = ModelOptions { size: Some([96, 64]), ..ModelOptions::default() };
    let weights = Weights::from_tensors("vim", manifest.weights());
    let error = Model::new(weights, Some(&config.to_string()), &options).unwrap_err().to_string();
    assert!(error.contains("24 patches") && error.contains("for 16"), "{error}");
}

#[test]
fn variants_of_vim_that_nobody_publishes_are_refused_by_name() {
    let manifest = Manifest::load("vim_micro");
    let mut config = manifest.config.clone();
    config["model_type"] = json!("vim");
    let refused = |tensors: Tensors, config: &Value| open(tensors, Some(config)).unwrap_err().to_string();
    for (key, what) in [
        ("rope.freqs_cos", "rotary"),
        ("cls_token_head", "two class tokens"),
        ("layers.0.mixer.gamma", "layer scale"),
        ("layers.0.norm.bias", "layer norms"),
    ] {
        let extra = (key.to_owned(), Tensor::from_f32([32], vec![0.5; 32]).unwrap());
        let error = refused(manifest.weights().into_iter().chain([extra]).collect(), &config);
        assert!(error.contains(key) && error.contains(what), "{key}: {error}");
    }
    for (key, value) in [
        ("if_divide_out", json!(false)),
        ("use_middle_cls_token", json!(false)),
        ("if_rope", json!(true)),
        ("rms_norm", json!(false)),
        ("bimamba_type", json!("v1")),
    ] {
        let mut config = config.clone();
        config[key] = value;
        let error = refused(manifest.weights(), &config);
        assert!(error.contains(key) && error.contains("not run here"), "{key}: {error}");
    }
    for (key, value, said) in [
        ("d_state", json!(65), "d_state 65"),
        ("stride", json!(17), "stride 17"),
        ("depth", json!(0), "depth 0"),
        ("embed_dim", json!(48), "sizes"),
    ] {
        let mut config = config.clone();
        config[key] = value;
        let error = refused(manifest.weights(), &config);
        assert!(error.contains(said), "{key}: {error}");
    }
}

#[test]
fn vmamba_is_recognised_by_its_tensors() {
    for (name, called, first) in [
        ("vmamba_t", "vmamba_t_s1l8", false),
        ("vmamba_micro", "vmamba", false),
        ("vmamba_micro_s2", "vmamba", false),
        ("vmamba_micro_v0", "vmamba", true),
    ] {
        let manifest = Manifest::load(name);
        let model = open(manifest.weights(), None).unwrap();
        holds(&manifest, &model);
        assert_eq!((model.name.as_str(), model.assumptions.len()), (called, 0), "{:?}", model.assumptions);
        assert_eq!(model.architecture.sizes::<VMamba>().unwrap().first, first);
        assert_eq!((model.preprocess.size, model.preprocess.crop_pct), ([224, 224], 0.875));
    }
}

#[test]
fn vmamba_has_other_names_in_older_files() {
    let manifest = Manifest::load("vmamba_micro_v0");
    let older = |key: &str| {
        let key = key.replace(".op.", ".self_attention.");
        let key = match key.split_once(".blocks.") {
            Some((layer, rest)) => format!("{layer}.blocks.{}", rest.replace(".norm.", ".ln_1.")),
            None => key,
        };
        key.replace("patch_embed.0.", "patch_embed.proj.")
            .replace("patch_embed.2.", "patch_embed.norm.")
            .replace("classifier.norm.", "norm.")
            .replace("classifier.head.", "head.")
    };
    let tensors = renamed(manifest.weights(), older);
    assert!(tensors.iter().any(|(key, _)| key == "layers.0.blocks.0.ln_1.weight"));
    let model = open(tensors, None).unwrap();
    holds(&manifest, &model);
    assert_eq!(model.assumptions, Vec::<String>::new());
    // With any prefix, and linear layers as convolutions of one pixel.
    let manifest = Manifest::load("vmamba_micro");
    let mut tensors = renamed(manifest.weights(), |key| format!("vssm.encoder.{key}"));
    for (key, tensor) in &mut tensors {
        if ["in_proj.weight", "out_proj.weight", "fc1.weight", "fc2.weight"].iter().any(|end| key.ends_with(end)) {
            let &[rows, columns] = tensor.shape().dims() else { panic!("{key}") };
            *tensor = tensor.reshape([rows, columns, 1, 1]).unwrap();
        }
    }
    holds(&manifest, &open(tensors, None).unwrap());
}

#[test]
fn vmamba_takes_its_sizes_from_a_config() {
    let manifest = Manifest::load("vmamba_micro_s2");
    // As third parties write it beside safetensors.
    let config = json!({"model_type": "vmamba", "num_channels": 3, "patch_size": 4, "embed_dim": 16, "depths": [1, 1, 2, 1],
        "dims": 16, "image_size": 64});
    let model = open(manifest.weights(), Some(&config)).unwrap();
    holds(&manifest, &model);
    assert_eq!(model.preprocess.size, [64, 64]);
    for (key, value, said) in [
        ("depths", json!([1, 1, 0, 1]), "depths"),
        ("dims", json!([15, 30, 60, 120]), "dims"),
        ("ssm_d_state", json!(65), "ssm_d_state 65"),
        ("forward_type", json!("v3"), "forward_type `v3`"),
        ("ssm_ratio", json!(3.0), "sizes"),
    ] {
        let mut config = manifest.config.clone();
        config["model_type"] = json!("vmamba");
        config[key] = value;
        let error = open(manifest.weights(), Some(&config)).unwrap_err().to_string();
        assert!(error.contains(said), "{key}: {error}");
    }
}

#[test]
fn videomamba_is_told_from_vim_by_its_config_or_name() {
    let manifest = Manifest::load("videomamba_micro_image");
    let mut config = manifest.config.clone();
    config["model_type"] = json!("videomamba");
    let model = open(manifest.weights(), Some(&config)).unwrap();
    holds(&manifest, &model);
    assert_eq!((model.architecture.family(), model.assumptions.len()), ("videomamba", 0), "{:?}", model.assumptions);
    config["num_frames"] = json!(8);
    assert!(open(manifest.weights(), Some(&config)).unwrap_err().to_string().contains("temporal_pos_embedding"));

    // Of the published sizes either could be: the name of the file tells, else it is told that nothing does.
    let tensors = Manifest::load("vim_t").weights();
    let of = |name: &str| Model::new(Weights::from_tensors(name, tensors.clone()), None, &ModelOptions::default()).unwrap();
    for (file, variant) in [
        ("models/videomamba_t16_in1k_res224.pth", "videomamba_t"),
        ("VideoMamba/t16_in1k.pth", "vim_t"),
        ("downloads/vim_t_midclstok_76p1acc.pth", "vim_t"),
        ("checkpoint.pth", "vim_t"),
    ] {
        let model = of(file);
        let told = model.assumptions.iter().any(|told| told.contains("the tensors also fit videomamba; vim was assumed"));
        assert_eq!((model.name.as_str(), told), (variant, !file.contains("res224") && !file.contains("midclstok")), "{file}");
    }
    // The variant's name tells, too.
    let options = ModelOptions { arch: Some("videomamba_t".into()), ..ModelOptions::default() };
    let model = Model::new(Weights::from_tensors("checkpoint.pth", tensors.clone()), None, &options).unwrap();
    assert_eq!((model.architecture.family(), model.assumptions.len()), ("videomamba", 0));
    // Positions of larger images are those of no Vim.
    let large = Model::synthetic("videomamba_t_448", None).unwrap();
    assert_eq!(large.preprocess.size, [448, 448]);
}

#[test]
fn videomamba_for_clips_is_recognised_by_its_tensors() {
    let manifest = Manifest::load("videomamba_micro");
    let mut config = manifest.config.clone();
    config["model_type"] = json!("videomamba");
    // A config says the same as the tensors alone.
    for config in [Some(&config), None] {
        let model = open(manifest.weights(), config).unwrap();
        holds(&manifest, &model);
        assert_eq!((model.architecture.family(), model.architecture.frames()), ("videomamba", 4));
        assert_eq!((model.preprocess.size, model.preprocess.crop_pct), ([64, 64], 1.0));
        assert_eq!(model.preprocess.filter, Filter::Bilinear);
        assert!(model.assumptions.iter().all(|told| told.contains("a crop of 100 %")), "{:?}", model.assumptions);
    }
    config["num_frames"] = json!(8);
    let error = open(manifest.weights(), Some(&config)).unwrap_err().to_string();
    assert!(error.contains("temporal_pos_embedding"), "{error}");
    config["num_frames"] = json!(4);
    config["tubelet_size"] = json!(2);
    let error = open(manifest.weights(), Some(&config)).unwrap_err().to_string();
    assert!(error.contains("tubelet_size") && error.contains("not run here"), "{error}");

    let several = |(key, tensor): (String, Tensor)| match key.as_str() {
        "patch_embed.proj.weight" => (key, tensor.reshape([32, 3, 2, 8, 16]).unwrap()),
        _ => (key, tensor),
    };
    match open(manifest.weights().into_iter().map(several).collect(), None) {
        Err(Error::Unrecognised { reason, .. }) => assert!(reason.contains("span several frames"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn published_clips_are_told_by_frames_and_size() {
    let model = Model::synthetic("videomamba_t_f8", None).unwrap();
    assert_eq!((model.architecture.frames(), model.preprocess.size), (8, [224, 224]));
    assert_eq!((model.architecture.num_classes(), model.input_shape(2).dims()), (400, [16, 224, 224, 3].as_slice()));
    // L = 1 + T P tokens, as the paper counts them.
    for (name, tokens) in [("videomamba_t_f8", 1569), ("videomamba_s_f16", 3137), ("videomamba_m_f64", 12_545)] {
        let model = Model::synthetic(name, None).unwrap();
        let graph = model.graph(&model.options(1)).unwrap();
        let stem = graph.outputs().iter().find(|output| output.name == "stem").unwrap();
        assert_eq!(graph.node(stem.value).shape().dims()[1], tokens, "{name}");
    }
}
