//! Stores convolution weights as the right-hand matrices of their products, once instead of in every run: for the CPU device.

use crate::{
    error::Result,
    graph::{Graph, Kind},
    ops::{Conv2d, Op, WeightLayout, oihw_to_hwio},
    passes::{dead_nodes, rewrite::Rewrite},
};

/// The graph with every constant convolution weight `[N, C, kh, kw]` as `[kh, kw, C, N]`.
///
/// # Errors
/// [`crate::Error::InvalidArgument`] when a weight does not have four axes.
pub fn hwio_weights(graph: &Graph) -> Result<Graph> {
    let rewritten = Rewrite::run(
        graph,
        |_| true,
        |rewrite, value, op, inputs| {
            let Op::Conv2d(conv @ Conv2d { layout: WeightLayout::Oihw, .. }) = op else { return Ok(None) };
            let node = rewrite.new.node(inputs[1]);
            let Kind::Constant(weight) = &node.kind else { return Ok(None) };
            let (name, weight) = (format!("{} hwio", node.name), oihw_to_hwio(weight)?);
            let mut inputs = inputs.to_vec();
            inputs[1] = rewrite.new.constant(name, weight);
            let conv = Conv2d { layout: WeightLayout::Hwio, ..*conv };
            rewrite.new.op(rewrite.old_node(value).name.clone(), conv, inputs).map(Some)
        },
    )?;
    dead_nodes(&rewritten)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{graph::Layout, ops::Epilogue, tensor::Tensor};

    #[test]
    fn both_layouts_give_the_same_result() -> Result<()> {
        let mut g = Graph::new();
        let x = g.input("x", [1, 4, 3, 3]);
        let weight = (0..5 * 3 * 9).map(|i| (i * 7 % 17) as f32 * 0.1 - 0.8).collect();
        let weight = g.constant("w", Tensor::from_f32([5, 3, 3, 3], weight)?);
        let epilogue = Epilogue::default();
        let conv = Conv2d { stride: 1, padding: 1, layout: WeightLayout::Oihw, epilogue };
        let y = g.op("conv", conv, vec![x, weight])?;
        g.output("y", y, Layout::Nchw);
        let after = hwio_weights(&g)?;
        let is_hwio = |n: &crate::graph::Node| matches!(&n.kind, Kind::Op(Op::Conv2d(c), _) if c.layout == WeightLayout::Hwio);
        assert!(after.nodes().iter().any(is_hwio));
        // Evaluated operator by operator: the CPU device itself would apply this pass to both.
        let eval = |g: &Graph| {
            let input = Tensor::from_f32([1, 4, 3, 3], (0..36).map(|i| i as f32 * 0.05 - 1.0).collect())?;
            let output = g.node(g.outputs()[0].value);
            let Kind::Op(op, inputs) = &output.kind else { return Tensor::from_f32([0], vec![]) };
            let Kind::Constant(weight) = &g.node(inputs[1]).kind else { return Tensor::from_f32([0], vec![]) };
            op.eval(&[&input, weight])
        };
        assert_eq!(eval(&g)?.shape().dims(), [1, 4, 3, 5]);
        assert_eq!(eval(&g)?.to_f32(), eval(&after)?.to_f32());
        Ok(())
    }
}
