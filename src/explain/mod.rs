//! What a model looked at: the state of its scans made visible token by token, and class activation maps. `docs/EXPLAIN.md` has the
//! equations.
//!
//! Nothing is approximated and nothing is trained: the operands of the scans of one layer leave the device, and [`Scan`] computes the maps
//! of them by their definition.

mod place;
mod scan;

use std::{fmt, str::FromStr};

pub use scan::{Scan, ScanMaps};

use place::Place;

use crate::{
    error::{Error, Result, listed, quote},
    graph::{Graph, Input, Kind as NodeKind, Layout, Output, Value},
    models::{BuildOptions, Model},
    ops::{Op, SelectiveScan, TopK},
    session::{Device, Session},
    tensor::Tensor,
};

/// What a map shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// How much each position speaks for the best class.
    Cam,
    /// The input gate: how large a step the scan takes at a token.
    Delta,
    /// The forget gate: how much of the state outlasts a token.
    Forget,
    /// Each token's share in what the scan gives to the pooled feature; all shares sum to 1.
    Contribution,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cam, Self::Delta, Self::Forget, Self::Contribution];

    /// The name: `cam`, `delta`, `forget` or `contribution`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cam => "cam",
            Self::Delta => "delta",
            Self::Forget => "forget",
            Self::Contribution => "contribution",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let known = || Self::ALL.map(Self::name).join(", ");
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| Error::InvalidArgument(format!("there are no maps called {}; there are: {}", quote(name), known())))
    }
}

/// A value for each position of what a model sees.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// What it shows.
    pub kind: Kind,
    /// The layer of a scan; `None` for class activation maps.
    pub layer: Option<String>,
    /// The class of a class activation map.
    pub class: Option<usize>,
    /// Frames; 1 for images.
    pub frames: usize,
    /// Rows and columns.
    pub size: [usize; 2],
    /// Row by row, frame by frame.
    pub values: Vec<f32>,
}

/// What there is to see of a model.
#[derive(Debug)]
pub struct Explanation {
    graph: Graph,
    layers: Vec<Layer>,
    options: BuildOptions,
}

/// The scans of a mixer, which are the same tokens in different orders.
#[derive(Debug)]
struct Layer {
    name: String,
    scans: Vec<(SelectiveScan, Vec<Input>)>,
}

impl Explanation {
    /// Looks for scans and class activation maps in a model.
    ///
    /// # Errors
    /// Those of [`Model::graph`].
    pub fn new(model: &Model) -> Result<Self> {
        let top_k = (model.architecture.num_classes() > 0).then_some(TopK { k: 1, temperature: model.temperature });
        let options = BuildOptions { top_k, class_activation: true, ..model.options(1) };
        let graph = model.graph(&options)?;
        let mut layers: Vec<Layer> = Vec::new();
        for node in graph.nodes() {
            let NodeKind::Op(Op::SelectiveScan(op), inputs) = &node.kind else { continue };
            let path = node.name.rsplit_once(".scan").map_or(node.name.as_str(), |(path, _)| path);
            let name = path.strip_suffix(".backward").unwrap_or(path);
            let scan = (*op, inputs.clone());
            match layers.iter_mut().find(|layer| layer.name == name) {
                Some(layer) => layer.scans.push(scan),
                None => layers.push(Layer { name: name.to_owned(), scans: vec![scan] }),
            }
        }
        Ok(Self { graph, layers, options })
    }

