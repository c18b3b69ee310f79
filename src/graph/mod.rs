//! The computation graph: single-assignment nodes in topological order, built by models and rewritten by passes.

mod builder;
mod input;
mod io;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

pub use builder::Builder;
pub use input::{Channels, Input};
pub use io::arrange;
pub(crate) use io::check_inputs;

use crate::{
    error::{Error, Result},
    ops::Op,
    program::padded_channels,
    tensor::{Shape, Tensor, TensorDesc},
};

/// A node's result: an index into [`Graph::nodes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(u32);

impl Value {
    /// Position of the node in [`Graph::nodes`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a node's value comes from.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Given at every run.
    Input,
    /// A checkpoint tensor or one derived from it.
    Constant(Tensor),
    /// An operator on earlier values, or on some of their channels.
    Op(Op, Vec<Input>),
}

/// One value of the graph.
#[derive(Debug, Clone)]
pub struct Node {
    /// Checkpoint path of the module or tensor; several may have the same.
    pub name: String,
    /// How the value is made.
    pub kind: Kind,
    /// Type and shape.
    pub desc: TensorDesc,
}

impl Node {
    /// Inputs of an operator; empty for the others.
    pub fn inputs(&self) -> &[Input] {
        match &self.kind {
            Kind::Op(_, inputs) => inputs,
            Kind::Input | Kind::Constant(_) => &[],
        }
    }

    /// The shape.
    pub fn shape(&self) -> &Shape {
        &self.desc.shape
    }
}

/// How an output is handed out. Inside the graph everything is channels-last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As computed: `(B, C)`, `(B, L, C)`, `(B, k, 2)`, or `(B, H, W)` for class maps.
    Plain,
    /// `(B, H, W, C)` becomes `(B, C, H, W)`, as PyTorch returns feature maps.
    Nchw,
}

/// A named result.
#[derive(Debug, Clone)]
pub struct Output {
    /// Name, such as `logits` or `stage2`.
    pub name: String,
    /// The value.
    pub value: Value,
    /// How it is handed out.
    pub layout: Layout,
}

/// A model for one batch size and input size.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    inputs: Vec<Value>,
    outputs: Vec<Output>,
}

impl Graph {
    /// A graph without nodes.
    pub const fn new() -> Self {
        Self { nodes: Vec::new(), inputs: Vec::new(), outputs: Vec::new() }
    }

    /// Adds an input of this shape; models have one, the image batch `(B, H, W, 3)`.
    pub fn input(&mut self, name: impl Into<String>, shape: impl Into<Shape>) -> Value {
        let value = self.push(Node { name: name.into(), kind: Kind::Input, desc: TensorDesc::f32(shape) });
        self.inputs.push(value);
        value
    }

    /// All nodes; inputs of a node always come before it.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of a value.
    pub fn node(&self, value: Value) -> &Node {
        &self.nodes[value.index()]
    }

    /// The inputs in order.
    pub fn inputs(&self) -> &[Value] {
        &self.inputs
    }

