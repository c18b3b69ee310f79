//! The CPU device: the graph through each operator's `eval`. The fallback where there is no GPU, and the oracle of the kernels.

use std::time::Duration;

use crate::{
    error::{Error, Result},
    graph::{Graph, Kind, Layout},
    passes,
    platform::Stopwatch,
    tensor::{Shape, Tensor},
};

/// A graph with its constants in the form in which the CPU reads them.
#[derive(Debug)]
pub struct CpuExecutor {
    graph: Graph,
    /// For every node: the last node that reads it, after which its memory is returned.
    last_use: Vec<usize>,
    constants: Vec<Option<Tensor>>,
}

/// How long a node took.
#[derive(Debug, Clone)]
pub struct NodeTiming {
    /// The operator.
    pub op: &'static str,
    /// The graph node.
    pub node: String,
    /// Wall time.
    pub time: Duration,
}

impl CpuExecutor {
    /// Prepares a graph: constants become F32, convolution weights the right-hand matrices of their products.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a constant does not have the rank that its operator needs.
    pub fn new(graph: &Graph) -> Result<Self> {
        let graph = passes::hwio_weights(graph)?;
        let mut last_use = vec![0; graph.nodes().len()];
        for (i, node) in graph.nodes().iter().enumerate() {
            for input in node.inputs() {
                last_use[input.index()] = i;
            }
        }
        for output in graph.outputs() {
            last_use[output.value.index()] = usize::MAX;
        }
        let constants = graph
            .nodes()
            .iter()
            .map(|node| match &node.kind {
                Kind::Constant(tensor) => tensor.clone().into_f32().map(Some),
                Kind::Input | Kind::Op(..) => Ok(None),
            })
            .collect::<Result<_>>()?;
        Ok(Self { graph, last_use, constants })
    }

    /// The graph that runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Bytes of the constants.
    pub fn weight_bytes(&self) -> u64 {
        self.constants.iter().flatten().map(|t| t.bytes().len() as u64).sum()
    }

    /// Bytes of all values that live at the same time, at their most.
    pub fn activation_bytes(&self) -> u64 {
        let (mut live, mut peak) = (0u64, 0u64);
        let bytes = |i: usize| match self.graph.nodes()[i].kind {
            Kind::Constant(_) => 0,
            Kind::Input | Kind::Op(..) => self.graph.nodes()[i].shape().len() as u64 * 4,
        };
        for (i, node) in self.graph.nodes().iter().enumerate() {
            live += bytes(i);
            peak = peak.max(live);
            let mut freed: Vec<usize> = node.inputs().iter().map(|v| v.index()).filter(|v| self.last_use[*v] == i).collect();
            freed.dedup();
            live -= freed.into_iter().map(bytes).sum::<u64>().min(live);
        }
        peak
    }

    /// Runs the graph on its inputs, in their order; the results in the order of the graph's outputs.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when the inputs do not have the graph's shapes.
    pub fn run(&self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        self.run_with(inputs, |_| {})
    }

    /// As [`CpuExecutor::run`], with the time that every node took.
    ///
    /// # Errors
    /// As [`CpuExecutor::run`].
    pub fn profile(&self, inputs: &[&Tensor]) -> Result<(Vec<Tensor>, Vec<NodeTiming>)> {
        let mut timings = Vec::new();
        let outputs = self.run_with(inputs, |timing| timings.push(timing))?;
        Ok((outputs, timings))
    }

    fn run_with(&self, inputs: &[&Tensor], mut report: impl FnMut(NodeTiming)) -> Result<Vec<Tensor>> {
        let mut values: Vec<Option<Tensor>> = self.constants.clone();
        let wanted = self.graph.inputs().iter().map(|v| self.graph.node(*v).shape());
        check_inputs(wanted, inputs)?;
        for (value, input) in self.graph.inputs().iter().zip(inputs) {
            values[value.index()] = Some((*input).clone().into_f32()?);
        }
        for (i, node) in self.graph.nodes().iter().enumerate() {
            let Kind::Op(op, inputs) = &node.kind else { continue };
            let operands: Vec<&Tensor> = inputs.iter().filter_map(|v| values[v.index()].as_ref()).collect();
            let start = Stopwatch::start();
            let result = op.eval(&operands)?;
            report(NodeTiming { op: op.name(), node: node.name.clone(), time: start.elapsed() });
            values[i] = Some(result);
            for v in inputs {
                if self.last_use[v.index()] == i {
                    values[v.index()] = None;
                }
            }
        }
        self.graph
            .outputs()
            .iter()
            .map(|output| {
                let value = values[output.value.index()].as_ref();
                let value =
                    value.ok_or_else(|| Error::InvalidArgument(format!("output `{}` was never computed", output.name)))?;
                arrange(value, output.layout)
            })
            .collect()
    }
}

/// Holds inputs against the shapes that a graph or program wants.
pub(crate) fn check_inputs<'a>(wanted: impl ExactSizeIterator<Item = &'a Shape>, inputs: &[&Tensor]) -> Result<()> {
    if wanted.len() != inputs.len() {
        return Err(Error::InvalidArgument(format!("there must be {} inputs, found {}", wanted.len(), inputs.len())));
    }
    for (wanted, input) in wanted.zip(inputs) {
        if input.shape() != wanted {
            return Err(Error::InvalidArgument(format!("the input must be {wanted}, found {}", input.shape())));
        }
    }
    Ok(())
}

/// A result in the layout in which it is handed out.
///
/// # Errors
/// None in practice: the number of values stays.
pub fn arrange(value: &Tensor, layout: Layout) -> Result<Tensor> {
    match (layout, value.shape().dims()) {
        (Layout::Nchw, &[b, h, w, c]) => {
            let (src, plane) = (value.to_f32(), h * w);
            let mut out = vec![0.0; src.len()];
            for (i, pixel) in src.chunks_exact(c.max(1)).enumerate() {
                for (channel, v) in pixel.iter().enumerate() {
                    out[(i / plane * c + channel) * plane + i % plane] = *v;
                }
            }
            Tensor::from_f32([b, c, h, w], out)
        }
        _ => Ok(value.clone()),
    }
}
