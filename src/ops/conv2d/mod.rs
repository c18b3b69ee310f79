//! y = epilogue(conv(x)): dense `nn.Conv2d` over NHWC images.

mod cpu;
mod gpu;

use crate::{
    error::Result,
    ops::{Definition, Epilogue, Operator, exact, gemm},
    tensor::{Shape, Tensor},
};

/// Inputs: x `(B, H, W, C)`, which may be a run of channels, weight `[N, C, kh, kw]`, then the parts of the epilogue. Output: `(B, H', W', N)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2d {
    /// Step in both directions.
    pub stride: usize,
    /// Zeros around the image on each side.
    pub padding: usize,
    /// What happens to the result.
    pub epilogue: Epilogue,
}

/// Output extent of a convolution along one axis, or why there is none.
pub(super) fn conv_extent(input: usize, kernel: usize, stride: usize, padding: [usize; 2]) -> std::result::Result<usize, String> {
    // Devices count positions in u32.
    let counted = |n: &usize| u32::try_from(*n).is_ok();
    let padded = padding[0].checked_add(padding[1]).and_then(|around| around.checked_add(input)).filter(counted);
    match padded {
        Some(padded) if (1..=padded).contains(&kernel) && stride > 0 && counted(&stride) => Ok((padded - kernel) / stride + 1),
        _ => Err(format!("a kernel of {kernel} with stride {stride} does not fit an extent of {input} padded by {padding:?}")),
    }
}

/// `(B, H, W, C)` of an NHWC shape.
pub(super) fn nhwc(x: &Shape) -> std::result::Result<[usize; 4], String> {
    x.dims().try_into().map_err(|_| format!("input must be (B, H, W, C), found {x}"))
}

impl Conv2d {
    fn geometry(&self, x: &Shape, weight: &Shape) -> std::result::Result<gemm::ImplicitGemm, String> {
        let [b, h, w, c] = nhwc(x)?;
        let [n, k, kh, kw]: [usize; 4] =
            weight.dims().try_into().map_err(|_| format!("weight must be [N, C, kh, kw], found {weight}"))?;
        if k != c {
            return Err(format!("weight of {n} x {k} x {kh} x {kw} needs {k} input channels, found {x}"));
        }
        Ok(gemm::ImplicitGemm {
            images: b,
            input: [h, w],
            channels: c,
            output: [conv_extent(h, kh, self.stride, [self.padding; 2])?, conv_extent(w, kw, self.stride, [self.padding; 2])?],
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

    fn reads_channels(&self, i: usize) -> bool {
        i == 0
    }

    fn macs(&self, inputs: &[&Shape], output: &Shape) -> u64 {
        output.len() as u64 * (inputs[1].len() / output.last().max(1)) as u64
    }
}

impl Definition for Conv2d {
    fn eval(&self, inputs: &[&Tensor]) -> Result<Tensor> {
        let g = self.geometry(inputs[0].shape(), inputs[1].shape()).unwrap_or_default();
        let (x, weight, epilogue) = (exact::values(inputs[0]), exact::values(inputs[1]), self.epilogue.exact(inputs));
        let ([h, w], [oh, ow], [kh, kw], c, n) = (g.input, g.output, g.kernel, g.channels, g.output_channels);
        let mut out = Vec::with_capacity(g.images * oh * ow * n);
        for pixel in 0..g.images * oh * ow {
            let (image, oy, ox) = (pixel / (oh * ow), pixel / ow % oh, pixel % ow);
            for filter in weight.chunks_exact(c * kh * kw) {
                let mut sum = 0.0;
                for tap in 0..kh * kw {
                    let y = (oy * self.stride + tap / kw).checked_sub(self.padding).filter(|y| *y < h);
                    let x0 = (ox * self.stride + tap % kw).checked_sub(self.padding).filter(|x| *x < w);
                    let Some((y, x0)) = y.zip(x0) else { continue };
                    let from = &x[((image * h + y) * w + x0) * c..][..c];
                    sum += from.iter().enumerate().map(|(i, v)| v * filter[i * kh * kw + tap]).sum::<f64>();
                }
                out.push(epilogue.apply(sum, out.len(), n));
            }
        }
        exact::tensor([g.images, oh, ow, n], out)
    }
}
