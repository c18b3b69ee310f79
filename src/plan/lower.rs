//! Graph -> Program: every operator turns itself into steps.

use std::collections::HashMap;

use crate::{
    error::{Error, Result},
    graph::{Graph, Kind},
    ops::{Lower, Op},
    plan::half,
    program::{BufId, Caps, Gpu, Label, Lowering, Operand, Program, ProgramValue, Target, Tuning, View, WeightId},
    tensor::TensorDesc,
};

/// The steps of a graph on a device with these capabilities.
///
/// # Errors
/// [`Error::Shape`] when an operator cannot be run on a device with its parameters; [`Error::AdapterLimit`] when a buffer is
/// larger than the adapter can bind.
pub fn lower<T: Target>(graph: &Graph, caps: &T::Caps) -> Result<Program<T>>
where
    Op: Lower<T>,
{
    lower_for(graph, caps, &Tuning::default())
}

/// As [`lower`] for a GPU, with other kernels where `tuning` names them, and activations in f16 where [`Caps::half`] says so.
///
/// # Errors
/// As [`lower`]; [`Error::Shape`] when a kernel that `tuning` names does not exist or cannot run on the adapter.
pub fn lower_tuned(graph: &Graph, caps: &Caps, tuning: &Tuning) -> Result<Program<Gpu>> {
    let mut program = lower_for(graph, caps, tuning)?;
    // Browsers have no way to ask for it yet, and need not download it.
    if cfg!(not(target_arch = "wasm32")) && caps.half {
        half::halve(&mut program);
    }
    Ok(program)
}

fn lower_for<T: Target>(graph: &Graph, caps: &T::Caps, tuning: &Tuning) -> Result<Program<T>>
where
    Op: Lower<T>,
{
    let mut program = Program::<T>::default();
    let mut weight_ids: HashMap<String, WeightId> = HashMap::new();
    let mut buffers: Vec<Option<BufId>> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let buffer = match &node.kind {
            Kind::Constant(_) => None,
            Kind::Input if node.shape().is_empty() => {
                return Err(Error::InvalidArgument(format!("the input `{}` {} has no elements", node.name, node.shape())));
            }
            Kind::Input => {
                let buffer = program.add_activation(&node.name, &node.desc);
                program.inputs.push(ProgramValue { name: node.name.clone(), buffer, desc: node.desc.clone() });
                Some(buffer)
            }
            Kind::Op(op, inputs) => {
                let operands: Vec<Operand> = inputs
                    .iter()
                    .map(|input| {
                        let source = graph.node(input.value);
                        match (&source.kind, buffers[input.value.index()]) {
                            (Kind::Constant(tensor), _) => {
                                Ok(Operand::Constant { name: source.name.clone(), tensor: tensor.clone() })
                            }
                            (_, Some(buffer)) => Ok(Operand::Activation {
                                buffer,
                                desc: TensorDesc { shape: graph.shape_of(*input), ..source.desc },
                                view: View {
                                    first: input.channels.map_or(0, |channels| channels.first as usize),
                                    width: source.shape().last(),
                                },
                            }),
                            (_, None) => Err(Error::InvalidArgument(format!("`{}` is read before it is computed", source.name))),
                        }
                    })
                    .collect::<Result<_>>()?;
                match (op, operands.first()) {
                    // The same bytes: channels and their padding stay where they are.
                    (Op::Reshape(_), Some(Operand::Activation { buffer, .. })) => Some(*buffer),
                    _ => {
                        let output = program.add_activation(&node.name, &node.desc);
                        let label = Label { op: op.name(), node: node.name.clone() };
                        let mut cx =
                            Lowering::new((caps, tuning), &mut program, &mut weight_ids, &operands, (output, &node.desc), label);
                        op.lower(&mut cx)?;
                        Some(output)
                    }
                }
            }
        };
        buffers.push(buffer);
    }
    for buffer in &program.buffers {
        if buffer.bytes > T::max_binding(caps) {
            return Err(too_large(&buffer.name, buffer.bytes, T::max_binding(caps)));
        }
    }
    for weight in &program.weights {
        if weight.bytes() > T::max_binding(caps) {
            return Err(too_large(weight.name(), weight.bytes(), T::max_binding(caps)));
        }
    }
    for output in graph.outputs() {
        let Some(buffer) = buffers[output.value.index()] else {
            return Err(Error::InvalidArgument(format!("output `{}` is a constant", output.name)));
        };
        let desc = graph.node(output.value).desc.clone();
        program.outputs.push(ProgramValue { name: output.name.clone(), buffer, desc });
    }
    Ok(program)
}

fn too_large(name: &str, needed: u64, available: u64) -> Error {
    Error::AdapterLimit { adapter: format!("(for `{name}`)"), limit: "maxStorageBufferBindingSize".into(), needed, available }
}
