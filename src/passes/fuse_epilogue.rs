//! Moves pointwise work into the product before it: activation, layer scale, residual sum and gate, in that order.

use crate::{
    error::Result,
    graph::{Graph, Input, Kind, Node, Value},
    ops::{Act, Epilogue, Op},
    passes::rewrite::Rewrite,
};

/// The graph with pointwise nodes fused into the epilogues of linear layers and convolutions whose result nobody else reads.
///
/// # Errors
/// [`crate::Error::Shape`] when the rewritten nodes would not fit: a defect of this pass.
pub fn fuse_epilogue(graph: &Graph) -> Result<Graph> {
    let uses = graph.uses();
    Rewrite::run(
        graph,
        |_| true,
        |rewrite, value, op, inputs| {
            let node = rewrite.old_node(value);
            // A sum or product may fuse into either operand; the one computed last keeps lifetimes short.
            let mut order: Vec<usize> = match op {
                Op::Activation(_) | Op::Scale(_) => vec![0],
                Op::Add(_) | Op::Mul(_) => vec![0, 1],
                _ => return Ok(None),
            };
            order.sort_by_key(|i| std::cmp::Reverse(inputs[*i].value));
            for i in order {
                if uses[node.inputs()[i].value.index()] != 1 {
                    continue;
                }
                let other = inputs.get(1 - i).copied();
                if let Some(fused) = fuse(rewrite, node, op, inputs[i].value, other)? {
                    return Ok(Some(fused));
                }
            }
            Ok(None)
        },
    )
}

/// `op(product, other)` as a part of the product's epilogue, where it has room for it.
fn fuse(rewrite: &mut Rewrite<'_>, node: &Node, op: &Op, product: Value, other: Option<Input>) -> Result<Option<Value>> {
    let Kind::Op(base, base_inputs) = &rewrite.new.node(product).kind else { return Ok(None) };
    let Some(e) = base.epilogue() else { return Ok(None) };
    // What is added or multiplied comes from memory as the product does; positions are a constant of one image.
    let partner = other.map(|other| rewrite.new.node(other.value));
    if partner.is_some_and(|node| matches!(node.kind, Kind::Constant(..)) && !matches!(op, Op::Scale(_))) {
        return Ok(None);
    }
    let fused = match op {
        Op::Activation(a) if e.act == Act::Identity && !e.scale && !e.residual && !e.gate => Epilogue { act: a.0, ..e },
        Op::Scale(_) if !e.scale && !e.residual && !e.gate => Epilogue { scale: true, ..e },
        Op::Add(_) if !e.residual && !e.gate => Epilogue { residual: true, ..e },
        Op::Mul(_) if !e.gate => Epilogue { gate: true, ..e },
        _ => return Ok(None),
    };
    let (base, mut inputs) = (base.clone().with_epilogue(fused), base_inputs.clone());
    // The parts of an epilogue are appended in the order in which they apply.
    if !matches!(op, Op::Activation(_)) {
        inputs.extend(other);
    }
    rewrite.new.op(node.name.clone(), base, inputs).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::Layout,
        ops::{Activation, Add, Linear, Mul, Scale},
        passes::{dead_nodes, rewrite::tests::assert_same_results},
        tensor::Tensor,
    };

    /// A fused operator is rounded once where the chain was rounded after every link.
    const ROUNDING: f32 = 3e-7;

    /// gate * (x + gamma * silu(linear(x))), the activated value also an output on request.
    fn graph(expose: bool) -> Result<Graph> {
        let mut g = Graph::new();
        let x = g.input("x", [1, 2, 3, 4]);
        let ramp = |n: usize| (0..n).map(|i| (i * 5 % 7) as f32 * 0.2 - 0.5).collect::<Vec<f32>>();
        let weight = g.constant("weight", Tensor::from_f32([4, 4], ramp(16))?);
        let gamma = g.constant("gamma", Tensor::from_f32([4], ramp(4))?);
        let linear = g.op("linear", Linear::default(), vec![x, weight])?;
        let act = g.op("act", Activation(Act::Silu), vec![linear])?;
        let scaled = g.op("scaled", Scale, vec![act, gamma])?;
        let sum = g.op("sum", Add, vec![x, scaled])?;
        let gated = g.op("gated", Mul, vec![sum, x])?;
        g.output("y", gated, Layout::Plain);
        if expose {
            g.output("act", act, Layout::Plain);
        }
        Ok(g)
    }

    fn operators(graph: &Graph) -> usize {
        graph.nodes().iter().filter(|n| matches!(n.kind, Kind::Op(..))).count()
    }

    #[test]
    fn a_whole_chain_becomes_one_node() -> Result<()> {
        let before = graph(false)?;
        let after = dead_nodes(&fuse_epilogue(&before)?)?;
        assert_eq!((operators(&before), operators(&after)), (5, 1), "{}", after.dump());
        assert_same_results(&before, &after, ROUNDING)
    }

    #[test]
    fn named_outputs_stay() -> Result<()> {
        let before = graph(true)?;
        let after = dead_nodes(&fuse_epilogue(&before)?)?;
        assert_eq!(operators(&after), 4, "{}", after.dump());
        assert_same_results(&before, &after, ROUNDING)
    }
}
