//! The product on processor cores: one step, whose weight is packed into panels when the program is made.

use super::ImplicitGemm;
use crate::{
    error::Result,
    ops::Epilogue,
    packed::Packing,
    program::{Cpu, Lowering, cpu},
};

/// Pushes the step of a product.
pub(in crate::ops) fn lower_cpu(cx: &mut Lowering<'_, Cpu>, g: &ImplicitGemm, epilogue: &Epilogue) -> Result<()> {
    let isa = cx.caps().isa;
    let taps = g.kernel[0] * g.kernel[1];
    let by_rows = taps == 1 && isa.reads_rows();
    let panels = Packing::Columns { lanes: isa.lanes(), width: isa.panel_width(), channels: g.channels, taps };
    let packing = if by_rows { Packing::Flat } else { panels };
    let x = cx.view(0);
    let weight = cx.weight(&[Some(1)], packing)?;
    let [vectors, residual, gate] = epilogue.bind_cpu(cx, g.output_channels)?;
    let kernel = cpu::Gemm {
        images: g.images,
        input: g.input,
        input_channels: x.width,
        first_channel: x.first,
        read_channels: g.channels,
        output: g.output,
        output_channels: g.output_channels,
        kernel: g.kernel,
        stride: g.stride,
        padding: g.padding,
        by_rows,
        epilogue: (*epilogue).into(),
    };
    let (reads, output) = (vec![cx.activation(0)?, weight, vectors, residual, gate], cx.output());
    cx.step(kernel, reads, vec![output]);
    Ok(())
}
