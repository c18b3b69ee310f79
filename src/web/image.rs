//! Images as JavaScript hands them over.

use js_sys::Uint8Array;
use wasm_bindgen::{JsCast, prelude::*};

use super::{JsResult, WebDevice, values::to_js};
use crate::{
    error::Error,
    gpu::{Frame, Pixels},
    session::Device,
};

/// What JavaScript gives to be classified.
pub(super) enum Image {
    Pixels(Vec<u8>),
    Texture(wgpu::Texture),
}

impl Image {
    pub(super) fn new(device: &WebDevice, image: JsValue, width: u32, height: u32) -> JsResult<Self> {
        match (image.dyn_into::<Uint8Array>(), &device.0) {
            (Ok(pixels), _) => Ok(Self::Pixels(pixels.to_vec())),
            (Err(texture), Device::Gpu(gpu)) => {
                let descriptor = wgpu::TextureDescriptor {
                    label: Some("frame"),
                    size: wgpu::Extent3d { width, height, depth_or_array_layers: 1 },
                    mip_level_count: 1,
                    sample_count: 1,
                    dimension: wgpu::TextureDimension::D2,
                    format: wgpu::TextureFormat::Rgba8Unorm,
                    usage: wgpu::TextureUsages::COPY_SRC,
                    view_formats: &[],
                };
                let texture = texture.unchecked_into();
                Ok(Self::Texture(gpu.device().create_texture_from_webgpu_handle(texture, &descriptor, None)))
            }
            (Err(_), Device::Cpu) => Err(to_js(Error::InvalidArgument("the CPU takes pixels as a Uint8Array".into()))),
        }
    }

    pub(super) fn frame(&self, width: u32, height: u32) -> Frame<'_> {
        let pixels = match self {
            Self::Pixels(bytes) => Pixels::Host(bytes),
            Self::Texture(texture) => Pixels::Texture(texture),
        };
        Frame { width, height, pixels }
    }
}
