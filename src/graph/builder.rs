//! What models build graphs with: layers by their checkpoint paths.

use crate::{
    error::Result,
    graph::{Graph, Input, Layout, Value},
    ops::{
        Act, Activation, Add, BatchNorm, Conv2d, DepthwiseConv2d, Epilogue, LayerNorm, Linear, MergePatches, Op, Reshape,
        RmsNorm, Scale, WindowPartition, WindowReverse,
    },
    tensor::{Shape, Tensor},
    weights::Reader,
};

/// Adds layers to a graph. Every method reads the layer's tensors from the given view of the checkpoint and names the node after it.
#[derive(Debug)]
pub struct Builder {
    graph: Graph,
    input: Value,
}

impl Builder {
    /// A builder for images `(B, H, W, 3)`.
    pub fn new(input: impl Into<Shape>) -> Self {
        let mut graph = Graph::new();
        let input = graph.input("input", input);
        Self { graph, input }
    }

    /// The finished graph.
    pub fn finish(self) -> Graph {
        self.graph
    }

    /// The image batch.
    pub fn input(&self) -> Value {
        self.input
    }

    /// Shape of a value.
    pub fn shape(&self, value: Value) -> &Shape {
        self.graph.node(value).shape()
    }

    /// `(B, H, W, C)` of an image-shaped value; extents of other ranks count as 1.
    pub fn image_dims(&self, value: Value) -> [usize; 4] {
        let dims = self.shape(value).dims();
        [0, 1, 2, 3].map(|i| dims.get(i).copied().unwrap_or(1))
    }

    /// A constant that is not a checkpoint tensor as it stands; `name` must tell what it is.
    pub fn constant(&mut self, name: impl Into<String>, tensor: Tensor) -> Value {
        self.graph.constant(name, tensor)
    }

    /// The checkpoint tensor `key` of `w`.
    ///
    /// # Errors
    /// Those of [`Reader::get`].
    pub fn weight(&mut self, w: &Reader, key: &str, shape: &[usize]) -> Result<Value> {
        let tensor = w.get(key, shape)?;
        Ok(self.graph.constant(w.path(key), tensor))
    }

    /// Any operator.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] when the shapes do not fit, as for every method below.
    pub fn op<I: Into<Input>>(
        &mut self,
        name: impl Into<String>,
        op: impl Into<Op>,
        inputs: impl IntoIterator<Item = I>,
    ) -> Result<Value> {
        self.graph.op(name, op, inputs)
    }

    /// Names a value as a result.
    pub fn output(&mut self, name: impl Into<String>, value: Value, layout: Layout) {
        self.graph.output(name, value, layout);
    }

    /// `nn.Linear` from the `k` channels of x, which may be a run of those of a value, to `n`: keys `weight` `[n, k]` and, where there is
    /// one, `bias` `[n]`.
    pub fn linear(&mut self, w: &Reader, x: impl Into<Input>, n: usize, bias: bool) -> Result<Value> {
        let x = x.into();
        let k = self.graph.shape_of(x).last();
        let mut inputs = vec![x, self.weight(w, "weight", &[n, k])?.into()];
        if bias {
            inputs.push(self.weight(w, "bias", &[n])?.into());
        }
        self.op(module(w), Linear { epilogue: Epilogue::biased(bias) }, inputs)
    }

    /// Rows `first..first + count` of the checkpoint tensor `key` of `w`, which has the shape `shape`.
    ///
    /// # Errors
    /// Those of [`Reader::get`].
    pub fn weight_rows(&mut self, w: &Reader, key: &str, shape: &[usize], first: usize, count: usize) -> Result<Value> {
        let rows = w.get(key, shape)?.rows(first, count)?;
        Ok(self.graph.constant(format!("{}[{first}..{}]", w.path(key), first + count), rows))
    }

    /// Outputs `first..first + count` of an `nn.Linear` to `n` channels over all of x, as a layer of its own called `name`.
    pub fn linear_part(
        &mut self,
        w: &Reader,
        name: &str,
        x: Value,
        n: usize,
        [first, count]: [usize; 2],
        bias: bool,
    ) -> Result<Value> {
        let k = self.shape(x).last();
        let mut inputs = vec![x, self.weight_rows(w, "weight", &[n, k], first, count)?];
        if bias {
            inputs.push(self.weight_rows(w, "bias", &[n], first, count)?);
        }
        self.op(w.path(name), Linear { epilogue: Epilogue::biased(bias) }, inputs)
    }

    /// `nn.Conv2d` with a square kernel, same-padded for odd ones: keys `weight` `[n, c, k, k]` and, where there is one, `bias`.
    pub fn conv2d(&mut self, w: &Reader, x: Value, n: usize, kernel: usize, stride: usize, bias: bool) -> Result<Value> {
        let c = self.shape(x).last();
        let mut inputs = vec![x, self.weight(w, "weight", &[n, c, kernel, kernel])?];
        if bias {
            inputs.push(self.weight(w, "bias", &[n])?);
        }
        let epilogue = Epilogue::biased(bias);
        self.op(module(w), Conv2d { stride, padding: kernel / 2, epilogue }, inputs)
    }

