//! `arg_max` on the GPU.

use super::ArgMax;
use crate::{
    error::Result,
    ops::{Lower, conv2d::nhwc},
    program::{Gpu, Kernel, Lowering, Params, padded_channels, params},
};

params! {
    struct ArgMaxParams {
        lines: u32,
        height: u32,
        width: u32,
        through_rows: u32,
        through_columns: u32,
        rows: u32,
        columns: u32,
        channels: u32,
    }
}

impl Lower<Gpu> for ArgMax {
    fn lower(&self, cx: &mut Lowering<'_>) -> Result<()> {
        let [images, height, width, channels] = nhwc(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        let ([through_rows, through_columns], [rows, columns]) = (self.through, self.size);
        let params = ArgMaxParams {
            lines: (images * rows) as u32,
            height: height as u32,
            width: width as u32,
            through_rows: through_rows as u32,
            through_columns: through_columns as u32,
            rows: rows as u32,
            columns: columns as u32,
            channels: channels as u32,
        };
        // A thread makes a word of four pixels.
        let words = (images * rows * padded_channels(columns) / 4) as u64;
        let reads = vec![cx.activation(0)?];
        cx.dispatch(Kernel::new("arg_max"), reads, vec![cx.output()], params.block(), words.div_ceil(64));
        Ok(())
    }
}
