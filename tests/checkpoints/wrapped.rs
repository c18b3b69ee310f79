//! State dictionaries as trainers wrap them: prefixes, averages, states under any key, and what else they write. Every one gives
//! the logits of the plain checkpoint.

use super::{
    common::pth_writer::{Node, write_tree},
    micro::{Micro, halved},
};
use webmamba::{Error, ModelOptions, Tensor};

#[test]
fn prefixes_in_any_order_and_depth() {
    let micro = Micro::new();
    for prefix in [
        "_orig_mod.",
        "module.",
        "model.",
        "net.",
        "backbone.",
        "encoder.",
        "student.",
        "0.",
        "1.",
        "module._orig_mod.",
        "_orig_mod.module.",
        "model.backbone.0.",
        "wrapper.inner.whatever.",
        "levels.",
        "state_dict.",
    ] {
        let prefixed = micro.tensors().into_iter().map(|(key, tensor)| (format!("{prefix}{key}"), tensor));
        let model = micro.model(prefixed).unwrap_or_else(|error| panic!("{prefix}: {error}"));
        micro.same(&model, prefix);
    }
}

#[test]
fn what_is_no_part_of_the_model_is_passed_over_and_named_once() {
    let micro = Micro::new();
    let ones = || Tensor::from_f32([10], vec![1.0; 10]).unwrap();
    for (prefix, extra) in [
        ("model.", "criterion.weight"),
        ("", "criterion.weight"),
        ("module.", "module.loss_fn.pos_weight"),
        ("model.", "val_acc.tp"),
        ("_orig_mod.", "ema_decay"),
    ] {
        let prefixed = micro.tensors().into_iter().map(|(key, tensor)| (format!("{prefix}{key}"), tensor));
        let model = micro.model(prefixed.chain([(extra.to_owned(), ones())])).unwrap();
        micro.same(&model, extra);
        let told: Vec<_> = model.assumptions.iter().filter(|told| told.contains("passed over")).collect();
        let name = extra.strip_prefix(prefix).unwrap_or(extra);
        assert!(told.len() == 1 && told[0].contains(name), "{extra}: {:?}", model.assumptions);
    }
    // Tools for counting leave their numbers in every module, which are known.
    let counted = ["levels.0.total_ops", "total_ops", "levels.2.blocks.0.total_params"].map(|key| (key.to_owned(), ones()));
    let model = micro.model(micro.tensors().into_iter().chain(counted)).unwrap();
    assert!(model.assumptions.is_empty(), "{:?}", model.assumptions);
    // What lies inside of the model's own modules is a sign of another model.
    let stranger = ("levels.0.blocks.0.conv3.weight".to_owned(), ones());
    match micro.model(micro.tensors().into_iter().chain([stranger])) {
        Err(Error::WeightMismatch { report, cause, .. }) => {
            assert!(report.unread.len() == 1 && report.unread[0].starts_with("levels.0.blocks.0.conv3"), "{report}");
            assert!(cause.contains("1 tensors that this model does not have"), "{cause}");
        }
        other => panic!("{other:?}"),
    }
}

fn written(micro: &Micro, node: Node, state: Option<&str>) -> webmamba::Result<webmamba::Model> {
    let folder = tempfile::tempdir().unwrap();
    write_tree(&folder.path().join("checkpoint.pth"), &node);
    std::fs::write(folder.path().join("config.json"), micro.config(serde_json::json!({}))).unwrap();
    let options = ModelOptions { state: state.map(str::to_owned), ..Default::default() };
    webmamba::Model::open(folder.path().join("checkpoint.pth"), &options)
}

