//! The product behind `linear` and `conv2d`: an implicit GEMM whose left matrix is gathered from an NHWC image.
//!
//! On the CPU it is the `gemm` crate; on the device `gemm_tiled` (register blocks over workgroup memory, for hardware), and for
//! software adapters `gemm_subgroup` or, without subgroups, `gemm_direct` (register tiles straight from memory).

use gemm::{Parallelism, gemm};

use crate::{
    error::Result,
    ops::Epilogue,
    program::{AdapterClass, Caps, Kernel, Lowering, Packing, Params, padded_channels, params},
};

/// Geometry of a convolution seen as a product: rows are output pixels, columns are output channels, and the reduced axis is
/// (kernel position, input channel).
#[derive(Debug, Clone, Copy)]
pub(super) struct ImplicitGemm {
    /// Batch.
    pub(super) images: usize,
    /// Input height and width.
    pub(super) input: [usize; 2],
    /// Channels of an input pixel.
    pub(super) input_channels: usize,
    /// How many of them are read, from the first on.
    pub(super) read_channels: usize,
    /// Output height and width.
    pub(super) output: [usize; 2],
    /// N.
    pub(super) output_channels: usize,
    /// Kernel height and width.
    pub(super) kernel: [usize; 2],
    /// Step in both directions.
    pub(super) stride: usize,
    /// Zeros around the image.
    pub(super) padding: usize,
}

impl ImplicitGemm {
    /// Copies the patch under output pixel `row` into `patch` (taps x channels); what lies outside the image stays as it is.
    pub(super) fn gather(&self, x: &[f32], row: usize, patch: &mut [f32]) {
        let [oh, ow] = self.output;
        let [h, w] = self.input;
        let c = self.input_channels;
        let (image, oy, ox) = (row / (oh * ow), row / ow % oh, row % ow);
        for ky in 0..self.kernel[0] {
            let Some(y) = (oy * self.stride + ky).checked_sub(self.padding).filter(|y| *y < h) else { continue };
            for kx in 0..self.kernel[1] {
                let Some(x0) = (ox * self.stride + kx).checked_sub(self.padding).filter(|x| *x < w) else { continue };
                let from = ((image * h + y) * w + x0) * c;
                let to = (ky * self.kernel[1] + kx) * c;
                patch[to..to + c].copy_from_slice(&x[from..from + c]);
            }
        }
    }
}

/// A matrix by reference, with strides in elements.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl Matrix<'_> {
    fn covers(&self, rows: usize, columns: usize) -> bool {
        rows == 0 || columns == 0 || (rows - 1) * self.row_stride + (columns - 1) * self.column_stride < self.values.len()
    }
}

/// How many threads a product may use.
#[derive(Clone, Copy)]
pub(super) enum Threads {
    One,
    All,
}

