//! The scans of a layer: what a run of the graph must give of them, and what they do with the tokens.

use super::{
    Kind, missing,
    place::Place,
    scan::{Scan, ScanMaps},
};
use crate::{
    error::Result,
    graph::{Graph, Input, Kind as NodeKind, Layout, Node, Output},
    ops::{Direction, Gates, Op},
    tensor::Tensor,
};

/// What a layer's scans, which are the same tokens in different orders, do with the tokens of an input.
#[derive(Debug)]
pub(crate) struct Scanned {
    place: Place,
    maps: ScanMaps,
}

impl Scanned {
    /// Frames; 1 for images.
    pub(crate) fn frames(&self) -> usize {
        self.place.frames()
    }

    /// Rows and columns, and the values of a map of scans: row by row, frame by frame.
    pub(crate) fn map(&self, kind: Kind) -> ([usize; 2], Vec<f32>) {
        self.place.lay_out(&match kind {
            Kind::Delta => self.maps.delta(),
            Kind::Forget => self.maps.forget(),
            Kind::Contribution | Kind::Cam => self.maps.contribution(),
        })
    }
}

/// The layer, direction and operands of a scan that has all of Mamba's switches.
fn scan_of(node: &Node) -> Option<(&str, Direction, &[Input])> {
    match &node.kind {
        NodeKind::Op(Op::SelectiveScan(op), inputs) if op.gates == Gates::default() => {
            let path = node.name.rsplit_once(".scan").map_or(node.name.as_str(), |(path, _)| path);
            Some((path.strip_suffix(".backward").unwrap_or(path), op.direction, &inputs[..6]))
        }
        _ => None,
    }
}

fn scans<'a>(graph: &'a Graph, layer: &'a str) -> impl Iterator<Item = (Direction, &'a [Input])> {
    graph
        .nodes()
        .iter()
        .filter_map(scan_of)
        .filter(move |(name, ..)| *name == layer)
        .map(|(_, direction, inputs)| (direction, inputs))
}

/// The layers that have scans, in the order in which data pass them.
pub(crate) fn layers(graph: &Graph) -> Vec<&str> {
    let mut layers = Vec::new();
    for (name, ..) in graph.nodes().iter().filter_map(scan_of) {
        if !layers.contains(&name) {
            layers.push(name);
        }
    }
    layers
}

/// What of a layer's scans is computed, under names of its own; the rest are constants of the graph.
pub(crate) fn operands(graph: &Graph, layer: &str) -> Vec<Output> {
    let mut outputs: Vec<Output> = Vec::new();
    for Input { value, .. } in scans(graph, layer).flat_map(|(_, inputs)| &inputs[..3]) {
        if outputs.iter().all(|output| output.value != *value) {
            outputs.push(Output { name: value.index().to_string(), value: *value, layout: Layout::Plain });
        }
    }
    outputs
}

/// What a layer's scans do, from what a run gave under the names of [`operands`]; `size` is the input's height and width.
///
/// # Errors
/// [`crate::Error::Shape`] where it cannot be told where tokens lie in the picture, [`crate::Error::InvalidArgument`] where operands are
/// missing.
pub(crate) fn look(graph: &Graph, size: [usize; 2], layer: &str, results: &[(String, Tensor)]) -> Result<Scanned> {
    let read = |input: &Input| {
        let name = input.value.index().to_string();
        let whole = match &graph.node(input.value).kind {
            NodeKind::Constant(tensor) => tensor,
            _ => results.iter().find(|(known, _)| *known == name).map(|(_, tensor)| tensor).ok_or_else(missing)?,
        };
        Ok(input.of(whole)?.to_f32().into_owned())
    };
    let mut scanned: Option<Scanned> = None;
    for (direction, inputs) in scans(graph, layer) {
        let [xz, delta, bc, a, skip, bias] = inputs else { return Err(missing()) };
        let place = Place::of(graph, xz.value, size)?;
        let scan = Scan {
            direction,
            images: place.images(),
            xz: read(xz)?,
            delta: read(delta)?,
            bc: read(bc)?,
            a: read(a)?,
            skip: read(skip)?,
            bias: read(bias)?,
        };
        let maps = scan.maps(place.class_token());
        scanned = Some(match scanned {
            Some(others) => Scanned { place, maps: others.maps.with(maps) },
            None => Scanned { place, maps },
        });
    }
    scanned.ok_or_else(missing)
}
