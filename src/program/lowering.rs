//! The context in which an operator turns itself into steps of a program.

use std::{collections::HashMap, ops::Range};

use crate::{
    error::{Error, Result},
    packed::{Encoding, PackedWeight, Packing},
    program::{
        BufId, BufRef, BufferInfo, Candidate, Choice, Cpu, Dispatch, Gpu, Kernel, Label, ParamBlock, Program, Target, Tuning,
        WeightId, cpu, fold_grid,
    },
    tensor::{Shape, Tensor, TensorDesc},
};

/// Where what is read lies among the channels of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// The first channel that is read.
    pub first: usize,
    /// Channels of the value, padding not counted.
    pub width: usize,
}

/// An input of the node that is being lowered.
#[derive(Debug, Clone)]
pub enum Operand {
    /// Computed earlier; lives in a device buffer with padded channels.
    Activation {
        /// The buffer.
        buffer: BufId,
        /// Logical type and shape of what is read.
        desc: TensorDesc,
        /// Where in the buffer's channels that is.
        view: View,
    },
    /// A checkpoint tensor or one derived from it.
    Constant {
        /// Checkpoint key or derived name.
        name: String,
        /// The values.
        tensor: Tensor,
    },
}

impl Operand {
    /// Logical type and shape.
    pub fn desc(&self) -> &TensorDesc {
        match self {
            Self::Activation { desc, .. } => desc,
            Self::Constant { tensor, .. } => tensor.desc(),
        }
    }
}

/// Where an operator's lowering reads its inputs from and pushes its steps to.
pub struct Lowering<'a, T: Target = Gpu> {
    caps: &'a T::Caps,
    tuning: &'a Tuning,
    program: &'a mut Program<T>,
    weight_ids: &'a mut HashMap<String, WeightId>,
    inputs: &'a [Operand],
    output: (BufId, &'a TensorDesc),
    label: Label,
}

impl<'a, T: Target> Lowering<'a, T> {
    /// A context for the node `label` with these operands.
    pub(crate) fn new(
        (caps, tuning): (&'a T::Caps, &'a Tuning),
        program: &'a mut Program<T>,
        weight_ids: &'a mut HashMap<String, WeightId>,
        inputs: &'a [Operand],
        output: (BufId, &'a TensorDesc),
        label: Label,
    ) -> Self {
        Self { caps, tuning, program, weight_ids, inputs, output, label }
    }

    /// What the device can do.
    pub fn caps(&self) -> &'a T::Caps {
        self.caps
    }

