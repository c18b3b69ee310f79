//! `attention` on processor cores.

use super::Attention;
use crate::{
    error::Result,
    ops::Lower,
    program::{Cpu, Lowering, cpu},
};

impl Lower<Cpu> for Attention {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let [sequences, length, channels] = self.dims(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        let reads = vec![cx.activation(0)?];
        let output = cx.output();
        cx.step(cpu::Attention { sequences, length, heads: self.heads, channels }, reads, vec![output]);
        Ok(())
    }
}
