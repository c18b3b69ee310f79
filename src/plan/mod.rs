//! From a graph to a program with memory: lowering, then slots or one block by lifetimes. And the dispatches that prepare an image, and
//! what all of that costs on paper.

mod arena;
mod cost;
mod frame;
pub(crate) mod half;
mod lower;
mod slots;

pub use arena::{Arena, arena};
pub use cost::{Cost, Rates, costs};
pub use frame::{FramePlan, frame};
pub use lower::{lower, lower_tuned};
pub use slots::{Plan, plan};