    /// `nn.Conv2d` with a square kernel, bias and no padding: patches of an image; or, where `clip`, `nn.Conv3d` over one frame at a time.
    pub fn patches(&mut self, w: &Reader, x: Value, n: usize, kernel: usize, stride: usize, clip: bool) -> Result<Value> {
        let c = self.shape(x).last();
        let weight = match clip {
            true => w.get("weight", &[n, c, 1, kernel, kernel])?.reshape([n, c, kernel, kernel])?,
            false => w.get("weight", &[n, c, kernel, kernel])?,
        };
        let inputs = vec![x, self.constant(w.path("weight"), weight), self.weight(w, "bias", &[n])?];
        self.op(module(w), Conv2d { stride, padding: 0, epilogue: Epilogue::biased(true) }, inputs)
    }

    /// Swin's patch merging, cells of 2 x 2 pixels as one: keys `norm.*` over their channels, and `reduction.weight` to `n`.
    pub fn merge_patches(&mut self, w: &Reader, x: Value, n: usize) -> Result<Value> {
        let x = self.op(w.path("cells"), MergePatches, vec![x])?;
        let x = self.layer_norm(&w.pp("norm"), x, 1e-5)?;
        self.linear(&w.pp("reduction"), x, n, false)
    }

    /// Depthwise 3x3 `nn.Conv2d` with bias over `(B, H, W, C)`.
    pub fn depthwise3(&mut self, w: &Reader, x: Value, stride: usize) -> Result<Value> {
        let c = self.shape(x).last();
        let inputs = vec![x, self.weight(w, "weight", &[c, 1, 3, 3])?, self.weight(w, "bias", &[c])?];
        self.op(module(w), DepthwiseConv2d::same([3, 3], stride, Epilogue::biased(true)), inputs)
    }

    /// `nn.LayerNorm` over channels.
    pub fn layer_norm(&mut self, w: &Reader, x: Value, eps: f32) -> Result<Value> {
        let c = self.shape(x).last();
        let inputs = vec![x, self.weight(w, "weight", &[c])?, self.weight(w, "bias", &[c])?];
        self.op(module(w), LayerNorm { eps }, inputs)
    }

    /// RMSNorm over channels.
    pub fn rms_norm(&mut self, w: &Reader, x: Value, eps: f32) -> Result<Value> {
        let c = self.shape(x).last();
        let inputs = vec![x, self.weight(w, "weight", &[c])?];
        self.op(module(w), RmsNorm { eps }, inputs)
    }

    /// `nn.BatchNorm2d` with its running statistics.
    pub fn batch_norm(&mut self, w: &Reader, x: Value, eps: f32) -> Result<Value> {
        let c = self.shape(x).last();
        let mut inputs = vec![x];
        for key in ["weight", "bias", "running_mean", "running_var"] {
            inputs.push(self.weight(w, key, &[c])?);
        }
        self.op(module(w), BatchNorm { eps }, inputs)
    }

    /// A non-linearity.
    pub fn activation(&mut self, name: impl Into<String>, x: Value, act: Act) -> Result<Value> {
        self.op(name, Activation(act), vec![x])
    }

    /// `x + branch`, the branch scaled by the vector under `gamma` where the model has layer scale.
    pub fn residual(&mut self, name: &str, x: Value, branch: Value, gamma: Option<(&Reader, &str)>) -> Result<Value> {
        let branch = match gamma {
            Some((w, key)) => {
                let c = self.shape(branch).last();
                let gamma = self.weight(w, key, &[c])?;
                self.op(w.path(key), Scale, vec![branch, gamma])?
            }
            None => branch,
        };
        self.op(name, Add, vec![x, branch])
    }

    /// The same bytes under another shape; nothing where it is that shape already.
    pub fn reshape(&mut self, x: Value, shape: impl Into<Shape>) -> Result<Value> {
        let shape = shape.into();
        if *self.shape(x) == shape {
            return Ok(x);
        }
        let name = self.graph.node(x).name.clone();
        self.op(name, Reshape(shape), vec![x])
    }

    /// `(B, H, W, C)` as windows `(B * n, size^2, C)`, zero-padded; a mere reshape where the image is one window.
    pub fn window_partition(&mut self, name: &str, x: Value, size: usize) -> Result<Value> {
        let [b, h, w, c] = self.image_dims(x);
        if (h, w) == (size, size) {
            return self.reshape(x, [b, h * w, c]);
        }
        self.op(format!("{name}.windows"), WindowPartition { size }, vec![x])
    }

    /// Back from windows to `(B, height, width, C)`.
    pub fn window_reverse(&mut self, name: &str, x: Value, size: usize, height: usize, width: usize) -> Result<Value> {
        if (height, width) == (size, size) {
            let dims = self.shape(x).dims();
            let (b, c) = (dims[0], dims[2]);
            return self.reshape(x, [b, height, width, c]);
        }
        self.op(format!("{name}.image"), WindowReverse { size, height, width }, vec![x])
    }
}

/// The path of the module that a view of the checkpoint stands for.
fn module(w: &Reader) -> String {
    w.path("").trim_end_matches('.').to_owned()
}
