//! y = epilogue(conv(x)): dense `nn.Conv2d` over NHWC images.

use crate::{
    error::Result,
    ops::{Epilogue, Operator, gemm},
    platform,
    program::Lowering,
    tensor::{Shape, Tensor},
};

/// How the weight constant is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WeightLayout {
    /// PyTorch's `[N, C, kh, kw]`.
    #[default]
    Oihw,
    /// `[kh, kw, C, N]`: the right-hand matrix of the implicit GEMM; what the CPU device stores.
    Hwio,
}

/// Inputs: x `(B, H, W, C)`, weight `[N, C, kh, kw]`, then the parts of the epilogue. Output: `(B, H', W', N)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Step in both directions.
    pub stride: usize,
    /// Zeros around the image on each side.
    pub padding: usize,
    /// Layout of the weight.
    pub layout: WeightLayout,
    /// What happens to the result.
    pub epilogue: Epilogue,
}

/// Output extent of a convolution along one axis, or why there is none.
pub(super) fn conv_extent(input: usize, kernel: usize, stride: usize, padding: usize) -> std::result::Result<usize, String> {
    // Devices count positions in u32.
    let counted = |n: &usize| u32::try_from(*n).is_ok();
    let padded = padding.checked_mul(2).and_then(|around| around.checked_add(input)).filter(counted);
    match padded {
        Some(padded) if (1..=padded).contains(&kernel) && stride > 0 && counted(&stride) => Ok((padded - kernel) / stride + 1),
        _ => Err(format!("a kernel of {kernel} with stride {stride} does not fit an extent of {input} padded by {padding}")),
    }
}

/// `(B, H, W, C)` of an NHWC shape.
pub(super) fn nhwc(x: &Shape) -> std::result::Result<[usize; 4], String> {
    x.dims().try_into().map_err(|_| format!("input must be (B, H, W, C), found {x}"))
}

impl Conv2d {
    /// `[N, C, kh, kw]` of the weight.
    fn weight_dims(&self, weight: &Shape) -> std::result::Result<[usize; 4], String> {
        let dims: [usize; 4] = weight.dims().try_into().map_err(|_| format!("weight must have 4 axes, found {weight}"))?;
        Ok(match self.layout {
            WeightLayout::Oihw => dims,
            WeightLayout::Hwio => [dims[3], dims[2], dims[0], dims[1]],
        })
    }

    fn geometry(&self, x: &Shape, weight: &Shape) -> std::result::Result<gemm::ImplicitGemm, String> {
        let [b, h, w, c] = nhwc(x)?;
        let [n, k, kh, kw] = self.weight_dims(weight)?;
        if k != c {
            return Err(format!("weight of {n} x {k} x {kh} x {kw} needs {k} input channels, found {x}"));
        }
        Ok(gemm::ImplicitGemm {
            images: b,
            input: [h, w],
            input_channels: c,
            read_channels: c,
            output: [conv_extent(h, kh, self.stride, self.padding)?, conv_extent(w, kw, self.stride, self.padding)?],
            output_channels: n,
            kernel: [kh, kw],
            stride: self.stride,
            padding: self.padding,
        })
    }
}

impl Operator for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn infer(&self, inputs: &[&Shape]) -> std::result::Result<Shape, String> {
        let [x, weight, ..] = inputs else { return Err(format!("needs at least 2 inputs, found {}", inputs.len())) };
        let g = self.geometry(x, weight)?;
        let out = Shape::from([g.images, g.output[0], g.output[1], g.output_channels]);
        self.epilogue.check(inputs, &out)?;
        Ok(out)
    }

    fn macs(&self, inputs: &[&Shape], output: &Shape) -> u64 {
        output.len() as u64 * (inputs[1].len() / output.last().max(1)) as u64
    }

    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let misfit = |reason| crate::Error::Shape { op: self.name(), node: String::new(), reason };
        let g = self.geometry(inputs[0].shape(), inputs[1].shape()).map_err(misfit)?;
        let x = inputs[0].to_f32();
        let weight = match self.layout {
            WeightLayout::Hwio => inputs[1].clone(),
            WeightLayout::Oihw => oihw_to_hwio(inputs[1])?,
        };
        let weight = weight.to_f32();
        let (k, n) = (g.kernel[0] * g.kernel[1] * g.input_channels, g.output_channels);
        let rows = g.images * g.output[0] * g.output[1];
        let mut out = vec![0.0; rows * n];
        let epilogue = self.epilogue.prepare(inputs);
        // Enough rows that packing the weight for each chunk is cheap beside the product, few enough that the patches stay in cache.
        let chunk = (1usize << 16).div_ceil(k).clamp(32, 512);
        platform::par_chunks_mut(&mut out, chunk * n, |i, out| {
            let (first, count) = (i * chunk, out.len() / n);
            let mut patches = vec![0.0; count * k];
            for (row, patch) in patches.chunks_exact_mut(k).enumerate() {
                g.gather(&x, first + row, patch);
            }
            let patches = gemm::Matrix { values: &patches, row_stride: k, column_stride: 1 };
            let weight = gemm::Matrix { values: &weight, row_stride: n, column_stride: 1 };
            gemm::matmul(patches, weight, out, [count, k, n], gemm::Threads::One);
            epilogue.apply(out, n, first);
        });
        Tensor::from_f32([g.images, g.output[0], g.output[1], n], out)
    }

    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        if self.layout != WeightLayout::Oihw {
            return Err(cx.error("the device packs weights from [N, C, kh, kw]"));
        }
        let geometry = self.geometry(cx.shape(0), cx.shape(1)).map_err(|reason| cx.error(reason))?;
        gemm::lower(cx, &geometry, &self.epilogue)
    }
}

/// A weight `[N, C, kh, kw]` as `[kh, kw, C, N]`.
///
/// # Errors
/// [`crate::Error::InvalidArgument`] when the tensor does not have four axes.
pub fn oihw_to_hwio(weight: &Tensor) -> Result<Tensor> {
    let &[n, c, kh, kw] = weight.shape().dims() else {
        return Err(crate::Error::InvalidArgument(format!("a convolution weight has four axes, found {}", weight.shape())));
    };
    let (src, taps) = (weight.to_f32(), kh * kw);
    let mut out = vec![0.0; src.len()];
    for (o, filter) in src.chunks_exact((c * taps).max(1)).enumerate() {
        for (i, kernel) in filter.chunks_exact(taps.max(1)).enumerate() {
            for (tap, value) in kernel.iter().enumerate() {
                out[(tap * c + i) * n + o] = *value;
            }
        }
    }
    Tensor::from_f32([kh, kw, c, n], out)
}
