//! The walk that passes share: nodes are copied into a new graph in order, some of them replaced on the way.

use crate::{
    error::Result,
    graph::{Graph, Input, Kind, Node, Output, Value},
    ops::Op,
};

/// A new graph in the making and where the old values went.
pub(super) struct Rewrite<'a> {
    old: &'a Graph,
    pub(super) new: Graph,
    map: Vec<Option<Value>>,
}

impl<'a> Rewrite<'a> {
    /// Copies the nodes for which `keep` holds, giving `replace` a chance at each operator: it sees the operator with its new
    /// inputs and returns the new value, or `None` to have the node copied as it is.
    pub(super) fn run(
        old: &'a Graph,
        keep: impl Fn(Value) -> bool,
        mut replace: impl FnMut(&mut Self, Value, &Op, &[Input]) -> Result<Option<Value>>,
    ) -> Result<Graph> {
        let mut rewrite = Self { old, new: Graph::new(), map: vec![None; old.nodes().len()] };
        for (value, node) in old.iter() {
            // Inputs stay even when nobody reads them: callers pass as many as before.
            if !keep(value) && !matches!(node.kind, Kind::Input) {
                continue;
            }
            let new = match &node.kind {
                Kind::Input => rewrite.new.input(node.name.clone(), node.shape().clone()),
                Kind::Constant(tensor) => rewrite.new.constant(node.name.clone(), tensor.clone()),
                Kind::Op(op, inputs) => {
                    // Inputs precede their users and are kept with them.
                    let moved = |input: &Input| rewrite.map[input.value.index()].map(|value| Input { value, ..*input });
                    let inputs: Vec<Input> = inputs.iter().filter_map(moved).collect();
                    match replace(&mut rewrite, value, op, &inputs)? {
                        Some(new) => new,
                        None => rewrite.new.op(node.name.clone(), op.clone(), inputs)?,
                    }
                }
            };
            rewrite.map[value.index()] = Some(new);
        }
        let outputs = old
            .outputs()
            .iter()
            .filter_map(|o| rewrite.map[o.value.index()].map(|value| Output { value, ..o.clone() }))
            .collect();
        Ok(rewrite.new.with_outputs(outputs))
    }

    /// The old node of a value of the old graph.
    pub(super) fn old_node(&self, value: Value) -> &'a Node {
        self.old.node(value)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{oracle, tensor::Tensor};

    /// Evaluates both graphs and holds every output of `before` against that of `after`.
    pub(in crate::passes) fn assert_same_results(before: &Graph, after: &Graph, tolerance: f32) -> Result<()> {
        let shape = before.node(before.inputs()[0]).shape().clone();
        let values = (0..shape.len()).map(|i| ((i * 37 % 101) as f32 - 50.0) * 0.03).collect();
        let input = Tensor::from_f32(shape, values)?;
        let (a, b) = (oracle::run(before, &[&input])?, oracle::run(after, &[&input])?);
        assert_eq!(a.len(), b.len());
        for (output, (a, b)) in before.outputs().iter().zip(a.iter().zip(&b)) {
            assert_eq!(a.shape(), b.shape());
            for (a, b) in a.to_f32().iter().zip(b.to_f32().iter()) {
                assert!((a - b).abs() <= tolerance * (1.0 + a.abs()), "{}: {a} became {b}", output.name);
            }
        }
        Ok(())
    }

    #[test]
    fn dead_nodes_go_and_live_ones_stay() -> Result<()> {
        let mut g = Graph::new();
        let x = g.input("x", [1, 2, 2, 4]);
        let live = g.op("live", crate::ops::Add, vec![x, x])?;
        g.op("dead", crate::ops::Mul, vec![live, x])?;
        g.output("live", live, crate::graph::Layout::Plain);
        let after = crate::passes::dead_nodes(&g)?;
        assert_eq!((g.nodes().len(), after.nodes().len()), (3, 2));
        assert_same_results(&g, &after, 0.0)
    }
}
