//! Drops what no output needs.

use crate::{error::Result, graph::Graph, passes::rewrite::Rewrite};

/// The graph without the nodes that no output depends on.
///
/// # Errors
/// None in practice: the remaining nodes are copied as they are.
pub fn dead_nodes(graph: &Graph) -> Result<Graph> {
    let mut live = vec![false; graph.nodes().len()];
    for output in graph.outputs() {
        live[output.value.index()] = true;
    }
    // Inputs come before their users, so one walk backwards reaches everything.
    for (i, node) in graph.nodes().iter().enumerate().rev() {
        if live[i] {
            for input in node.inputs() {
                live[input.value.index()] = true;
            }
        }
    }
    Rewrite::run(graph, |value| live[value.index()], |_, _, _, _| Ok(None))
}
