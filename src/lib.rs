//! Mamba-family vision models (MambaVision, MILA) on any GPU through WebGPU, in browsers, and on plain CPUs.
//!
//! The way of the data:
//!
//! 1. [`image`] decodes and preprocesses pictures, exactly as timm does.
//! 2. [`weights`] reads checkpoints as people have them; [`hub`] finds those of the Hugging Face hub.
//! 3. [`models`] turn weights into a [`graph`] of [`ops`].
//! 4. [`passes`] rewrite graphs: fold batch norms, fuse what follows a product into it.
//! 5. [`plan`] lowers a graph to a [`program`] for a kind of device, with its weights as [`packed`] describes them, and assigns
//!    memory; [`gpu`] and [`cpu`] run it.
//! 6. [`session`] hides the difference, [`classify`] turns images into labels.
//!
//! In WebAssembly builds the module `web` is what the npm package calls.

pub mod classify;
pub mod cpu;
pub mod error;
pub mod gpu;
pub mod graph;
pub mod hub;
pub mod image;
pub mod labels;
pub mod models;
pub mod ops;
#[doc(hidden)]
pub mod oracle;
pub mod packed;
pub mod passes;
pub mod plan;
mod platform;
pub mod program;
pub mod session;
pub mod tensor;
mod text;
#[cfg(target_arch = "wasm32")]
pub mod web;
pub mod weights;

pub use error::{Error, Result};
