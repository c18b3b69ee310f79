//! Image files to [`RgbImage`], by `webmamba-pictures`, whose documentation says what becomes of them. Native only.

use std::{fs::File, io::Read, path::Path};

use webmamba_pictures::Picture;
pub use webmamba_pictures::{MAX_BYTES, MAX_PIXELS};

use super::{MAX_SIDE, RgbImage};
use crate::error::{Error, Result};

const _: () = assert!(webmamba_pictures::MAX_SIDE == MAX_SIDE);

/// Usual endings of the formats that are decoded.
pub const EXTENSIONS: [&str; 11] = ["jpg", "jpeg", "jpe", "jfif", "png", "apng", "webp", "bmp", "gif", "tif", "tiff"];
/// Usual endings of pictures that are not: reading them gives an error that names their format.
pub const FOREIGN_EXTENSIONS: [&str; 38] = [
    "heic", "heif", "hif", "avif", "jxl", "jp2", "j2k", "jpx", "psd", "psb", "svg", "svgz", "pdf", "eps", "ico", "tga", "exr",
    "hdr", "dds", "qoi", "ppm", "pgm", "pbm", "pnm", "pcx", "cr2", "cr3", "nef", "nrw", "arw", "srf", "dng", "orf", "rw2", "raf",
    "pef", "srw", "x3f",
];

impl RgbImage {
    /// Decodes an image file.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read (missing, a folder, no permission), [`Error::Image`] as [`RgbImage::decode`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let (name, bytes) = read(path.as_ref())?;
        Self::decode(&name, &bytes)
    }

    /// Decodes the bytes of an image file; `name` is used in errors.
    ///
    /// # Errors
    /// [`Error::Image`] when the bytes are empty, of no supported format, damaged or truncated, or when the image has more than
    /// [`MAX_PIXELS`] pixels or would take more than [`MAX_BYTES`] bytes to decode.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        let picture = webmamba_pictures::decode(bytes).map_err(|reason| Error::image(name, reason))?;
        Self::of(name, picture)
    }

    /// All frames of an animated GIF, WebP or PNG file as they are shown, in their order; of any other the one image.
    ///
    /// # Errors
    /// Those of [`RgbImage::open`]; [`Error::Image`] when the frames take more than [`MAX_BYTES`] together.
    pub fn open_frames(path: impl AsRef<Path>) -> Result<Vec<Self>> {
        let (name, bytes) = read(path.as_ref())?;
        Self::decode_frames(&name, &bytes)
    }

    /// As [`RgbImage::open_frames`], of the bytes of a file; `name` is used in errors.
    ///
    /// # Errors
    /// As [`RgbImage::open_frames`].
    pub fn decode_frames(name: &str, bytes: &[u8]) -> Result<Vec<Self>> {
        let pictures = webmamba_pictures::decode_frames(bytes).map_err(|reason| Error::image(name, reason))?;
        pictures.into_iter().map(|picture| Self::of(name, picture)).collect()
    }

    fn of(name: &str, picture: Picture) -> Result<Self> {
        let image = Self::new(picture.width, picture.height, picture.pixels).map_err(|e| Error::image(name, e))?;
        Ok(image.noted(picture.note))
    }
}

/// Whether the file is a picture that moves; false where it cannot be read.
pub fn is_animated(path: &Path) -> bool {
    let head = || {
        let mut file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|known| known.is_file()))?;
        let mut bytes = Vec::new();
        file.by_ref().take(webmamba_pictures::MOVES_WITHIN as u64).read_to_end(&mut bytes).ok()?;
        if bytes.starts_with(b"GIF8") {
            file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        }
        Some(bytes)
    };
    head().is_some_and(|bytes| webmamba_pictures::moves(&bytes))
}

/// A file's name and its bytes.
fn read(path: &Path) -> Result<(String, Vec<u8>)> {
    let io = |source| Error::io(path, source);
    let file = File::open(path).map_err(io)?;
    let known = file.metadata().map_err(io)?;
    if known.is_dir() {
        return Err(io(std::io::ErrorKind::IsADirectory.into()));
    }
    let name = path.display().to_string();
    let mut bytes = Vec::with_capacity(known.len().min(MAX_BYTES) as usize);
    // The length is only a hint: devices and pipes report 0 and may never end.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::image(name, format!("the file is larger than {} MiB", MAX_BYTES >> 20)));
    }
    Ok((name, bytes))
}