/// out = a b for `[m, k, n]`, row-major `out`.
pub(super) fn matmul(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], [m, k, n]: [usize; 3], threads: Threads) {
    assert!(a.covers(m, k) && b.covers(k, n) && out.len() == m * n, "matmul operands do not cover {m} x {k} x {n}");
    let parallelism = match threads {
        Threads::One => Parallelism::None,
        Threads::All => crate::platform::gemm_parallelism(),
    };
    // SAFETY: the assertion above holds every address that is read or written inside its slice.
    unsafe {
        gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            false,
            a.values.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.values.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// out = x W^T for `[m, k, n]`: x has rows of `stride` values, of which the first k are read, the weight is `[n, k]`.
///
/// Either factor or the result has to be turned, since vector units want neighbours along the same axis of all of them. `matmul`
/// turns the weight, which takes longer than the product itself where there are few rows; there x and the result are smaller.
pub(super) fn linear(x: &[f32], stride: usize, weight: &[f32], out: &mut [f32], [m, k, n]: [usize; 3]) {
    if !crate::platform::TURNS_ROWS || m * (k + n) > k * n {
        let x = Matrix { values: x, row_stride: stride, column_stride: 1 };
        let weight = Matrix { values: weight, row_stride: 1, column_stride: k };
        return matmul(x, weight, out, [m, k, n], Threads::All);
    }
    let (mut turned_x, mut turned) = (vec![0.0; k * m], vec![0.0; n * m]);
    transpose(x, stride, [m, k], &mut turned_x);
    // As (W x^T): row-major n x m, whose columns are the rows of `out`.
    let weight = Matrix { values: weight, row_stride: k, column_stride: 1 };
    let turned_x = Matrix { values: &turned_x, row_stride: m, column_stride: 1 };
    matmul(weight, turned_x, &mut turned, [n, k, m], Threads::All);
    transpose(&turned, m, [n, m], out);
}

/// The first `columns` values of `rows` rows, that are `stride` apart, as a matrix `[columns, rows]`.
fn transpose(src: &[f32], stride: usize, [rows, columns]: [usize; 2], out: &mut [f32]) {
    /// Side of the squares that are turned at a time: a cache line of every row that is read or written.
    const SIDE: usize = 16;
    assert!(out.len() == rows * columns && columns <= stride, "cannot turn {rows} x {columns} of rows of {stride}");
    crate::platform::par_chunks_mut(out, SIDE * rows, |i, turned| {
        for (j, block) in src.chunks(SIDE * stride).enumerate() {
            for (column, row) in turned.chunks_exact_mut(rows).enumerate() {
                for (value, from) in row[j * SIDE..].iter_mut().zip(block.chunks(stride)) {
                    *value = from[i * SIDE + column];
                }
            }
        }
    });
}

params! {
    struct GemmParams {
        rows: u32,
        panels: u32,
        in_h: u32,
        in_w: u32,
        in_channels4: u32,
        read_channels4: u32,
        out_h: u32,
        out_w: u32,
        out_channels: u32,
        first_channel4: u32,
        kernel_h: u32,
        kernel_w: u32,
        stride: u32,
        padding: u32,
    }
}

/// The kernel for an adapter, and the rows and columns that one of its workgroups computes; the numbers stand in the shaders too.
fn variant(caps: &Caps) -> (Kernel, [usize; 2]) {
    match (caps.class, caps.subgroup) {
        (AdapterClass::Hardware, _) => (Kernel::new("gemm_tiled"), [64, 64]),
        (AdapterClass::Software, Some(lanes @ (4 | 8))) => {
            (Kernel::new("gemm_subgroup").with("SUBGROUP", lanes), [2 * lanes as usize, 4 * lanes as usize])
        }
        (AdapterClass::Software, _) => (Kernel::new("gemm_direct"), [64, 64]),
    }
}

/// Pushes the dispatches of a product: one, or several over slices of the columns where the packed weight exceeds a binding.
pub(super) fn lower(cx: &mut Lowering<'_>, g: &ImplicitGemm, epilogue: &Epilogue) -> Result<()> {
    let rows = g.images * g.output[0] * g.output[1];
    let taps = g.kernel[0] * g.kernel[1];
    let panel_bytes = (taps * padded_channels(g.read_channels) * 8 * 4) as u64;
    let panels_that_fit = (cx.caps().max_storage_binding / panel_bytes) as usize;
    if panels_that_fit == 0 {
        return Err(cx.error(format!("eight output channels take {panel_bytes} bytes, more than a storage binding")));
    }
    let (kernel, tile) = variant(cx.caps());
    let mut first = 0;
    while first < g.output_channels {
        let count = (g.output_channels - first).min(panels_that_fit * 8);
        let packing = Packing::Panels { first, count, channels: g.read_channels, taps };
        let weight = cx.weight(&[Some(1)], packing)?;
        let padded = count.next_multiple_of(8);
        let (kernel, [vectors, residual, gate]) = epilogue.bind(cx, kernel.clone(), first, padded)?;
        let params = GemmParams {
            rows: rows as u32,
            panels: (padded / 8) as u32,
            in_h: g.input[0] as u32,
            in_w: g.input[1] as u32,
            in_channels4: (padded_channels(g.input_channels) / 4) as u32,
            read_channels4: (padded_channels(g.read_channels) / 4) as u32,
            out_h: g.output[0] as u32,
            out_w: g.output[1] as u32,
            out_channels: g.output_channels as u32,
            first_channel4: (first / 4) as u32,
            kernel_h: g.kernel[0] as u32,
            kernel_w: g.kernel[1] as u32,
            stride: g.stride as u32,
            padding: g.padding as u32,
        };
        let workgroups = rows.div_ceil(tile[0]) as u64 * padded.div_ceil(tile[1]) as u64;
        let reads = vec![cx.activation(0)?, weight, vectors, residual, gate];
        cx.dispatch(kernel, reads, vec![cx.output()], params.block(), workgroups);
        first += count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_few_and_of_many_rows_agree_with_sums() {
        let wave = |n: usize, step: usize| (0..n).map(|i| (i * step % 101) as f32 * 0.02 - 1.0).collect::<Vec<f32>>();
        // Rows, what is read of them, columns, and the length of a row; both ways of turning, and the border between them.
        for [m, k, n, stride] in [
            [1, 1, 1, 1],
            [1, 65, 3, 65],
            [3, 63, 197, 65],
            [49, 197, 65, 200],
            [48, 96, 96, 96],
            [49, 96, 96, 97],
            [197, 3, 65, 3],
        ] {
            let (x, weight) = (wave(m * stride, 37), wave(n * k, 29));
            let mut out = vec![f32::NAN; m * n];
            linear(&x, stride, &weight, &mut out, [m, k, n]);
            for (row, x) in out.chunks_exact(n).zip(x.chunks_exact(stride)) {
                for (value, filter) in row.iter().zip(weight.chunks_exact(k)) {
                    let want: f64 = x.iter().zip(filter).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    assert!((f64::from(*value) - want).abs() < 1e-4, "{m} x {k} x {n}: {value}, not {want}");
                }
            }
        }
    }
}
