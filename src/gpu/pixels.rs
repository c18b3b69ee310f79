//! Images as callers hand them to a device.

#[cfg(not(feature = "gpu"))]
use super::absent::Texture;
#[cfg(feature = "gpu")]
use wgpu::Texture;

/// An image for the device.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Where they are.
    pub pixels: Pixels<'a>,
}

/// The pixels of a [`Frame`]: 8-bit RGBA; alpha is not looked at.
#[derive(Debug, Clone, Copy)]
pub enum Pixels<'a> {
    /// In host memory, `height * width * 4` bytes.
    Host(&'a [u8]),
    /// On the device, in a texture of format `Rgba8Unorm` with the usage `COPY_SRC`, of at least the frame's size.
    Texture(&'a Texture),
}
