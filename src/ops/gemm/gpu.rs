//! The product on the GPU, by one of [`PRODUCTS`].

use super::ImplicitGemm;
use crate::{
    error::Result,
    ops::{Epilogue, choices::PRODUCTS},
    packed::Encoding,
    program::{CHANNEL_ALIGN, Lowering, Params, padded_channels, params},
};

params! {
    struct GemmParams {
        rows: u32,
        panels: u32,
        in_h: u32,
        in_w: u32,
        in_channels4: u32,
        first_read4: u32,
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

/// Pushes the dispatches of a product: one, or several over slices of the columns where the packed weight exceeds a binding.
pub(in crate::ops) fn lower(cx: &mut Lowering<'_>, g: &ImplicitGemm, epilogue: &Epilogue) -> Result<()> {
    let rows = g.images * g.output[0] * g.output[1];
    let taps = g.kernel[0] * g.kernel[1];
    // Reads are of four channels: a run that begins within such a group meets zeros in the weight for those before it.
    let x = cx.view(0);
    let lead = x.first % CHANNEL_ALIGN;
    let read = padded_channels(lead + g.channels);
    let encoding = Encoding::of(cx.constant(1)?.1, [lead, g.channels, taps]);
    let panel_bytes = encoding.panel_words(lead + g.channels, taps) as u64 * 4;
    let panels_that_fit = (cx.caps().max_storage_binding / panel_bytes) as usize;
    if panels_that_fit == 0 {
        return Err(cx.error(format!("eight output channels take {panel_bytes} bytes, more than a storage binding")));
    }
    let product = cx.choose(&PRODUCTS, [rows, taps * g.channels, g.output_channels])?.value;
    let (kernel, tile) = product.kernel(cx.caps());
    let kernel = kernel.with("ENCODING", encoding as u32);
    let mut first = 0;
    while first < g.output_channels {
        let count = (g.output_channels - first).min(panels_that_fit * 8);
        let weight = cx.panels(1, encoding, first..first + count, [lead, g.channels, taps])?;
        let padded = count.next_multiple_of(8);
        let (kernel, [vectors, residual, gate]) = epilogue.bind(cx, kernel.clone(), first, padded)?;
        let params = GemmParams {
            rows: rows as u32,
            panels: (padded / 8) as u32,
            in_h: g.input[0] as u32,
            in_w: g.input[1] as u32,
            in_channels4: (padded_channels(x.width) / 4) as u32,
            first_read4: (x.first / CHANNEL_ALIGN) as u32,
            read_channels4: (read / CHANNEL_ALIGN) as u32,
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
