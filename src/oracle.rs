//! A graph through each operator's evaluation: the definition that devices are held against, in tests. Slow on purpose.

use crate::{
    error::{Error, Result},
    graph::{Graph, Kind, arrange, check_inputs},
    tensor::Tensor,
};

/// The results of a graph for these inputs, in the order of its outputs.
///
/// # Errors
/// [`Error::InvalidArgument`] when the inputs do not have the graph's shapes.
pub fn run(graph: &Graph, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
    check_inputs(graph.inputs().iter().map(|v| graph.node(*v).shape()), inputs)?;
    let mut given = inputs.iter();
    let mut values: Vec<Tensor> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let value = match &node.kind {
            Kind::Constant(tensor) => tensor.clone(),
            Kind::Input => {
                let next = given.next().ok_or_else(|| Error::InvalidArgument(format!("there is no input `{}`", node.name)))?;
                (*next).clone()
            }
            Kind::Op(op, operands) => {
                let read: Vec<Tensor> =
                    operands.iter().map(|input| input.of(&values[input.value.index()])).collect::<Result<_>>()?;
                op.definition().eval(&read.iter().collect::<Vec<_>>())?
            }
        };
        values.push(value);
    }
    graph.outputs().iter().map(|output| arrange(&values[output.value.index()], output.layout)).collect()
}