#[test]
fn the_state_may_lie_anywhere() {
    let micro = Micro::new();
    let state = |prefix: &str| Node::state(prefix, &micro.tensors());
    let optimizer = || {
        let moments = [("exp_avg", Node::Tensor(Tensor::from_f32([3], vec![0.0; 3]).unwrap())), ("step", Node::Int(3))];
        Node::dict([("state", Node::List(vec![Node::dict(moments)])), ("param_groups", Node::List(Vec::new()))])
    };
    let file = |key: &str, state: Node| {
        let items = [("epoch", Node::Int(3)), (key, state), ("optimizer_state_dict", optimizer()), ("loss", Node::Int(1))];
        written(&micro, Node::dict(items), None).unwrap_or_else(|error| panic!("{key}: {error}"))
    };
    for (key, said) in
        [("state_dict", false), ("model", false), ("model_state_dict", true), ("net", true), ("weights", true), ("params", true)]
    {
        let model = file(key, state("module."));
        micro.same(&model, key);
        assert_eq!(model.assumptions.iter().any(|told| told.contains(&format!("`{key}"))), said, "{:?}", model.assumptions);
    }
    micro.same(&file("model", Node::dict([("state", Node::dict([("deep", state(""))]))])), "deep");
    micro.same(&file("models", Node::List(vec![Node::Int(0), state("_orig_mod.")])), "a list");
    micro.same(&written(&micro, Node::List(vec![state(""), optimizer(), Node::Int(5)]), None).unwrap(), "a list of states");
    // A lone tensor beside the state is none.
    let rng = Node::Tensor(Tensor::from_f32([2], vec![0.0; 2]).unwrap());
    let model = written(&micro, Node::dict([("rng_state", rng), ("net", state(""))]), None).unwrap();
    micro.same(&model, "beside a tensor");
    assert!(
        model.assumptions.iter().any(|told| told.contains("passed over") && told.contains("rng_state")),
        "{:?}",
        model.assumptions
    );
    // Backbone and head in dictionaries of their own.
    let (head, backbone): (Vec<_>, Vec<_>) = micro.tensors().into_iter().partition(|(key, _)| key.starts_with("head."));
    let head: Vec<_> = head.into_iter().map(|(key, tensor)| (key.replace("head.", ""), tensor)).collect();
    let parts = Node::dict([("backbone", Node::state("", &backbone)), ("classifier", Node::state("", &head))]);
    micro.same(&written(&micro, parts, None).unwrap(), "in parts");
}

#[test]
fn whole_modules_are_read_as_their_state() {
    let micro = Micro::new();
    let mut root = Module::default();
    for (key, tensor) in micro.tensors() {
        root.insert(&key, tensor);
    }
    let model = written(&micro, root.node(), None).unwrap();
    micro.same(&model, "a module");
    let inside = Node::dict([("model", root.node()), ("epoch", Node::Int(1))]);
    micro.same(&written(&micro, inside, None).unwrap(), "a module in a dictionary");
}

#[derive(Default)]
struct Module {
    own: Vec<(String, Tensor)>,
    below: Vec<(String, Module)>,
}

impl Module {
    fn insert(&mut self, key: &str, tensor: Tensor) {
        let Some((first, rest)) = key.split_once('.') else { return self.own.push((key.to_owned(), tensor)) };
        if !self.below.iter().any(|(name, _)| name == first) {
            self.below.push((first.to_owned(), Self::default()));
        }
        self.below.iter_mut().find(|(name, _)| name == first).unwrap().1.insert(rest, tensor);
    }

    fn node(&self) -> Node {
        let modules = Node::dict(self.below.iter().map(|(name, module)| (name.clone(), module.node())));
        let attributes = [
            ("training", Node::Int(0)),
            ("_parameters", Node::state("", &self.own)),
            ("_buffers", Node::dict::<&str>([])),
            ("_modules", modules),
        ];
        Node::Object("net", "Block", Box::new(Node::dict(attributes)))
    }
}