    /// The results.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// Values with their nodes, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Value, &Node)> {
        self.nodes.iter().enumerate().map(|(i, node)| (Value(i as u32), node))
    }

    /// Adds a constant.
    pub fn constant(&mut self, name: impl Into<String>, tensor: Tensor) -> Value {
        let desc = tensor.desc().clone();
        self.push(Node { name: name.into(), kind: Kind::Constant(tensor), desc })
    }

    /// Adds an operator on existing values.
    ///
    /// # Errors
    /// [`Error::Shape`] when the shapes do not fit.
    pub fn op<I: Into<Input>>(
        &mut self,
        name: impl Into<String>,
        op: impl Into<Op>,
        inputs: impl IntoIterator<Item = I>,
    ) -> Result<Value> {
        self.add_op(name.into(), op.into(), inputs.into_iter().map(Into::into).collect())
    }

    fn add_op(&mut self, name: String, op: Op, inputs: Vec<Input>) -> Result<Value> {
        match self.infer(&op, &inputs) {
            Ok(shape) => {
                let desc = TensorDesc { dtype: op.element(), shape };
                Ok(self.push(Node { name, kind: Kind::Op(op, inputs), desc }))
            }
            Err(reason) => Err(Error::Shape { op: op.name(), node: name, reason }),
        }
    }

    fn infer(&self, op: &Op, inputs: &[Input]) -> std::result::Result<Shape, String> {
        let mut shapes = Vec::with_capacity(inputs.len());
        for (i, input) in inputs.iter().enumerate() {
            let whole = self.node(input.value).shape();
            indexable(&format!("input {i}"), whole)?;
            if input.channels.is_some() && !op.reads_channels(i) {
                return Err(format!("input {i} is {whole}{input}, but this operator reads all of its channels"));
            }
            shapes.push(input.shape(whole)?);
        }
        let shape = op.infer(&shapes.iter().collect::<Vec<_>>())?;
        indexable("the output", &shape)?;
        Ok(shape)
    }

    /// The shape of what an operator reads.
    pub fn shape_of(&self, input: impl Into<Input>) -> Shape {
        let input = input.into();
        let whole = self.node(input.value).shape();
        // Only what fits becomes an input of a node.
        input.shape(whole).unwrap_or_else(|_| whole.clone())
    }

    /// The shapes of what an operator reads.
    pub fn shapes_of(&self, inputs: &[Input]) -> Vec<Shape> {
        inputs.iter().map(|input| self.shape_of(*input)).collect()
    }

    /// Names a value as a result.
    pub fn output(&mut self, name: impl Into<String>, value: Value, layout: Layout) {
        self.outputs.push(Output { name: name.into(), value, layout });
    }

    /// The same graph with other results.
    #[must_use]
    pub fn with_outputs(mut self, outputs: Vec<Output>) -> Self {
        self.outputs = outputs;
        self
    }

    /// The same graph with only the named results, in this order.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when a name is not a result; the message lists those that are.
    pub fn select(self, names: &[&str]) -> Result<Self> {
        let mut selected = Vec::with_capacity(names.len());
        for name in names {
            let Some(output) = self.outputs.iter().find(|o| o.name == *name) else {
                let known: Vec<&str> = self.outputs.iter().map(|o| o.name.as_str()).collect();
                return Err(Error::InvalidArgument(format!("there is no output `{name}`; there are: {}", known.join(", "))));
            };
            selected.push(output.clone());
        }
        Ok(self.with_outputs(selected))
    }

    /// What the operator of this name computes: of several the last one. Names are those of the checkpoint's modules.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] when no operator is called so.
    pub fn named(&self, name: &str) -> Result<Value> {
        let called = |(_, node): &(Value, &Node)| node.name == name && matches!(node.kind, Kind::Op(..));
        let found = self.iter().filter(called).last();
        found.map(|(value, _)| value).ok_or_else(|| Error::InvalidArgument(format!("the model has no operator `{name}`")))
    }

    /// How often each value is read, by operators and as a result.
    pub fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.nodes.len()];
        let read = self.nodes.iter().flat_map(Node::inputs).map(|input| input.value);
        for value in read.chain(self.outputs.iter().map(|output| output.value)) {
            uses[value.index()] += 1;
        }
        uses
    }

    /// Multiply-adds of one run.
    pub fn macs(&self) -> u64 {
        self.nodes
            .iter()
            .map(|node| match &node.kind {
                Kind::Op(op, inputs) => op.macs(&self.shapes_of(inputs).iter().collect::<Vec<_>>(), node.shape()),
                Kind::Input | Kind::Constant(_) => 0,
            })
            .sum()
    }

    /// A line an operator: for debugging and for reading what a pass did.
    pub fn dump(&self) -> String {
        let mut text = String::new();
        for (value, node) in self.iter() {
            let Kind::Op(op, inputs) = &node.kind else { continue };
            let inputs: Vec<String> = inputs
                .iter()
                .map(|input| match &self.node(input.value).kind {
                    Kind::Op(..) => format!("%{}{input}", input.value.index()),
                    Kind::Input | Kind::Constant(_) => format!("{}{input}", self.node(input.value).name),
                })
                .collect();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "%{} = {:?}({}) : {}  # {}", value.index(), op, inputs.join(", "), node.desc, node.name);
        }
        for output in &self.outputs {
            let _ = writeln!(text, "{} = %{}", output.name, output.value.index());
        }
        text
    }

    fn push(&mut self, node: Node) -> Value {
        self.nodes.push(node);
        Value((self.nodes.len() - 1) as u32)
    }
}

/// Whether a value has elements, and few enough that a device counts them, padding included, in u32: or why not.
fn indexable(what: &str, shape: &Shape) -> std::result::Result<(), String> {
    if shape.is_empty() {
        return Err(format!("{what} {shape} has no elements"));
    }
    let padded = shape.checked_len().and_then(|len| (len / shape.last()).checked_mul(padded_channels(shape.last())));
    match padded {
        Some(len) if u32::try_from(len).is_ok() => Ok(()),
        _ => Err(format!("{what} {shape} has too many elements")),
    }
}
