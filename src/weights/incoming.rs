//! A checkpoint that is still being downloaded: what is in it is known from its header, long before its last byte.

use std::{
    mem,
    ops::Range,
    sync::{Arc, OnceLock},
};

use super::{
    Weights,
    contents::Contents,
    safetensors::{self, PREFIX},
};
use crate::{
    error::{Error, Result},
    tensor::{ByteOwner, Bytes},
};

/// Takes a file piece by piece. Tensors of a safetensors file can be used as soon as each has arrived; other formats when the
/// file is complete.
#[derive(Debug)]
pub struct Incoming {
    name: String,
    /// Bytes of the file, where whoever sends it says so.
    total: Option<u64>,
    received: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Not enough to tell the format, or a header that is incomplete.
    Head(Vec<u8>),
    /// Safetensors whose header is known.
    Tensors(Arriving),
    /// Another format, or element types that must be widened: kept until it is complete.
    Whole(Vec<u8>),
    /// All there, or found to be damaged.
    Done,
}

/// The tensors of a file in the order of their bytes.
#[derive(Debug)]
struct Arriving {
    weights: Weights,
    waiting: Vec<(Range<usize>, Arc<Arrival>)>,
    /// How many of them are complete.
    complete: usize,
    /// What has come of the next one.
    partial: Vec<u8>,
}

/// One tensor's bytes, or none as long as they have not all come.
#[derive(Debug, Default)]
struct Arrival(OnceLock<Vec<u8>>);

struct Awaited(Arc<Arrival>);

impl ByteOwner for Awaited {
    fn bytes(&self) -> &[u8] {
        self.0.0.get().map_or(&[], Vec::as_slice)
    }

    fn ready(&self) -> bool {
        self.0.0.get().is_some()
    }
}

impl Incoming {
    /// Nothing yet of a file that is called `name` in messages and has `total` bytes, if that is known.
    pub fn new(name: &str, total: Option<u64>) -> Self {
        Self { name: name.to_owned(), total, received: 0, state: State::Head(Vec::new()) }
    }

    /// Bytes that have come.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// The next bytes of the file.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] as soon as the file cannot be a checkpoint: an unusable header, more bytes than it has tensors.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.received += bytes.len() as u64;
        if let State::Head(head) = &mut self.state {
            head.extend_from_slice(bytes);
            let head = mem::take(head);
            self.state = State::Done;
            let rest;
            (self.state, rest) = self.begin(head)?;
            return if rest.is_empty() { Ok(()) } else { self.fill(&rest) };
        }
        if let State::Whole(file) = &mut self.state {
            file.extend_from_slice(mem::take(&mut bytes));
        }
        self.fill(bytes)
    }

    /// The checkpoint, once it is known what is in it; the tensors may still be on their way (see [`crate::tensor::Tensor::ready`]).
    pub fn weights(&self) -> Option<Weights> {
        match &self.state {
            State::Tensors(arriving) => Some(arriving.weights.clone()),
            _ => None,
        }
    }

    /// The complete checkpoint.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when bytes are missing or the file is damaged.
    pub fn finish(&mut self) -> Result<Weights> {
        if let Some(total) = self.total.filter(|total| *total != self.received) {
            return Err(self.bad(format!("the download ended after {} of {total} bytes; load it again", self.received)));
        }
        match mem::replace(&mut self.state, State::Done) {
            State::Tensors(arriving) if arriving.complete == arriving.waiting.len() => Ok(arriving.weights),
            State::Tensors(arriving) => Err(self.bad(format!(
                "the file is truncated: {} of its {} tensors are not complete",
                arriving.waiting.len() - arriving.complete,
                arriving.waiting.len()
            ))),
            State::Head(file) | State::Whole(file) => Weights::from_bytes(&self.name, Bytes::new(file)),
            State::Done => Err(self.bad("it was found to be damaged before, or has been handed out")),
        }
    }

    fn bad(&self, reason: impl std::fmt::Display) -> Error {
        Error::checkpoint(&self.name, reason)
    }

    /// What the first bytes of a file lead to, and which of them are not used up by that.
    fn begin(&self, mut head: Vec<u8>) -> Result<(State, Vec<u8>)> {
        let Some(prefix) = head.first_chunk::<PREFIX>().filter(|_| head.len() > PREFIX) else {
            return Ok((State::Head(head), Vec::new()));
        };
        if head[PREFIX] != b'{' {
            return Ok((State::Whole(head), Vec::new()));
        }
        let end = PREFIX + safetensors::header_len(*prefix).map_err(|reason| self.bad(reason))?;
        if head.len() < end {
            return Ok((State::Head(head), Vec::new()));
        }
        let data_len =
            match self.total {
                Some(total) => Some(usize::try_from(total).ok().and_then(|n| n.checked_sub(end)).ok_or_else(|| {
                    self.bad(format!("the file is truncated: its header alone has {end} bytes, the file {total}"))
                })?),
                None => None,
            };
        let places = safetensors::places(&head[PREFIX..end], data_len).map_err(|reason| self.bad(reason))?;
        if places.iter().any(|place| place.element.as_ref().map_or(true, |element| element.same().is_none())) {
            return Ok((State::Whole(head), Vec::new()));
        }
        let waiting: Vec<(Range<usize>, Arc<Arrival>)> = places.iter().map(|p| (p.bytes.clone(), Arc::default())).collect();
        let pending = |(range, arrival): &(Range<usize>, Arc<Arrival>)| Bytes::pending(Awaited(arrival.clone()), range.len());
        let parts = waiting.iter().map(pending).collect();
        let entries = safetensors::entries(places, parts).map_err(|reason| self.bad(reason))?;
        if entries.is_empty() {
            return Err(self.bad("there are no tensors in it"));
        }
        let weights = Weights::of(&self.name, Contents::flat("safetensors", entries), Vec::new())?;
        let rest = head.split_off(end);
        Ok((State::Tensors(Arriving { weights, waiting, complete: 0, partial: Vec::new() }), rest))
    }

    /// Gives data to the tensors that it belongs to.
    fn fill(&mut self, mut bytes: &[u8]) -> Result<()> {
        let State::Tensors(arriving) = &mut self.state else { return Ok(()) };
        while let Some((range, arrival)) = arriving.waiting.get(arriving.complete) {
            if bytes.is_empty() && !range.is_empty() {
                return Ok(());
            }
            let missing = range.len() - arriving.partial.len();
            let (mine, others) = bytes.split_at(bytes.len().min(missing));
            // All at once, so that a large tensor is not moved while it grows, unless only the header says how large it is.
            let room = match self.total {
                Some(_) => arriving.partial.try_reserve_exact(missing),
                None => arriving.partial.try_reserve(mine.len()),
            };
            if room.is_err() {
                let reason = format!("there is no memory for a tensor of {} bytes", range.len());
                self.state = State::Done;
                return Err(self.bad(reason));
            }
            arriving.partial.extend_from_slice(mine);
            bytes = others;
            if arriving.partial.len() == range.len() {
                // Each is set once, as `complete` only grows.
                let _ = arrival.0.set(mem::take(&mut arriving.partial));
                arriving.complete += 1;
            }
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.state = State::Done;
        Err(self.bad("the file is longer than its header says"))
    }
}
