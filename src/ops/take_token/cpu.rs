//! `take_token` on processor cores.

use super::TakeToken;
use crate::{
    error::Result,
    ops::Lower,
    program::{Cpu, Lowering, cpu},
};

impl Lower<Cpu> for TakeToken {
    fn lower(&self, cx: &mut Lowering<'_, Cpu>) -> Result<()> {
        let [images, tokens, channels] = self.dims(cx.shape(0)).map_err(|reason| cx.error(reason))?;
        let (reads, output) = (vec![cx.activation(0)?], cx.output());
        cx.step(cpu::TakeToken { images, tokens, channels, at: self.at }, reads, vec![output]);
        Ok(())
    }
}
