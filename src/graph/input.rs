//! What operators read: values, or runs of their channels.

use std::{fmt, ops::Range};

use crate::{
    error::Result,
    graph::Value,
    tensor::{Shape, Tensor},
};

/// Neighbouring channels of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Channels {
    /// The first of them.
    pub first: u32,
    /// How many.
    pub count: u32,
}

/// What an operator reads: a value, or some of its channels (the last axis), where they lie and without a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Input {
    /// The value.
    pub value: Value,
    /// Which of its channels; `None` for all.
    pub channels: Option<Channels>,
}

impl Input {
    /// The shape that is read of a value of this shape; or why there is none.
    pub(super) fn shape(&self, whole: &Shape) -> std::result::Result<Shape, String> {
        let Some(Channels { first, count }) = self.channels else { return Ok(whole.clone()) };
        let end = u64::from(first) + u64::from(count);
        match whole.rank() {
            1.. if count > 0 && end <= whole.last() as u64 => Ok(whole.with_last(count as usize)),
            _ => Err(format!("there are no channels {first}..{end} of {whole}")),
        }
    }

    /// What is read of these values, a run of channels as a copy.
    pub(crate) fn of(&self, whole: &Tensor) -> Result<Tensor> {
        let Some(Channels { first, count }) = self.channels else { return Ok(whole.clone()) };
        let run = |row: &[f32]| row.iter().skip(first as usize).take(count as usize).copied().collect::<Vec<f32>>();
        let values = whole.to_f32().chunks_exact(whole.shape().last().max(1)).flat_map(run).collect();
        Tensor::from_f32(whole.shape().with_last(count as usize), values)
    }
}

impl Value {
    /// A run of this value's channels, for operators that read such.
    pub fn channels(self, channels: Range<usize>) -> Input {
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (first, count) = (narrow(channels.start), narrow(channels.len()));
        Input { value: self, channels: Some(Channels { first, count }) }
    }
}

impl From<Value> for Input {
    fn from(value: Value) -> Self {
        Self { value, channels: None }
    }
}

/// As in dumps: `[0..8]`, or nothing for all channels.
impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.channels {
            Some(Channels { first, count }) => write!(f, "[{first}..{}]", u64::from(first) + u64::from(count)),
            None => Ok(()),
        }
    }
}
