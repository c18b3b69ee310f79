//! Support for the integration tests.
#![allow(unreachable_pub)]

pub mod manifest;
pub mod pth_writer;
pub mod devices;
pub mod cases;
