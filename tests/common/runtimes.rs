//! What tests run on: each adapter there is, with the kernels of its own class or another's, or with one candidate forced.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use std::sync::{Arc, OnceLock};

use webmamba::low_level::{
    gpu::GpuDevice,
    ops::{NORMS, Op, PRODUCTS, SCANS},
    program::{AdapterClass, Caps, Choice, Tuning},
    tensor::Shape,
};

use super::{
    cases::{Case, Operand},
    devices,
};

/// A device, and how graphs are lowered for it.
#[derive(Clone)]
pub struct Runtime {
    /// Such as `lavapipe, hardware kernels`.
    pub name: String,
    pub device: Arc<GpuDevice>,
    pub caps: Caps,
    pub tuning: Tuning,
}

/// All adapters by the names that tests have, each opened once.
fn adapters() -> &'static [(&'static str, Arc<GpuDevice>)] {
    static ADAPTERS: OnceLock<Vec<(&str, Arc<GpuDevice>)>> = OnceLock::new();
    ADAPTERS.get_or_init(|| {
        let software = [("lavapipe", devices::lavapipe()), ("swiftshader", devices::swiftshader())];
        software.into_iter().chain(devices::hardware().map(|device| ("hardware", device))).collect()
    })
}

/// Every adapter with the default kernels of both classes.
pub fn classes() -> Vec<Runtime> {
    let classes = [(AdapterClass::Software, "software"), (AdapterClass::Hardware, "hardware")];
    let of = |(adapter, device): &(&str, Arc<GpuDevice>)| {
        let runtime = |(class, name)| Runtime {
            name: format!("{adapter}, {name} kernels"),
            device: device.clone(),
            caps: Caps { class, ..*device.caps() },
            tuning: Tuning::default(),
        };
        classes.map(runtime)
    };
    adapters().iter().flat_map(of).collect()
}

/// Every adapter, for this case: once with each candidate that can do its work there, or once where there is nothing to choose.
pub fn candidates(case: &Case) -> Vec<Runtime> {
    adapters()
        .iter()
        .flat_map(|(adapter, device)| {
            let (work, names) = match &case.op {
                Op::Linear(_) | Op::Conv2d(_) => forced(&PRODUCTS, device.caps(), [1; 3]),
                Op::LayerNorm(_) | Op::RmsNorm(_) => forced(&NORMS, device.caps(), [1; 3]),
                Op::SelectiveScan(op) => {
                    let shapes: Vec<Shape> = case.operands.iter().map(Operand::read).collect();
                    forced(&SCANS, device.caps(), op.sizes(&shapes.iter().collect::<Vec<_>>()).unwrap())
                }
                _ => ("", vec![""]),
            };
            names.into_iter().map(move |name| {
                let (what, tuning) = match name {
                    "" => (String::new(), Tuning::default()),
                    _ => (format!(", {work} by {name}"), Tuning::default().always(work, name)),
                };
                Runtime { name: format!("{adapter}{what}"), device: device.clone(), caps: *device.caps(), tuning }
            })
        })
        .collect()
}

fn forced<T>(choice: &Choice<T>, caps: &Caps, sizes: [usize; 3]) -> (&'static str, Vec<&'static str>) {
    (choice.work, choice.candidates.iter().filter(|c| (c.fits)(caps, sizes)).map(|c| c.name).collect())
}
