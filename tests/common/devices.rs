//! The devices that tests run on: both software adapters, which every machine can have, and what hardware there is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use std::sync::{Arc, Once};

use webmamba::low_level::{
    gpu::{self, GpuDevice},
    program::Caps,
};

/// Chromium's package brings SwiftShader as a Vulkan driver.
const SWIFTSHADER: &str = "/usr/lib/chromium/vk_swiftshader_icd.json";

/// Opens an adapter by a part of its name, with other capabilities than its own if a change is given.
pub fn open(name: &str, change: impl FnOnce(Caps) -> Caps) -> Arc<GpuDevice> {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(|| {
        // SAFETY: called before the first Vulkan instance, and nothing else here reads or writes the environment at that time.
        unsafe { std::env::set_var("VK_ADD_DRIVER_FILES", SWIFTSHADER) };
    });
    let device = pollster::block_on(GpuDevice::open(Some(name)));
    let mut device = device.unwrap_or_else(|error| panic!("`make setup` installs the adapters that tests need: {error}"));
    device.set_caps(change(*device.caps()));
    Arc::new(device)
}

/// Mesa's software rasteriser.
pub fn lavapipe() -> Arc<GpuDevice> {
    open("llvmpipe", |caps| caps)
}

/// Google's.
pub fn swiftshader() -> Arc<GpuDevice> {
    open("SwiftShader", |caps| caps)
}

/// The best hardware adapter, if there is one.
pub fn hardware() -> Option<Arc<GpuDevice>> {
    let found = pollster::block_on(gpu::adapters());
    let best = found.iter().find(|a| !a.is_software())?;
    Some(open(&best.name, |caps| caps))
}