    /// How many inputs there are.
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Logical shape of input `i`.
    pub fn shape(&self, i: usize) -> &'a Shape {
        &self.inputs[i].desc().shape
    }

    /// Logical shape of the output.
    pub fn output_shape(&self) -> &'a Shape {
        &self.output.1.shape
    }

    /// The buffer that this node must fill, padding included.
    pub fn output(&self) -> BufId {
        self.output.0
    }

    /// Where the channels of input `i` lie; only of inputs for which the operator says that it
    /// [reads channels](crate::ops::Operator::reads_channels) may that be anywhere but at the start.
    pub fn view(&self, i: usize) -> View {
        match &self.inputs[i] {
            Operand::Activation { view, .. } => *view,
            Operand::Constant { tensor, .. } => View { first: 0, width: tensor.shape().last() },
        }
    }

    /// Input `i` as a buffer to read.
    ///
    /// # Errors
    /// [`Error::Shape`] when the input is a constant.
    pub fn activation(&self, i: usize) -> Result<BufRef> {
        match &self.inputs[i] {
            Operand::Activation { buffer, .. } => Ok(BufRef::Buffer(*buffer)),
            Operand::Constant { name, .. } => Err(self.error(format!("input {i} must be computed, but `{name}` is a constant"))),
        }
    }

    /// Input `i` as a constant.
    ///
    /// # Errors
    /// [`Error::Shape`] when the input is computed.
    pub fn constant(&self, i: usize) -> Result<(&'a str, &'a Tensor)> {
        match &self.inputs[i] {
            Operand::Constant { name, tensor } => Ok((name, tensor)),
            Operand::Activation { .. } => Err(self.error(format!("input {i} must be a constant"))),
        }
    }

    /// Input `i`, computed or constant, as a buffer to read; a constant is packed so.
    ///
    /// # Errors
    /// None in practice.
    pub fn operand(&mut self, i: usize, packing: Packing) -> Result<BufRef> {
        match &self.inputs[i] {
            Operand::Activation { .. } => self.activation(i),
            Operand::Constant { .. } => self.weight(&[Some(i)], packing),
        }
    }

    /// A packed weight made of the constant inputs `pieces` (`None`: absent); the same pieces and packing are stored once.
    ///
    /// # Errors
    /// [`Error::Shape`] when an input is not a constant.
    pub fn weight(&mut self, pieces: &[Option<usize>], packing: Packing) -> Result<BufRef> {
        self.encoded(pieces, packing, Encoding::F32)
    }

    /// The same in another encoding.
    fn encoded(&mut self, pieces: &[Option<usize>], packing: Packing, encoding: Encoding) -> Result<BufRef> {
        let mut names = Vec::with_capacity(pieces.len());
        let mut tensors = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let (name, tensor) = match piece {
                Some(i) => {
                    let (name, tensor) = self.constant(*i)?;
                    (name, Some(tensor.clone()))
                }
                None => ("-", None),
            };
            names.push(name);
            tensors.push(tensor);
        }
        let weight = PackedWeight::encoded(names.join(" + "), tensors, packing, encoding);
        if let Some(id) = self.weight_ids.get(weight.key()) {
            return Ok(BufRef::Weight(*id));
        }
        let id = WeightId(self.program.weights.len());
        self.weight_ids.insert(weight.key().to_owned(), id);
        self.program.weights.push(weight);
        Ok(BufRef::Weight(id))
    }

    /// A scratch buffer that lives only between the dispatches that name it.
    pub fn scratch(&mut self, bytes: u64) -> BufId {
        self.program
            .buffers
            .push(BufferInfo { bytes: bytes.next_multiple_of(16).max(16), name: format!("{}.scratch", self.label.node) });
        BufId(self.program.buffers.len() - 1)
    }

    /// An [`Error::Shape`] about this node.
    pub fn error(&self, reason: impl Into<String>) -> Error {
        Error::Shape { op: self.label.op, node: self.label.node.clone(), reason: reason.into() }
    }
}

impl Lowering<'_, Gpu> {
    /// These filters of constant input `i`, `[N, channels, taps..]` with `lead` zeros before the first channel, as panels in this encoding.
    ///
    /// # Errors
    /// [`Error::Shape`] when the input is not a constant.
    pub fn panels(
        &mut self,
        i: usize,
        encoding: Encoding,
        filters: Range<usize>,
        [lead, channels, taps]: [usize; 3],
    ) -> Result<BufRef> {
        let packing = Packing::Panels { first: filters.start, count: filters.len(), lead, channels, taps };
        self.encoded(&[Some(i)], packing, encoding)
    }

    /// The candidate for a piece of work of these sizes.
    ///
    /// # Errors
    /// [`Error::Shape`] when none runs on the adapter, or not the one that the tuning names.
    pub fn choose<T>(&self, choice: &Choice<T>, sizes: [usize; 3]) -> Result<&'static Candidate<T>> {
        choice.pick(self.caps, self.tuning, sizes).map_err(|reason| self.error(reason))
    }

    /// Appends a dispatch of `workgroups` workgroups in a row.
    pub fn dispatch(&mut self, kernel: Kernel, reads: Vec<BufRef>, writes: Vec<BufId>, params: ParamBlock, workgroups: u64) {
        let grid = fold_grid(workgroups);
        self.program.dispatches.push(Dispatch { kernel, reads, writes, params, grid, label: self.label.clone() });
    }
}

impl Lowering<'_, Cpu> {
    /// Appends a run of `kernel` over all of its parts.
    pub fn step(&mut self, kernel: impl Into<cpu::CpuKernel>, reads: Vec<BufRef>, writes: Vec<BufId>) {
        let label = self.label.clone();
        self.program.dispatches.push(cpu::CpuStep { kernel: kernel.into(), reads, writes, label });
    }
}

impl<T: Target> Program<T> {
    /// A new buffer for an activation.
    pub(crate) fn add_activation(&mut self, name: &str, desc: &TensorDesc) -> BufId {
        self.buffers.push(BufferInfo { bytes: T::activation_bytes(desc).max(16), name: name.to_owned() });
        BufId(self.buffers.len() - 1)
    }
}