    /// The layers that have scans, in the order in which data pass them.
    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|layer| layer.name.as_str())
    }

    /// The kinds of maps that there are.
    pub fn kinds(&self) -> Vec<Kind> {
        let has = |kind: &Kind| if *kind == Kind::Cam { self.has_cam() } else { !self.layers.is_empty() };
        Kind::ALL.into_iter().filter(has).collect()
    }

    fn has_cam(&self) -> bool {
        self.graph.outputs().iter().any(|output| output.name == "class_activation")
    }

    /// The maps of these kinds, for an input as the model takes it with a batch of one; those of scans for each of `layers`, of which no
    /// one means the last.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a kind or a layer that the model does not have; those of [`Session::new`] and [`Session::run`].
    pub async fn maps(&self, device: &Device, input: &Tensor, kinds: &[Kind], layers: &[&str]) -> Result<Vec<Map>> {
        if kinds.contains(&Kind::Cam) && !self.has_cam() {
            let reason =
                "there are no class activation maps of this model: its head is no linear layer behind a mean over positions";
            return Err(Error::InvalidArgument(reason.into()));
        }
        let of_scans: Vec<Kind> = kinds.iter().copied().filter(|kind| *kind != Kind::Cam).collect();
        let layers = if of_scans.is_empty() { Vec::new() } else { self.wanted(layers)? };
        let mut outputs: Vec<Output> = Vec::new();
        let computed = |value: Value| !matches!(self.graph.node(value).kind, NodeKind::Constant(_));
        for Input { value, .. } in layers.iter().flat_map(|layer| &layer.scans).flat_map(|(_, inputs)| &inputs[..3]) {
            if computed(*value) && outputs.iter().all(|output| output.value != *value) {
                outputs.push(Output { name: value.index().to_string(), value: *value, layout: Layout::Plain });
            }
        }
        let cam = kinds.contains(&Kind::Cam);
        outputs.extend(self.graph.outputs().iter().filter(|o| cam && ["top_k", "class_activation"].contains(&&*o.name)).cloned());
        let graph = self.graph.clone().with_outputs(outputs);
        let mut session = Session::new(&graph, device).await?;
        let names: Vec<String> = session.output_names().map(str::to_owned).collect();
        let results = session.run(input).await?;
        let result = |name: &str| names.iter().position(|known| known == name).and_then(|i| results.get(i));

        let mut maps = Vec::new();
        if let (true, Some(best), Some(values)) = (cam, result("top_k"), result("class_activation")) {
            maps.push(self.cam(best, values)?);
        }
        for layer in layers {
            let place = Place::of(&self.graph, layer.scans[0].1[0].value, self.options.size)?;
            let mut all: Option<ScanMaps> = None;
            for (op, inputs) in &layer.scans {
                let read = |input: &Input| {
                    let whole = match &self.graph.node(input.value).kind {
                        NodeKind::Constant(tensor) => tensor,
                        _ => result(&input.value.index().to_string()).ok_or_else(missing)?,
                    };
                    Ok(input.of(whole)?.to_f32().into_owned())
                };
                let [xz, delta, bc, a, skip, bias] =
                    <[Vec<f32>; 6]>::try_from(inputs.iter().take(6).map(read).collect::<Result<Vec<_>>>()?).unwrap_or_default();
                let scan = Scan { direction: op.direction, images: place.images(), xz, delta, bc, a, skip, bias };
                let found = scan.maps(place.class_token());
                all = Some(match all {
                    Some(all) => all.with(found),
                    None => found,
                });
            }
            let Some(all) = all else { continue };
            for kind in &of_scans {
                let values = match kind {
                    Kind::Delta => all.delta(),
                    Kind::Forget => all.forget(),
                    Kind::Contribution | Kind::Cam => all.contribution(),
                };
                let (size, values) = place.lay_out(&values);
                let (layer, frames) = (Some(layer.name.clone()), place.frames());
                maps.push(Map { kind: *kind, layer, class: None, frames, size, values });
            }
        }
        Ok(maps)
    }

    fn wanted(&self, names: &[&str]) -> Result<Vec<&Layer>> {
        let Some(last) = self.layers.last() else {
            return Err(Error::InvalidArgument("the model has no scans: there are class activation maps at most".into()));
        };
        let find = |name: &&str| {
            self.layers.iter().find(|layer| layer.name == **name).ok_or_else(|| {
                let known: Vec<String> = self.layers().map(quote).collect();
                Error::InvalidArgument(format!("there is no layer {} with a scan; there are: {}", quote(name), listed(&known)))
            })
        };
        if names.is_empty() { Ok(vec![last]) } else { names.iter().map(find).collect() }
    }

    fn cam(&self, best: &Tensor, values: &Tensor) -> Result<Map> {
        let output = self.graph.outputs().iter().find(|output| output.name == "class_activation").ok_or_else(missing)?;
        let features = self.graph.node(output.value).inputs().first().ok_or_else(missing)?;
        let &[_, rows, columns, _] = self.graph.node(features.value).shape().dims() else { return Err(missing()) };
        let class = best.to_f32().get(1).map(|class| *class as usize);
        let values = values.to_f32().iter().take(rows * columns).copied().collect();
        Ok(Map { kind: Kind::Cam, layer: None, class, frames: 1, size: [rows, columns], values })
    }
}

/// What a session gave is not what was asked for.
fn missing() -> Error {
    Error::InvalidArgument("the session did not give what maps are made of".into())
}
