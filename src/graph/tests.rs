use super::*;
use crate::ops::{Act, Activation, Add, Attention, Conv2d, Epilogue, Linear};

fn refused(op: impl Into<Op>, inputs: &[&[usize]]) -> String {
    let mut graph = Graph::new();
    let values: Vec<Value> = inputs.iter().map(|dims| graph.input("x", dims.to_vec())).collect();
    match graph.op("y", op, values) {
        Err(Error::Shape { reason, .. }) => reason,
        other => format!("{other:?}"),
    }
}

#[test]
fn values_without_elements_are_refused() {
    let conv = Conv2d { stride: 1, padding: 1, epilogue: Epilogue::default() };
    let linear = Linear { epilogue: Epilogue::default() };
    for reason in [
        refused(conv, &[&[1, 8, 8, 0], &[4, 0, 3, 3]]),
        refused(conv, &[&[1, 8, 8, 3], &[0, 3, 3, 3]]),
        refused(conv, &[&[0, 8, 8, 3], &[4, 3, 3, 3]]),
        refused(linear, &[&[2, 3], &[0, 3]]),
        refused(linear, &[&[0, 3], &[4, 3]]),
        refused(Attention { heads: 2 }, &[&[1, 7, 0]]),
        refused(Add, &[&[2, 0], &[2, 0]]),
    ] {
        assert!(reason.ends_with("has no elements"), "{reason}");
    }
}

#[test]
fn runs_of_channels_are_for_operators_that_read_such_and_within_the_value() -> Result<()> {
    let mut graph = Graph::new();
    let x = graph.input("x", [2, 7, 12]);
    let w = graph.constant("w", Tensor::from_f32([5, 3], vec![0.0; 15])?);
    let mut op = |op: Op, inputs: Vec<Input>| match graph.op("y", op, inputs) {
        Err(Error::Shape { reason, .. }) => reason,
        other => format!("{other:?}"),
    };
    let linear = || Op::from(Linear::default());
    assert_eq!(op(linear(), vec![x.channels(9..12), w.into()]), "Ok(Value(2))");
    assert!(op(linear(), vec![x.into(), w.into()]).contains("needs an input of K channels, found [2, 7, 12]"));
    for (run, named) in [(10..13, "10..13"), (12..12, "12..12"), (usize::MAX - 3..usize::MAX, "4294967295..4294967298")] {
        assert_eq!(op(linear(), vec![x.channels(run), w.into()]), format!("there are no channels {named} of [2, 7, 12]"));
    }
    let reason = op(Op::from(Activation(Act::Relu)), vec![x.channels(0..3)]);
    assert_eq!(reason, "input 0 is [2, 7, 12][0..3], but this operator reads all of its channels");
    Ok(())
}

/// 2^31 rows of one channel are 2^33 values on a device.
#[test]
fn what_a_device_cannot_count_is_refused() {
    for dims in [[1 << 31, 1], [1 << 40, 3], [usize::MAX, 2]] {
        let reason = refused(Activation(Act::Relu), &[&dims]);
        assert!(reason.contains("input 0") && reason.ends_with("has too many elements"), "{reason}");
    }
}
