//! Half precision: which buffers of a program hold f16 instead of f32. Kernels convert what they load and store, and compute in f32.

use crate::program::{BufRef, Dispatch, Program};

/// The kernel constant whose bit `i` says that binding `i` holds f16.
pub(crate) const HALF: &str = "HALF";

/// Bindings of a shader that may hold f16: those of activations.
fn half_bindings(shader: &str) -> u32 {
    match shader {
        "gemm_direct" | "gemm_split" | "gemm_subgroup" | "gemm_tiled" | "depthwise_conv2d" => 0b11_0001,
        "pointwise" => 0b111,
        "layer_norm" => 0b101,
        "window" => 0b11,
        "attention" | "avg_pool" => 0b1,
        "selective_scan" | "selective_scan_reduce" => 0b10_0111,
        "linear_attention" => 0b10_0011,
        "linear_attention_kv" => 0b111,
        _ => 0,
    }
}

/// Bindings of a dispatch that may. Sums along residual branches grow from block to block, beyond 65,504 in some checkpoints: they stay
/// in f32.
fn may_hold(dispatch: &Dispatch) -> u32 {
    let on = |name| dispatch.kernel.constant(name).unwrap_or(0);
    let adds = dispatch.kernel.shader == "pointwise" && on("MODE") == 1;
    match half_bindings(dispatch.kernel.shader) {
        _ if adds => 0,
        bindings if on("RESIDUAL") == 1 => bindings & !0b10_0000,
        bindings => bindings,
    }
}

/// Keeps in f16 what every kernel that touches it can have so. Inputs and results stay in f32.
pub(super) fn halve(program: &mut Program) {
    let mut whole = vec![false; program.buffers.len()];
    for value in program.inputs.iter().chain(&program.outputs) {
        whole[value.buffer.0] = true;
    }
    for dispatch in &program.dispatches {
        let may = may_hold(dispatch);
        for (i, buffer) in bound(dispatch) {
            whole[buffer] |= may >> i & 1 == 0;
        }
    }
    for dispatch in &mut program.dispatches {
        let half = bound(dispatch).filter(|(_, buffer)| !whole[*buffer]).fold(0, |bits, (i, _)| bits | 1 << i);
        if half != 0 {
            dispatch.kernel.constants.push((HALF, half));
        }
    }
    for (buffer, whole) in program.buffers.iter_mut().zip(whole) {
        if !whole {
            buffer.bytes = (buffer.bytes / 2).next_multiple_of(16);
        }
    }
}

/// Buffers that a dispatch touches, and the bindings where it does.
fn bound(dispatch: &Dispatch) -> impl Iterator<Item = (usize, usize)> {
    let reads = dispatch.reads.iter().map(|read| match read {
        BufRef::Buffer(id) => Some(id.0),
        BufRef::Weight(_) | BufRef::Nothing => None,
    });
    let buffers = reads.chain(dispatch.writes.iter().map(|id| Some(id.0)));
    buffers.enumerate().filter_map(|(i, buffer)| Some((i, buffer?)))
}

#[cfg(all(test, feature = "gpu"))]
mod tests {
    use super::*;
    use crate::{error::Result, gpu::shader, program::Kernel};

    #[test]
    fn every_binding_that_may_hold_f16_is_one_of_floats() -> Result<()> {
        for name in shader::names() {
            let bindings = half_bindings(name);
            if bindings != 0 {
                shader::assemble(&Kernel::new(name).with(HALF, bindings))?;
            }
        }
        Ok(())
    }
}
