//! y = epilogue(x W^T): `nn.Linear` and 1x1 convolutions over channels-last tensors.

use crate::{
    error::Result,
    ops::{Epilogue, Operator, gemm},
    program::Lowering,
    tensor::{Shape, Tensor},
};

/// Inputs: x `(.., C)`, weight `[N, K]` with K <= C, then the parts of the epilogue. Output: `(.., N)`.
///
/// Only the first K channels of x are read: MambaVision's `x_proj` reads the scanned half of its input and `dt_proj` the first
/// `dt_rank` outputs of `x_proj`, without a copy.
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
        if x.rank() == 0 || k == 0 || k > x.last() {
            return Err(format!("weight [N, K] = {weight} needs an input of at least K channels, found {x}"));
        }
        let out = x.with_last(n);
        self.epilogue.check(inputs, &out)?;
        Ok(out)
    }

    fn macs(&self, inputs: &[&Shape], output: &Shape) -> u64 {
        output.len() as u64 * inputs[1].last() as u64
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let (x, w) = (inputs[0], inputs[1]);
        let (n, k) = (w.shape().dims()[0], w.shape().dims()[1]);
        let rows = x.shape().rows();
        let mut out = vec![0.0; rows * n];
        gemm::linear(&x.to_f32(), x.shape().last(), &w.to_f32(), &mut out, [rows, k, n]);
        let epilogue = self.epilogue.prepare(inputs);
        let chunk = (1usize << 14).div_ceil(n).max(1);
        crate::platform::par_chunks_mut(&mut out, chunk * n, |i, rows| epilogue.apply(rows, n, i * chunk));
        Tensor::from_f32(x.shape().with_last(n), out)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let (x, w) = (cx.shape(0), cx.shape(1));
        let rows = x.rows();
        let conv = gemm::ImplicitGemm {
            images: 1,
            input: [1, rows],
            input_channels: x.last(),
            read_channels: w.last(),
            output: [1, rows],
            output_channels: w.dims()[0],
            kernel: [1, 1],
            stride: 1,
            padding: 0,
        };
        gemm::lower(cx, &conv, &self.epilogue)
    }
}
