//! On a device that the program has opened for itself: `cargo run --release --example own_device -- PICTURE`. What it draws with can then
//! share the adapter, its memory and its queue with the model.

use std::sync::Arc;

use webmamba::{
    Classifier, Device, Error, Model, ModelOptions, Result, RgbImage,
    low_level::gpu::{AdapterSummary, GpuDevice},
};

fn main() -> Result<()> {
    let path = std::env::args().nth(1).ok_or_else(|| Error::InvalidArgument("which picture?".into()))?;
    pollster::block_on(async {
        let failed = |reason: String| Error::Gpu { reason };
        let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
        let adapter = instance.request_adapter(&Default::default()).await.map_err(|error| failed(error.to_string()))?;
        // Kernels use whatever the adapter has: ask for all of its limits, and for timestamps where profiles are wanted.
        let wanted = wgpu::DeviceDescriptor { required_limits: adapter.limits(), ..Default::default() };
        let (device, queue) = adapter.request_device(&wanted).await.map_err(|error| failed(error.to_string()))?;
        let summary = AdapterSummary::of(&adapter);
        eprintln!("on {}", summary.line());
        let device = Device::Gpu(Arc::new(GpuDevice::of(device, queue, summary)?));
        let model = Model::embedded("mamba_vision_nano", &ModelOptions::default())?;
        let mut classifier = Classifier::new(model, &device, 1, 1).await?;
        let (predictions, _) = classifier.classify(&[RgbImage::open(path)?]).await?;
        println!("{}", predictions[0][0].label);
        Ok(())
    })
}
