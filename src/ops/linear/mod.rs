//! y = epilogue(x W^T): `nn.Linear` and 1x1 convolutions over channels-last tensors.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Epilogue, Operator, exact, gemm::ImplicitGemm},
    tensor::{Shape, Tensor},
};

/// Inputs: x `(.., K)`, which may be a run of channels, weight `[N, K]`, then the parts of the epilogue. Output: `(.., N)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Linear {
    /// What happens to the product.
    pub epilogue: Epilogue,
}

impl Operator for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x, weight, ..] = inputs else { return Err(format!("needs at least 2 inputs, found {}", inputs.len())) };
        let &[n, k] = weight.dims() else { return Err(format!("weight must be [N, K], found {weight}")) };
        if x.rank() == 0 || k == 0 || k != x.last() {
            return Err(format!("weight [N, K] = {weight} needs an input of K channels, found {x}"));
        }
        let out = x.with_last(n);
        self.epilogue.check(inputs, &out)?;
        Ok(out)
    }

    fn reads_channels(&self, i: usize) -> bool {
        i == 0
    }

    fn macs(&self, inputs: &[&Shape], output: &Shape) -> u64 {
        output.len() as u64 * inputs[1].last() as u64
    }
}

impl Definition for Linear {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let (x, weight) = (exact::values(inputs[0]), exact::values(inputs[1]));
        let (n, k, epilogue) = (inputs[1].shape().dims()[0], inputs[1].shape().last(), self.epilogue.exact(inputs));
        let mut out = Vec::with_capacity(inputs[0].shape().rows() * n);
        for row in x.chunks_exact(inputs[0].shape().last()) {
            for filter in weight.chunks_exact(k) {
                let sum = row.iter().zip(filter).map(|(x, w)| x * w).sum();
                out.push(epilogue.apply(sum, out.len(), n));
            }
        }
        exact::tensor(inputs[0].shape().with_last(n), out)
    }
}

/// A product as a convolution of one row of pixels.
fn geometry(x: &Shape, weight: &Shape) -> ImplicitGemm {
    ImplicitGemm {
        images: 1,
        input: [1, x.rows()],
        channels: x.last(),
        output: [1, x.rows()],
        output_channels: weight.dims()[0],
        kernel: [1, 1],
        stride: 1,
        padding: 0,
    }
}
