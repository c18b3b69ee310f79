//! From a graph to a program with memory: lowering, then slots by lifetimes.

mod lower;
mod slots;

pub use lower::lower;
pub use slots::{Plan, plan};
