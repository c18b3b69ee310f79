//! The dispatches that turn an image in device memory into a model's input: the twin of [`Preprocess::apply`], bit for bit up to
//! the normalisation.

use crate::{
    error::Result,
    image::{Filter, Preprocess},
    program::{BufId, BufRef, Dispatch, Kernel, Label, ParamBlock, Params, fold_grid, params},
};

/// Buffers and dispatches for images of one size.
#[derive(Debug)]
pub struct FramePlan {
    /// Bytes of each buffer, by [`BufId`]; the input of the model is none of them.
    pub buffers: Vec<u64>,
    /// What the tables of weights are filled with, once.
    pub tables: [(BufId, Vec<i32>); 2],
    /// The horizontal pass, then the vertical one; or both in one.
    pub dispatches: Vec<Dispatch>,
}

impl FramePlan {
    /// The image, packed RGBA.
    pub const IMAGE: BufId = BufId(0);
    /// The model's input `(1, H, W, 3)`, or an image of its batch.
    pub const INPUT: BufId = BufId(4);
}

params! {
    struct ResizeRowsParams { stride: u32, first_row: u32, rows: u32, columns: u32 }
}

params! {
    struct ResizeColumnsParams {
        first_row: u32,
        rows: u32,
        columns: u32,
        top: u32,
        left: u32,
        height: u32,
        width: u32,
        fill: u32,
        mean_r: f32,
        mean_g: f32,
        mean_b: f32,
        std_r: f32,
        std_g: f32,
        std_b: f32,
    }
}

params! {
    struct ResizeBilinearParams {
        stride: u32,
        height: u32,
        width: u32,
        mean_r: f32,
        mean_g: f32,
        mean_b: f32,
        std_r: f32,
        std_g: f32,
        std_b: f32,
    }
}

/// What is done to images of `width` x `height` pixels whose rows are `stride` pixels apart.
///
/// # Errors
/// Those of [`Preprocess::plan`].
pub fn frame(preprocess: &Preprocess, [width, height]: [u32; 2], stride: u32) -> Result<FramePlan> {
    if preprocess.filter == Filter::Bilinear {
        return bilinear(preprocess, [width, height], stride);
    }
    let tables = preprocess.tables(width, height)?;
    let (rows, columns) = (&tables.rows, &tables.columns);
    let [row_taps, column_taps, between] = [BufId(1), BufId(2), BufId(3)];
    let horizontal =
        ResizeRowsParams { stride, first_row: rows.source as u32, rows: rows.source_len as u32, columns: columns.len as u32 };
    let [r, g, b] = tables.fill.map(u32::from);
    let vertical = ResizeColumnsParams {
        first_row: rows.source as u32,
        rows: rows.len as u32,
        columns: columns.len as u32,
        top: rows.target as u32,
        left: columns.target as u32,
        height: preprocess.size[0] as u32,
        width: preprocess.size[1] as u32,
        fill: r | g << 8 | b << 16,
        mean_r: preprocess.mean[0],
        mean_g: preprocess.mean[1],
        mean_b: preprocess.mean[2],
        std_r: preprocess.std[0],
        std_g: preprocess.std[1],
        std_b: preprocess.std[2],
    };
    let target = preprocess.size[0] * preprocess.size[1];
    Ok(FramePlan {
        buffers: vec![
            words(stride as usize * height as usize),
            words(rows.taps.len()),
            words(columns.taps.len()),
            words(rows.source_len * columns.len),
        ],
        dispatches: vec![
            dispatch("resize_rows", &[FramePlan::IMAGE, column_taps], between, horizontal.block(), rows.source_len * columns.len),
            dispatch("resize_columns", &[between, row_taps], FramePlan::INPUT, vertical.block(), target),
        ],
        tables: [(row_taps, tables.rows.taps), (column_taps, tables.columns.taps)],
    })
}

/// The same by the bilinear filter.
fn bilinear(preprocess: &Preprocess, [width, height]: [u32; 2], stride: u32) -> Result<FramePlan> {
    let [rows, columns] = preprocess.bilinear_tables(width, height)?;
    let [row_taps, column_taps] = [BufId(1), BufId(2)];
    let [to_rows, to_columns] = preprocess.size;
    let params = ResizeBilinearParams {
        stride,
        height: to_rows as u32,
        width: to_columns as u32,
        mean_r: preprocess.mean[0],
        mean_g: preprocess.mean[1],
        mean_b: preprocess.mean[2],
        std_r: preprocess.std[0],
        std_g: preprocess.std[1],
        std_b: preprocess.std[2],
    };
    let reads = [FramePlan::IMAGE, row_taps, column_taps];
    let resize = dispatch("resize_bilinear", &reads, FramePlan::INPUT, params.block(), to_rows * to_columns);
    Ok(FramePlan {
        buffers: vec![words(stride as usize * height as usize), words(rows.len()), words(columns.len())],
        dispatches: vec![resize],
        tables: [(row_taps, rows), (column_taps, columns)],
    })
}

fn dispatch(shader: &'static str, reads: &[BufId], write: BufId, params: ParamBlock, threads: usize) -> Dispatch {
    Dispatch {
        kernel: Kernel::new(shader),
        reads: reads.iter().map(|id| BufRef::Buffer(*id)).collect(),
        writes: vec![write],
        params,
        grid: fold_grid((threads as u64).div_ceil(64)),
        label: Label { op: "preprocess", node: shader.into() },
    }
}

/// Bytes of so many words, as buffers have them.
fn words(count: usize) -> u64 {
    (count as u64 * 4).next_multiple_of(16).max(16)
}
