//! Support for the integration tests.
#![allow(unreachable_pub)]

pub mod cases;
pub mod devices;
pub mod manifest;
pub mod pth_writer;
pub mod runtimes;
