//! Folds an inference batch norm into the convolution before it: conv(x) W + b, normalised, is conv(x) (W s) + (b s + t).

use crate::{
    error::Result,
    graph::{Graph, Kind, Node, Value},
    ops::{Act, Epilogue, Op},
    packed::{Norm, Recipe},
    passes::rewrite::Rewrite,
    tensor::Tensor,
};

/// The graph with every batch norm folded that directly follows a convolution (or linear layer) whose result nobody else reads.
///
/// # Errors
/// [`crate::Error::Shape`] when the rewritten nodes would not fit: a defect of this pass.
pub fn fold_batch_norm(graph: &Graph) -> Result<Graph> {
    let uses = graph.uses();
    Rewrite::run(
        graph,
        |_| true,
        |rewrite, value, op, inputs| {
            let Op::BatchNorm(norm) = op else { return Ok(None) };
            let source = rewrite.old_node(value).inputs()[0];
            let Kind::Op(conv, conv_inputs) = &rewrite.new.node(inputs[0]).kind else { return Ok(None) };
            let plain = |e: Epilogue| e.act == Act::Identity && !e.scale && !e.residual && !e.gate;
            let Some(epilogue) = conv.epilogue().filter(|e| plain(*e) && uses[source.index()] == 1) else { return Ok(None) };
            let constant = |v: &Value| match &rewrite.new.node(*v).kind {
                Kind::Constant(tensor) => Some(tensor.clone()),
                Kind::Input | Kind::Op(..) => None,
            };
            let Some(vectors) = inputs[1..].iter().map(constant).collect::<Option<Vec<Tensor>>>() else { return Ok(None) };
            let Some(weight) = constant(&conv_inputs[1]) else { return Ok(None) };
            let bias = if epilogue.bias { constant(&conv_inputs[2]) } else { None };
            if epilogue.bias && bias.is_none() {
                return Ok(None);
            }

            let Node { name: norm_name, .. } = rewrite.old_node(value);
            let (conv, x) = (conv.clone().with_epilogue(Epilogue::biased(true)), conv_inputs[0]);
            let weight_name = rewrite.new.node(conv_inputs[1]).name.clone();
            let channels = vectors[0].shape().len();
            let Ok(vectors) = <[Tensor; 4]>::try_from(vectors) else { return Ok(None) };
            let norm = Norm { vectors, eps: norm.eps };
            let folded = Recipe::ScaleFilters { weight: weight.clone(), norm: norm.clone() }.tensor(weight.shape().clone())?;
            let moved = Recipe::ShiftBias { bias, norm }.tensor([channels])?;
            let weight = rewrite.new.constant(format!("{weight_name} * {norm_name}"), folded);
            let bias = rewrite.new.constant(format!("{norm_name} shift"), moved);
            rewrite.new.op(norm_name.clone(), conv, vec![x, weight, bias]).map(Some)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::Layout,
        ops::{BatchNorm, Conv2d},
        passes::{dead_nodes, rewrite::tests::assert_same_results},
    };

    fn graph(read_twice: bool, bias: bool) -> Result<Graph> {
        let mut g = Graph::new();
        let x = g.input("x", [1, 5, 4, 3]);
        let ramp = |n: usize, from: f32| (0..n).map(|i| from + (i * 7 % 11) as f32 * 0.1).collect::<Vec<f32>>();
        let weight = g.constant("conv.weight", Tensor::from_f32([6, 3, 3, 3], ramp(162, -0.4))?);
        let mut inputs = vec![x, weight];
        if bias {
            inputs.push(g.constant("conv.bias", Tensor::from_f32([6], ramp(6, 0.2))?));
        }
        let epilogue = Epilogue::biased(bias);
        let conv = g.op("conv", Conv2d { stride: 2, padding: 1, epilogue }, inputs)?;
        let mut inputs = vec![conv];
        for (key, from) in [("weight", 0.5), ("bias", -0.3), ("running_mean", 0.1), ("running_var", 0.7)] {
            inputs.push(g.constant(format!("norm.{key}"), Tensor::from_f32([6], ramp(6, from))?));
        }
        let norm = g.op("norm", BatchNorm { eps: 1e-4 }, inputs)?;
        g.output("norm", norm, Layout::Nchw);
        if read_twice {
            g.output("conv", conv, Layout::Nchw);
        }
        Ok(g)
    }

    fn norms(graph: &Graph) -> usize {
        graph.nodes().iter().filter(|n| matches!(&n.kind, Kind::Op(Op::BatchNorm(_), _))).count()
    }

    #[test]
    fn folds_into_a_convolution_with_and_without_bias() -> Result<()> {
        for bias in [false, true] {
            let before = graph(false, bias)?;
            let after = dead_nodes(&fold_batch_norm(&before)?)?;
            assert_eq!((norms(&before), norms(&after)), (1, 0));
            assert_same_results(&before, &after, 2e-6)?;
        }
        Ok(())
    }

    #[test]
    fn leaves_a_convolution_that_is_read_elsewhere() -> Result<()> {
        let before = graph(true, true)?;
        let after = fold_batch_norm(&before)?;
        assert_eq!(norms(&after), 1);
        assert_same_results(&before, &after, 0.0)
    }
}
