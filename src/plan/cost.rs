//! What a program must at least move and multiply, counted from shapes: the paper side of measured times.

use std::time::Duration;

use crate::{
    graph::{Graph, Input, Kind},
    ops::Op,
    program::{BufRef, Program, Step, Target},
    tensor::TensorDesc,
};

/// What an operator of a graph costs in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cost {
    /// The operator.
    pub op: &'static str,
    /// The graph node.
    pub node: String,
    /// Multiply-adds, as [`crate::ops::Operator::macs`] counts them.
    pub macs: u64,
    /// Bytes of its weights as the device stores them.
    pub weights: u64,
    /// Bytes of activations that it reads, each once.
    pub reads: u64,
    /// Bytes of its result.
    pub writes: u64,
}

/// What a device reaches at best.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Bytes a second, read and written.
    pub bytes: f64,
    /// Multiply-adds a second.
    pub macs: f64,
}

impl Cost {
    /// Bytes read and written.
    pub fn bytes(&self) -> u64 {
        self.weights + self.reads + self.writes
    }

    /// The time that moving the bytes takes, or doing the multiply-adds if that takes longer.
    pub fn ideal(&self, rates: Rates) -> Duration {
        let seconds = (self.bytes() as f64 / rates.bytes).max(self.macs as f64 / rates.macs);
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Whether moving the bytes takes longer than the multiply-adds.
    pub fn is_bound_by_memory(&self, rates: Rates) -> bool {
        self.bytes() as f64 / rates.bytes >= self.macs as f64 / rates.macs
    }
}

/// The costs of the operators of a graph, in its order; of the program that [`super::lower`] made of the same graph. Operators without
/// steps (reshapes) cost nothing and are left out. What steps of one operator pass to each other (the carries of long scans) is not counted.
pub fn costs<T: Target>(graph: &Graph, program: &Program<T>) -> Vec<Cost> {
    let mut steps = program.dispatches.iter().peekable();
    let mut costs = Vec::new();
    for node in graph.nodes() {
        let Kind::Op(op, inputs) = &node.kind else { continue };
        let (mut weights, mut count) = (Vec::new(), 0);
        while let Some(step) = steps.next_if(|step| step.label().op == op.name() && step.label().node == node.name) {
            count += 1;
            weights.extend(step.reads().iter().filter_map(|read| match read {
                BufRef::Weight(id) => Some(*id),
                BufRef::Buffer(_) | BufRef::Nothing => None,
            }));
        }
        if count == 0 {
            continue;
        }
        weights.sort_unstable();
        weights.dedup();
        let mut activations: Vec<Input> = inputs.clone();
        activations.retain(|input| !matches!(graph.node(input.value).kind, Kind::Constant(_)));
        activations.sort_unstable();
        activations.dedup();
        let bytes =
            |input: &Input| T::activation_bytes(&TensorDesc { shape: graph.shape_of(*input), ..graph.node(input.value).desc });
        let writes = T::activation_bytes(&node.desc);
        costs.push(Cost {
            op: op.name(),
            node: node.name.clone(),
            macs: op.macs(&graph.shapes_of(inputs).iter().collect::<Vec<_>>(), node.shape()),
            weights: weights.iter().map(|id| program.weights[id.0].bytes()).sum(),
            // Of all tokens it reads one.
            reads: if matches!(op, Op::TakeToken(_)) { writes } else { activations.iter().map(bytes).sum() },
            writes,
        });
    }
    costs
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{
        graph::Layout,
        models::{Model, ModelOptions},
        ops::{Conv2d, Epilogue, GlobalAvgPool, Linear},
        passes, plan,
        program::{AdapterClass, Caps, Cpu, Gpu, cpu::CpuKernel},
        tensor::Tensor,
        weights::Weights,
    };

    /// A model of every way in which operators are used, without weights.
    const MODELS: [&str; 6] = ["mamba_vision_t", "mila_t", "mambaout_tiny", "vim_t", "vmamba_t_s1l8", "videomamba_t"];

    fn graph(name: &str) -> Graph {
        let options = ModelOptions { arch: Some(name.to_owned()), ..ModelOptions::default() };
        let model = Model::new(Weights::zeros(name), None, &options).unwrap();
        let graph = model.graph(&model.options(1)).unwrap().select(&["logits"]).unwrap();
        passes::optimise(&graph).unwrap()
    }

    fn caps() -> Caps {
        Caps::webgpu_default(AdapterClass::Hardware)
    }

    /// A convolution of 3 x 3 by steps of two, a mean, and a linear layer.
    fn small() -> Graph {
        let mut graph = Graph::new();
        let x = graph.input("x", [1, 8, 8, 3]);
        let zeros = |shape: &[usize]| Tensor::from_f32(shape.to_vec(), vec![0.0; shape.iter().product()]).unwrap();
        let filters = graph.constant("filters", zeros(&[8, 3, 3, 3]));
        let conv = Conv2d { stride: 2, padding: 1, epilogue: Epilogue::default() };
        let y = graph.op("conv", conv, vec![x, filters]).unwrap();
        let y = graph.op("mean", GlobalAvgPool, vec![y]).unwrap();
        let weight = graph.constant("weight", zeros(&[5, 8]));
        let y = graph.op("head", Linear::default(), vec![y, weight]).unwrap();
        graph.output("logits", y, Layout::Plain);
        graph
    }

    #[test]
    fn costs_are_those_counted_by_hand() {
        let graph = small();
        let costs = costs(&graph, &plan::lower::<Cpu>(&graph, &crate::cpu::caps()).unwrap());
        let counted: Vec<_> = costs.iter().map(|cost| (&*cost.node, cost.macs, cost.reads, cost.writes)).collect();
        let expected = [
            ("conv", 4 * 4 * 8 * 3 * 3 * 3, 4 * 8 * 8 * 3, 4 * 4 * 4 * 8),
            ("mean", 0, 4 * 4 * 4 * 8, 4 * 8),
            ("head", 8 * 5, 4 * 8, 4 * 5),
        ];
        assert_eq!(counted, expected);
        // At least the values; panels may be padded.
        assert!(costs[0].weights >= 4 * 8 * 27 && costs[1].weights == 0 && costs[2].weights >= 4 * 5 * 8, "{costs:?}");
    }

    #[test]
    fn channels_of_a_gpu_are_padded_to_four() {
        let graph = small();
        let costs = costs(&graph, &plan::lower::<Gpu>(&graph, &caps()).unwrap());
        assert_eq!(costs.iter().map(|cost| cost.reads).collect::<Vec<_>>(), [4 * 8 * 8 * 4, 4 * 4 * 4 * 8, 4 * 8]);
        assert_eq!(costs[2].writes, 4 * 8);
    }

    #[test]
    fn the_ideal_is_the_longer_of_both() {
        let cost = Cost { op: "linear", node: "head".into(), macs: 6000, weights: 1000, reads: 500, writes: 500 };
        let ideal = |bytes, macs| (cost.ideal(Rates { bytes, macs }), cost.is_bound_by_memory(Rates { bytes, macs }));
        assert_eq!(ideal(1000.0, 6000.0), (Duration::from_secs(2), true));
        assert_eq!(ideal(1000.0, 2000.0), (Duration::from_secs(3), false));
    }

    #[test]
    fn multiply_adds_are_those_that_kernels_loop_over() {
        for name in MODELS {
            let graph = graph(name);
            let program = plan::lower::<Cpu>(&graph, &crate::cpu::caps()).unwrap();
            let costs = costs(&graph, &program);
            assert_eq!(costs.iter().map(|cost| cost.macs).sum::<u64>(), graph.macs(), "{name}");
            for cost in &costs {
                let steps = program.dispatches.iter().filter(|step| step.label.node == cost.node && step.label.op == cost.op);
                let products = steps.filter_map(|step| match &step.kernel {
                    CpuKernel::Gemm(g) => {
                        let pixels: usize = g.images * g.output.iter().product::<usize>();
                        Some((pixels * g.output_channels * g.read_channels * g.kernel.iter().product::<usize>()) as u64)
                    }
                    _ => None,
                });
                let products: Vec<u64> = products.collect();
                assert!(products.is_empty() || products.iter().sum::<u64>() == cost.macs, "{name}: {cost:?}, {products:?}");
            }
        }
    }

    #[test]
    fn bytes_are_those_of_the_buffers_that_kernels_bind() {
        for name in MODELS {
            let graph = graph(name);
            let program = plan::lower::<Gpu>(&graph, &caps()).unwrap();
            let costs = costs(&graph, &program);
            for cost in &costs {
                let written = program.buffers.iter().find(|buffer| buffer.name == cost.node).unwrap();
                assert_eq!(cost.writes.max(16), written.bytes, "{name}: {cost:?}");
                let steps = program.dispatches.iter().filter(|step| step.label.node == cost.node && step.label.op == cost.op);
                let bound = steps.flat_map(|step| &step.reads).map(|read| match read {
                    BufRef::Buffer(id) => program.buffers[id.0].bytes,
                    BufRef::Weight(_) | BufRef::Nothing => 0,
                });
                // Of a value whose channels are read in part, kernels bind all.
                assert!(cost.reads <= bound.sum(), "{name}: {cost:?}");
            }
            let weights: u64 = costs.iter().map(|cost| cost.weights).sum();
            assert!(weights >= program.weight_bytes(), "{name}");
        }
    }
}
