//! What a model looked at: the state of its scans made visible token by token, and class activation maps. `docs/EXPLAIN.md` has the
//! equations.
//!
//! Nothing is approximated and nothing is trained: the operands of the scans of one layer leave the device, and [`Scan`] computes the maps
//! of them by their definition.

mod layer;
mod place;
mod scan;

use std::{fmt, str::FromStr};

pub(crate) use layer::{Scanned, layers, look, operands};
pub use scan::{Scan, ScanMaps};

use crate::{
    error::{Error, Result, listed, quote},
    graph::{Graph, Output},
    models::{BuildOptions, Model},
    ops::TopK,
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

/// What there is to see of a model: class activation maps, and of scans those that have all of Mamba's switches.
#[derive(Debug)]
pub struct Explanation {
    graph: Graph,
    /// Height and width of the input.
    size: [usize; 2],
}

impl Explanation {
    /// Looks for scans and class activation maps in a model.
    ///
    /// # Errors
    /// Those of [`Model::graph`].
    pub fn new(model: &Model) -> Result<Self> {
        let top_k = (model.architecture.num_classes() > 0).then_some(TopK { k: 1, temperature: model.temperature });
        let options = BuildOptions { top_k, class_activation: true, ..model.options(1) };
        Ok(Self { graph: model.graph(&options)?, size: options.size })
    }

    /// The layers that have scans, in the order in which data pass them.
    pub fn layers(&self) -> Vec<&str> {
        layers(&self.graph)
    }

    /// The kinds of maps that there are.
    pub fn kinds(&self) -> Vec<Kind> {
        let scans = !self.layers().is_empty();
        let has = |kind: &Kind| if *kind == Kind::Cam { self.has_cam() } else { scans };
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
        let cam = kinds.contains(&Kind::Cam);
        if cam && !self.has_cam() {
            let reason =
                "there are no class activation maps of this model: its head is no linear layer behind a mean over positions";
            return Err(Error::InvalidArgument(reason.into()));
        }
        let of_scans: Vec<Kind> = kinds.iter().copied().filter(|kind| *kind != Kind::Cam).collect();
        let layers = if of_scans.is_empty() { Vec::new() } else { self.wanted(layers)? };
        let heads = self.graph.outputs().iter().filter(|o| cam && ["top_k", "class_activation"].contains(&&*o.name));
        let mut outputs: Vec<Output> = heads.cloned().collect();
        for output in layers.iter().flat_map(|layer| operands(&self.graph, layer)) {
            if outputs.iter().all(|known| known.name != output.name) {
                outputs.push(output);
            }
        }
        let names: Vec<String> = outputs.iter().map(|output| output.name.clone()).collect();
        let mut session = Session::new(&self.graph.clone().with_outputs(outputs), device).await?;
        let results: Vec<(String, Tensor)> = names.into_iter().zip(session.run(input).await?).collect();

        let mut maps = Vec::new();
        if let (true, [(_, best), (_, values), ..]) = (cam, &results[..]) {
            maps.push(self.cam(best, values)?);
        }
        for layer in layers {
            let scanned = look(&self.graph, self.size, layer, &results)?;
            for kind in &of_scans {
                let (size, values) = scanned.map(*kind);
                let (layer, frames) = (Some(layer.to_owned()), scanned.frames());
                maps.push(Map { kind: *kind, layer, class: None, frames, size, values });
            }
        }
        Ok(maps)
    }

    fn wanted<'a>(&'a self, names: &[&'a str]) -> Result<Vec<&'a str>> {
        let known = self.layers();
        let Some(last) = known.last() else {
            return Err(Error::InvalidArgument("the model has no scans: there are class activation maps at most".into()));
        };
        if let Some(name) = names.iter().find(|name| !known.contains(name)) {
            let known: Vec<String> = known.into_iter().map(quote).collect();
            let reason = format!("there is no layer {} with a scan; there are: {}", quote(name), listed(&known));
            return Err(Error::InvalidArgument(reason));
        }
        Ok(if names.is_empty() { vec![last] } else { names.to_vec() })
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
pub(crate) fn missing() -> Error {
    Error::InvalidArgument("the session did not give what maps are made of".into())
}
