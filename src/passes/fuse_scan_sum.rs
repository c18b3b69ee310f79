//! Adds what other directions gave where a scan writes its result, instead of in a pass over memory of its own.

use crate::{
    error::Result,
    graph::{Graph, Kind},
    ops::{Op, SelectiveScan},
    passes::rewrite::Rewrite,
};

/// The graph with sums fused into the later of the scans that they add, where nobody else reads its result.
///
/// # Errors
/// [`crate::Error::Shape`] when the rewritten nodes would not fit: a defect of this pass.
pub fn fuse_scan_sum(graph: &Graph) -> Result<Graph> {
    let uses = graph.uses();
    Rewrite::run(
        graph,
        |_| true,
        |rewrite, value, op, inputs| {
            let (Op::Add(_), &[a, b]) = (op, inputs) else { return Ok(None) };
            let node = rewrite.old_node(value);
            let later = usize::from(b.value > a.value);
            let (scan, others) = if later == 1 { (b, a) } else { (a, b) };
            let Kind::Op(Op::SelectiveScan(found), scanned) = &rewrite.new.node(scan.value).kind else { return Ok(None) };
            if found.sum
                || found.gates.rotated
                || !found.scans_all(&rewrite.new.shapes_of(scanned))
                || uses[node.inputs()[later].value.index()] != 1
            {
                return Ok(None);
            }
            let op = SelectiveScan { sum: true, ..*found };
            let inputs = [scanned.as_slice(), &[others]].concat();
            rewrite.new.op(node.name.clone(), op, inputs).map(Some)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::Layout,
        ops::{Add, Direction},
        passes::{dead_nodes, rewrite::tests::assert_same_results},
        tensor::Tensor,
    };

    /// Four directions over a map of 2 x 3 with 4 channels, of which `scanned` are scanned, 2 states and rank 0.
    fn graph(scanned: usize) -> Result<Graph> {
        let mut g = Graph::new();
        let x = g.input("x", [1, 6, 4]);
        let ramp = |n: usize| (0..n).map(|i| (i * 5 % 7) as f32 * 0.1 - 0.4).collect::<Vec<f32>>();
        let weight = g.constant("w", Tensor::from_f32([scanned, 4], ramp(scanned * 4))?);
        let delta = g.op("delta", crate::ops::Linear::default(), vec![x, weight])?;
        let a = g.constant("a", Tensor::from_f32([scanned, 2], vec![-0.5; 2 * scanned])?);
        let d = g.constant("d", Tensor::from_f32([scanned], ramp(scanned))?);
        let mut sum = None;
        for (height, reversed) in [(1, false), (2, false), (1, true), (2, true)] {
            let op = SelectiveScan { direction: Direction { height, reversed }, ..SelectiveScan::default() };
            let y = g.op(format!("scan {height} {reversed}"), op, vec![x, delta, x, a, d, d])?;
            sum = Some(match sum {
                Some(sum) => g.op("sum", Add, vec![sum, y])?,
                None => y,
            });
        }
        if let Some(sum) = sum {
            g.output("y", sum, Layout::Plain);
        }
        Ok(g)
    }

    fn sums(graph: &Graph) -> usize {
        graph.nodes().iter().filter(|n| matches!(&n.kind, Kind::Op(Op::Add(_), _))).count()
    }

    #[test]
    fn the_sums_of_four_directions_disappear() -> Result<()> {
        let before = graph(4)?;
        let after = dead_nodes(&fuse_scan_sum(&before)?)?;
        assert_eq!((sums(&before), sums(&after)), (3, 0));
        assert_same_results(&before, &after, 1e-6)
    }

    #[test]
    fn channels_that_are_only_copied_are_added_as_before() -> Result<()> {
        let before = graph(3)?;
        let after = dead_nodes(&fuse_scan_sum(&before)?)?;
        assert_eq!((sums(&before), sums(&after)), (3, 3));
        assert_same_results(&before, &after, 0.0)
    }
}