#[test]
fn averages_come_before_raw_weights_and_the_choice_is_told() {
    let micro = Micro::new();
    let (good, worse) = (micro.tensors(), halved(&micro.tensors()));
    let raw = || ("state_dict", Node::state("", &worse));
    let averages = [
        ("state_dict_ema", Node::state("", &good), "state_dict_ema"),
        ("model_ema", Node::state("module.", &good), "model_ema"),
        ("ema_state_dict", Node::state("", &good), "ema_state_dict"),
        ("ema", Node::dict([("module", Node::state("", &good)), ("decay", Node::Int(1))]), "ema.module"),
        ("ema", Node::dict([("shadow", Node::state("", &good))]), "ema.shadow"),
        ("ModelEMA", Node::state("_orig_mod.", &good), "ModelEMA"),
        ("callbacks", Node::dict([("EMACallback", Node::dict([("ema_state_dict", Node::state("", &good))]))]), "ema_state_dict"),
        ("swa_model", Node::state("module.", &good), "swa_model"),
    ];
    for (key, average, path) in averages {
        let model = written(&micro, Node::dict([raw(), (key, average), ("epoch", Node::Int(3))]), None).unwrap();
        micro.same(&model, key);
        let told = model.assumptions.join("; ");
        assert!(told.contains("averaged") && told.contains(path) && told.contains("`state_dict`"), "{key}: {told}");
    }
    let both = || Node::dict([raw(), ("state_dict_ema", Node::state("", &good))]);
    let other = written(&micro, both(), Some("state_dict")).unwrap();
    micro.differs(&other);
    assert!(other.assumptions.is_empty(), "{:?}", other.assumptions);
    micro.same(&written(&micro, both(), Some("state_dict_ema")).unwrap(), "by name");
    let error = written(&micro, both(), Some("optimizer")).unwrap_err().to_string();
    assert!(error.contains("`state_dict`") && error.contains("`state_dict_ema`"), "{error}");
    // One flat dictionary.
    let flat = good.iter().map(|(key, t)| (format!("ema_model.{key}"), t.clone()));
    let flat: Vec<_> = worse.iter().map(|(key, t)| (format!("online_model.{key}"), t.clone())).chain(flat).collect();
    micro.same(&micro.model(flat).unwrap(), "flat");
    let beside = good.iter().map(|(key, t)| (format!("ema.{key}"), t.clone()));
    let model = micro.model(worse.iter().cloned().chain(beside)).unwrap();
    micro.same(&model, "beside");
    // mmengine exchanges the two when it saves.
    let exchanged = [
        ("state_dict", Node::state("", &good)),
        ("message_hub", Node::Int(0)),
        ("ema_state_dict", Node::state("module.", &worse)),
    ];
    let model = written(&micro, Node::dict(exchanged), None).unwrap();
    micro.same(&model, "mmengine");
    assert!(model.assumptions.iter().any(|told| told.contains("averaged")), "{:?}", model.assumptions);
}

/// Averages are often taken of parameters alone: running statistics are those of the raw weights.
#[test]
fn averages_of_parameters_are_completed() {
    let micro = Micro::new();
    let parameters: Vec<_> =
        micro.tensors().into_iter().filter(|(key, _)| !key.contains("running_") && !key.contains("num_batches")).collect();
    let mut raw = halved(&micro.tensors());
    for ((key, tensor), (_, good)) in raw.iter_mut().zip(micro.tensors()) {
        if key.contains("running_") {
            *tensor = good;
        }
    }
    let node = Node::dict([("model", Node::state("", &raw)), ("ema", Node::dict([("shadow", Node::state("", &parameters))]))]);
    let model = written(&micro, node, None).unwrap();
    micro.same(&model, "completed");
    assert!(
        model.assumptions.iter().any(|told| told.contains("tensors that are not under `ema.shadow`")),
        "{:?}",
        model.assumptions
    );
}

#[test]
fn several_models_are_listed() {
    let micro = Micro::new();
    let state = || Node::state("", &micro.tensors());
    let both = || Node::dict([("student", state()), ("teacher", state())]);
    let error = written(&micro, both(), None).unwrap_err().to_string();
    assert!(error.contains("several") && error.contains("--state") && error.contains("`student`, `teacher`"), "{error}");
    micro.same(&written(&micro, both(), Some("teacher")).unwrap(), "the teacher");
}
