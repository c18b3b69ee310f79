//! From a graph to a program with memory: lowering, then slots by lifetimes. And the dispatches that prepare an image.

mod frame;
mod lower;
mod slots;

pub use frame::{FramePlan, frame};
pub use lower::lower;
pub use slots::{Plan, plan};
