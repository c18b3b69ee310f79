//! From a graph to a program with memory: lowering, then slots or one block by lifetimes. And the dispatches that prepare an image.

mod arena;
mod frame;
mod lower;
mod slots;

pub use arena::{Arena, arena};
pub use frame::{FramePlan, frame};
pub use lower::{lower, lower_tuned};
pub use slots::{Plan, plan};
