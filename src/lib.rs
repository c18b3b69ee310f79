//! Mamba-family vision models (MambaVision, MILA, MambaOut, Vim, VMamba, VideoMamba) on any GPU through WebGPU, in browsers, and on plain CPUs.
//!
//! A [`Model`] is a checkpoint with what stands beside it, a [`Device`] is where it runs, and a [`Classifier`] is both, ready for
//! [`RgbImage`]s:
//!
//! ```
//! use webmamba::{Classifier, Device, DeviceKind, Model, ModelOptions, RgbImage};
//!
//! # fn main() -> webmamba::Result<()> {
//! # pollster::block_on(async {
//! // A hardware GPU, else the CPU; and why.
//! let (device, why) = Device::open(DeviceKind::Auto, None).await?;
//! // Or `Model::open("MambaVision-T-1K", ..)`: a folder or a file.
//! let model = Model::embedded("mamba_vision_nano", &ModelOptions::default())?;
//! // Batches of one, the five best classes.
//! let mut classifier = Classifier::new(model, &device, 1, 5).await?;
//! let image = RgbImage::open("tests/images/chelsea.png")?;
//! let (predictions, _) = classifier.classify(&[image]).await?;
//! assert_eq!(predictions[0][0].label, "cat");
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! Everything below that is in [`low_level`]. In WebAssembly builds the module `web` is what the npm package calls.
//!
//! All features are on by default; a program that wants less says `default-features = false` and names what it needs:
//!
//! | feature | what it adds |
//! |---|---|
//! | `gpu` | the GPU device, through wgpu |
//! | `cpu` | the CPU device |
//! | `torch` | reading files of `torch.save`, beside safetensors; `deflate` with it: compressed ones |
//! | `image` | decoding picture files; without it images are pixels |
//! | `embedded-model` | the default model inside the library |
//! | `imagenet-labels` | the names of ImageNet's classes |
//! | `cli` | the command line |

// What only a device or a reader needs that a build goes without is still compiled, and linked by nobody.
#![cfg_attr(not(all(feature = "gpu", feature = "cpu", feature = "torch", feature = "image")), allow(dead_code))]

mod classify;
mod cpu;
mod error;
mod explain;
mod gpu;
mod graph;
mod hub;
mod image;
mod labels;
pub mod low_level;
mod models;
mod ops;
mod oracle;
mod packed;
mod passes;
mod plan;
mod platform;
mod program;
mod quantise;
mod segment;
mod session;
mod tensor;
mod text;
#[cfg(all(target_arch = "wasm32", feature = "gpu"))]
pub mod web;
#[cfg(all(target_arch = "wasm32", feature = "torch", not(feature = "gpu")))]
mod web_torch;
mod weights;

pub use classify::{Classifier, Prediction, Timings};
pub use error::{Error, ErrorKind, Result, WeightReport};
pub use image::{Preprocess, RgbImage, Views};
pub use labels::Labels;
pub use models::{Model, ModelOptions};
pub use program::Precision;
pub use segment::{Segmentation, Segmenter, SegmenterOptions};
pub use session::{Device, DeviceKind};
pub use tensor::Tensor;
pub use weights::Weights;

/// The README's programs are compiled.
#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../README.md")]
struct Readme;
