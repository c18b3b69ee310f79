//! Graph rewrites, each portable and complete in itself. A graph gives the same results before and after every one of them.

mod dead_nodes;
mod fold_batch_norm;
mod fuse_epilogue;
mod fuse_rope;
mod fuse_scan_sum;
mod rewrite;

pub use dead_nodes::dead_nodes;
pub use fold_batch_norm::fold_batch_norm;
pub use fuse_epilogue::fuse_epilogue;
pub use fuse_rope::fuse_rope;
pub use fuse_scan_sum::fuse_scan_sum;

use crate::{error::Result, graph::Graph};

/// All passes in the order that works best. Values that are named as outputs survive unchanged.
///
/// # Errors
/// [`crate::Error::Shape`] when a rewrite would not fit: a defect of a pass.
pub fn optimise(graph: &Graph) -> Result<Graph> {
    let graph = dead_nodes(graph)?;
    let graph = fold_batch_norm(&graph)?;
    let graph = fuse_scan_sum(&graph)?;
    let graph = fuse_epilogue(&graph)?;
    let graph = fuse_rope(&graph)?;
    dead_nodes(&graph)
}
