//! Folds an inference batch norm into the convolutions before it: conv(x) W + b, normalised, is conv(x) (W s) + (b s + t), and the same
//! holds of a sum of convolutions, of which one takes the term.

use std::collections::HashMap;

use crate::{
    error::Result,
    graph::{Graph, Kind, Value},
    ops::{Act, Epilogue, Op},
    packed::{Norm, Recipe},
    passes::rewrite::Rewrite,
    tensor::Tensor,
};

/// What a convolution takes: the factors of this norm go into its filters.
struct Taken {
    norm: Norm,
    /// Its bias takes the term, too.
    shift: bool,
    /// The name that it takes over from a norm that directly follows.
    name: Option<String>,
}

/// The graph with every batch norm folded that directly follows a convolution (or linear layer), or a sum of them, whose results nobody
/// else reads.
///
/// # Errors
/// [`crate::Error::Shape`] when the rewritten nodes would not fit: a defect of this pass.
pub fn fold_batch_norm(graph: &Graph) -> Result<Graph> {
    let folds = folds(graph);
    Rewrite::run(
        graph,
        |_| true,
        |rewrite, value, op, inputs| match folds.get(&value) {
            None => Ok(None),
            // What it normalises is normalised already.
            Some(None) => Ok(inputs.first().map(|input| input.value)),
            Some(Some(Taken { norm, shift, name })) => {
                let old = rewrite.old_node(value);
                let (x, weight) = (inputs[0], constant(graph, old.inputs()[1].value));
                let Some(weight) = weight else { return Ok(None) };
                let bias = old.inputs().get(2).and_then(|bias| constant(graph, bias.value));
                let what = name.as_ref().unwrap_or(&old.name);
                let scaled =
                    Recipe::ScaleFilters { weight: weight.clone(), norm: norm.clone() }.tensor(weight.shape().clone())?;
                let weight_name = &graph.node(old.inputs()[1].value).name;
                let mut inputs = vec![x, rewrite.new.constant(format!("{weight_name} * {what}"), scaled).into()];
                if *shift {
                    let channels = norm.vectors[0].shape().len();
                    let moved = Recipe::ShiftBias { bias, norm: norm.clone() }.tensor([channels])?;
                    inputs.push(rewrite.new.constant(format!("{what} shift"), moved).into());
                }
                rewrite.new.op(what.clone(), op.clone().with_epilogue(Epilogue::biased(*shift)), inputs).map(Some)
            }
        },
    )
}

/// The norms that can be folded, which take nothing, and the convolutions before them.
fn folds(graph: &Graph) -> HashMap<Value, Option<Taken>> {
    let (uses, mut folds) = (graph.uses(), HashMap::new());
    for (value, node) in graph.iter() {
        let Kind::Op(Op::BatchNorm(op), inputs) = &node.kind else { continue };
        let vectors: Option<Vec<Tensor>> = inputs[1..].iter().map(|input| constant(graph, input.value)).collect();
        let Some(Ok(vectors)) = vectors.map(<[Tensor; 4]>::try_from) else { continue };
        let norm = Norm { vectors, eps: op.eps };
        let mut products = Vec::new();
        if !collect(graph, &uses, inputs[0].value, &norm, &mut products) {
            continue;
        }
        // Without a bias of their own the others have nothing to shift.
        let biased = |v: &Value| graph.node(*v).inputs().len() > 2;
        if products[1..].iter().any(biased) {
            continue;
        }
        for (i, product) in products.iter().enumerate() {
            let name = (*product == inputs[0].value).then(|| node.name.clone());
            folds.insert(*product, Some(Taken { norm: norm.clone(), shift: i == 0, name }));
        }
        folds.insert(value, None);
    }
    folds
}

/// Whether `value` is a convolution that can take the norm, or a sum of such; they go to `products`.
fn collect(graph: &Graph, uses: &[usize], value: Value, norm: &Norm, products: &mut Vec<Value>) -> bool {
    if uses[value.index()] != 1 {
        return false;
    }
    match &graph.node(value).kind {
        Kind::Op(Op::Add(_), parts) => parts.iter().all(|part| collect(graph, uses, part.value, norm, products)),
        Kind::Op(conv, inputs) => {
            let plain = |e: Epilogue| e.act == Act::Identity && !e.scale && !e.residual && !e.gate;
            // As many filters as the norm has channels: none that pass through.
            let all = |weight: Tensor| weight.shape().dims().first() == norm.vectors[0].shape().dims().first();
            products.push(value);
            conv.epilogue().is_some_and(plain)
                && inputs[1..].iter().all(|input| constant(graph, input.value).is_some())
                && constant(graph, inputs[1].value).is_some_and(all)
        }
        Kind::Input | Kind::Constant(_) => false,
    }
}

fn constant(graph: &Graph, value: Value) -> Option<Tensor> {
    match &graph.node(value).kind {
        Kind::Constant(tensor) => Some(tensor.clone()),
        Kind::Input | Kind::Op(..) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::Layout,
        ops::{Add, BatchNorm, Conv2d},
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

    /// A norm over the sum of three convolutions, the last of which has a bias or not, as the one before them may.
    fn sum(biased: [bool; 3]) -> Result<Graph> {
        let mut g = Graph::new();
        let x = g.input("x", [1, 5, 4, 3]);
        let ramp = |n: usize, from: f32| (0..n).map(|i| from + (i * 7 % 11) as f32 * 0.1).collect::<Vec<f32>>();
        let mut sum = None;
        for (i, bias) in biased.into_iter().enumerate() {
            let mut inputs =
                vec![x, g.constant(format!("{i}.weight"), Tensor::from_f32([6, 3, 1, 1], ramp(18, i as f32 * 0.2))?)];
            if bias {
                inputs.push(g.constant(format!("{i}.bias"), Tensor::from_f32([6], ramp(6, 0.2))?));
            }
            let conv = g.op(format!("{i}"), Conv2d { stride: 1, padding: 0, epilogue: Epilogue::biased(bias) }, inputs)?;
            sum = Some(match sum {
                Some(sum) => g.op("sum", Add, vec![sum, conv])?,
                None => conv,
            });
        }
        let mut inputs = vec![sum.unwrap_or(x)];
        for (key, from) in [("weight", 0.5), ("bias", -0.3), ("running_mean", 0.1), ("running_var", 0.7)] {
            inputs.push(g.constant(format!("norm.{key}"), Tensor::from_f32([6], ramp(6, from))?));
        }
        let norm = g.op("norm", BatchNorm { eps: 1e-5 }, inputs)?;
        g.output("norm", norm, Layout::Nchw);
        Ok(g)
    }

    #[test]
    fn folds_into_a_sum_of_convolutions() -> Result<()> {
        for (biased, left) in [([false; 3], 0), ([true, false, false], 0), ([false, false, true], 1)] {
            let before = sum(biased)?;
            let after = dead_nodes(&fold_batch_norm(&before)?)?;
            assert_eq!(norms(&after), left);
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
