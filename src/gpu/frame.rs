//! Images that are resized, cropped and normalised on the device, straight into a model's input.

use wgpu::{
    Buffer, BufferUsages, CommandEncoder, Extent3d, Origin3d, TexelCopyBufferInfo, TexelCopyBufferLayout, TexelCopyTextureInfo,
    TextureAspect,
};

use crate::{
    error::{Error, Result},
    gpu::{
        Frame, GpuDevice, Pixels,
        launch::{Binding, Launch, launches},
    },
    image::Preprocess,
    plan::{self, FramePlan},
    program::BufRef,
};

/// WebGPU's alignment of rows in copies from textures.
const ROW_ALIGN: u32 = 256;

/// Everything that frames of one size need, made when the first of them comes.
#[derive(Debug)]
pub(super) struct FrameStage {
    key: ([u32; 2], u32, Preprocess),
    buffers: Vec<Buffer>,
    pub(super) launches: Vec<Launch>,
}

impl Frame<'_> {
    fn stride(&self) -> u32 {
        match self.pixels {
            Pixels::Host(_) => self.width,
            Pixels::Texture(_) => (self.width * 4).next_multiple_of(ROW_ALIGN) / 4,
        }
    }

    /// Whether the pixels are what the frame says, and the device can hold them.
    pub(super) fn check(&self, gpu: &GpuDevice) -> Result<()> {
        let fits = match self.pixels {
            Pixels::Host(bytes) => bytes.len() as u64 == u64::from(self.width) * u64::from(self.height) * 4,
            Pixels::Texture(texture) => texture.width() >= self.width && texture.height() >= self.height,
        };
        if !fits {
            return Err(Error::InvalidArgument(format!("the pixels are not {} x {}", self.width, self.height)));
        }
        let bytes = u64::from(self.height) * u64::from(self.stride()) * 4;
        if bytes > gpu.caps().max_storage_binding { Err(self.too_large(gpu, bytes)) } else { Ok(()) }
    }

    fn too_large(&self, gpu: &GpuDevice, needed: u64) -> Error {
        let adapter = format!("{} (for an image of {} x {} pixels)", gpu.summary().name, self.width, self.height);
        let (limit, available) = ("maxStorageBufferBindingSize".into(), gpu.caps().max_storage_binding);
        Error::AdapterLimit { adapter, limit, needed, available }
    }
}

impl FrameStage {
    /// The stage for a frame that has been checked: `old` where that fits it.
    pub(super) async fn fit(
        old: Option<Self>,
        gpu: &GpuDevice,
        frame: &Frame<'_>,
        preprocess: &Preprocess,
        input: &Binding,
    ) -> Result<Self> {
        let size = [frame.width, frame.height];
        if let Some(stage) = old {
            if stage.key.0 == size && stage.key.1 == frame.stride() && stage.key.2 == *preprocess {
                return Ok(stage);
            }
            stage.buffers.iter().for_each(Buffer::destroy);
        }
        let plan = plan::frame(preprocess, size, frame.stride())?;
        if let Some(needed) = plan.buffers.iter().copied().find(|bytes| *bytes > gpu.caps().max_storage_binding) {
            return Err(frame.too_large(gpu, needed));
        }
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_DST;
        let mut buffers = Vec::with_capacity(plan.buffers.len() + 1);
        for bytes in &plan.buffers {
            buffers.push(gpu.buffer("frame", *bytes, usage).await?);
        }
        let watch = gpu.watch();
        for (id, table) in &plan.tables {
            gpu.queue.write_buffer(&buffers[id.0], 0, bytemuck::cast_slice(table));
        }
        watch.close().await?;
        let bound = |read: &BufRef| match read {
            BufRef::Buffer(FramePlan::INPUT) => Ok(input.clone()),
            BufRef::Buffer(id) => Ok(Binding::whole(&buffers[id.0])),
            BufRef::Weight(_) | BufRef::Nothing => Err(Error::Gpu { reason: "frames have no weights".into() }),
        };
        let (launches, params) = launches(gpu, &plan.dispatches, bound, |_, _| {}).await?;
        buffers.push(params);
        Ok(Self { key: (size, frame.stride(), preprocess.clone()), buffers, launches })
    }

    /// Brings the pixels to where the first launch reads them.
    pub(super) fn upload(&self, gpu: &GpuDevice, encoder: &mut CommandEncoder, frame: &Frame<'_>) {
        let image = &self.buffers[FramePlan::IMAGE.0];
        match frame.pixels {
            Pixels::Host(bytes) => gpu.queue.write_buffer(image, 0, bytes),
            Pixels::Texture(texture) => encoder.copy_texture_to_buffer(
                TexelCopyTextureInfo { texture, mip_level: 0, origin: Origin3d::ZERO, aspect: TextureAspect::All },
                TexelCopyBufferInfo {
                    buffer: image,
                    layout: TexelCopyBufferLayout {
                        offset: 0,
                        bytes_per_row: Some(frame.stride() * 4),
                        rows_per_image: Some(frame.height),
                    },
                },
                Extent3d { width: frame.width, height: frame.height, depth_or_array_layers: 1 },
            ),
        }
    }

    /// Gives the memory back.
    pub(super) fn destroy(&self) {
        self.buffers.iter().for_each(Buffer::destroy);
    }
}
