//! Rotates q and k where linear attention reads them, instead of storing them rotated.

use crate::{
    error::Result,
    graph::{Graph, Kind},
    ops::{LinearAttention, Op},
    passes::rewrite::Rewrite,
};

/// The graph with every rotation fused into the linear attention that reads it.
///
/// # Errors
/// [`crate::Error::Shape`] when the rewritten nodes would not fit: a defect of this pass.
pub fn fuse_rope(graph: &Graph) -> Result<Graph> {
    Rewrite::run(
        graph,
        |_| true,
        |rewrite, value, op, inputs| {
            let Op::LinearAttention(found @ LinearAttention { fused_rope: false, .. }) = op else { return Ok(None) };
            let &[qk, v, rotated] = inputs else { return Ok(None) };
            let Kind::Op(Op::Rope(rope), rope_inputs) = &rewrite.new.node(rotated.value).kind else { return Ok(None) };
            let &[source, rows, columns] = rope_inputs.as_slice() else { return Ok(None) };
            if source != qk || rope.parts != 2 {
                return Ok(None);
            }
            let name = rewrite.old_node(value).name.clone();
            rewrite.new.op(name, LinearAttention { fused_rope: true, ..*found }, vec![qk, v, rows, columns]).map(Some)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        graph::Layout,
        ops::{Act, Activation, Linear, Reshape, Rope, rope_tables},
        passes::{dead_nodes, rewrite::tests::assert_same_results},
        tensor::Tensor,
    };

    #[test]
    fn the_rotation_disappears_into_the_attention() -> Result<()> {
        let (h, w, c) = (3, 2, 8);
        let mut g = Graph::new();
        let x = g.input("x", [2, h, w, c]);
        let v = g.op("tokens", Reshape([2, h * w, c].into()), vec![x])?;
        let ramp = (0..2 * c * c).map(|i| (i * 5 % 13) as f32 * 0.1 - 0.6).collect();
        let weight = g.constant("weight", Tensor::from_f32([2 * c, c], ramp)?);
        let qk = g.op("qk", Linear::default(), vec![v, weight])?;
        let qk = g.op("elu", Activation(Act::EluPlusOne), vec![qk])?;
        let [rows, columns] = rope_tables(h, w, c, 10_000.0)?;
        let (rows, columns) = (g.constant("rows", rows), g.constant("columns", columns));
        let rotated = g.op("rope", Rope { parts: 2 }, vec![qk, rows, columns])?;
        let y = g.op("attn", LinearAttention { heads: 2, fused_rope: false, normalised: true }, vec![qk, v, rotated])?;
        g.output("y", y, Layout::Plain);
        let after = dead_nodes(&fuse_rope(&g)?)?;
        let rotations = |g: &Graph| g.nodes().iter().filter(|n| matches!(&n.kind, Kind::Op(Op::Rope(_), _))).count();
        assert_eq!((rotations(&g), rotations(&after)), (1, 0));
        assert_same_results(&g, &after, 1e-6)
    }
}
