//! A checkpoint that is still being downloaded: what is in it is known from its header, long before its last byte.

use std::{
    mem,
    sync::{Arc, OnceLock},
};

use super::{
    Weights,
    contents::Contents,
    safetensors::{self, PREFIX},
    unpacked,
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
    /// How many bytes each has, and where they go.
    waiting: Vec<(usize, Arc<Arrival>)>,
    /// How many of them are complete.
    complete: usize,
    /// What has come of the next one.
    partial: Vec<u8>,
}

/// One tensor's bytes, or none as long as they have not all come.
#[derive(Debug, Default)]
struct Arrival(OnceLock<Vec<u8>>);

struct Awaited(Arc<Arrival>);

/// The next tensor to wait for, of so many bytes.
fn awaited(waiting: &mut Vec<(usize, Arc<Arrival>)>, bytes: usize) -> Bytes {
    let arrival = Arc::<Arrival>::default();
    waiting.push((bytes, arrival.clone()));
    Bytes::pending(Awaited(arrival), bytes)
}

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
        self.ended()?;
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

    /// Takes instead of a file of `torch.save`, which had so many `bytes`, what [`unpack`](super::unpack) found in it; the bytes of its
    /// tensors are pushed next.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when bytes of the file were missing, or it cannot be used.
    pub fn unpacked(&mut self, bytes: u64, found: &[u8]) -> Result<()> {
        self.received = bytes;
        self.ended()?;
        let mut waiting = Vec::new();
        let (about, entries) = unpacked::read(found, |n| awaited(&mut waiting, n)).map_err(|reason| self.bad(reason))?;
        (self.received, self.total) = (0, Some(waiting.iter().map(|(n, _)| *n as u64).sum()));
        self.state = self.arriving(Contents { entries, about }, waiting)?;
        self.fill(&[])
    }

    /// Whether all bytes have come that were announced.
    fn ended(&self) -> Result<()> {
        match self.total.filter(|total| *total != self.received) {
            Some(total) => Err(self.bad(format!("the download ended after {} of {total} bytes; load it again", self.received))),
            None => Ok(()),
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
        let mut waiting = Vec::new();
        let parts = places.iter().map(|place| awaited(&mut waiting, place.bytes.len())).collect();
        let entries = safetensors::entries(places, parts).map_err(|reason| self.bad(reason))?;
        if entries.is_empty() {
            return Err(self.bad("there are no tensors in it"));
        }
        let rest = head.split_off(end);
        Ok((self.arriving(Contents::flat("safetensors", entries), waiting)?, rest))
    }

    fn arriving(&self, contents: Contents, waiting: Vec<(usize, Arc<Arrival>)>) -> Result<State> {
        let weights = Weights::of(&self.name, contents, Vec::new())?;
        Ok(State::Tensors(Arriving { weights, waiting, complete: 0, partial: Vec::new() }))
    }

    /// Gives data to the tensors that it belongs to.
    fn fill(&mut self, mut bytes: &[u8]) -> Result<()> {
        let State::Tensors(arriving) = &mut self.state else { return Ok(()) };
        while let Some((length, arrival)) = arriving.waiting.get(arriving.complete) {
            if bytes.is_empty() && *length > 0 {
                return Ok(());
            }
            let missing = length - arriving.partial.len();
            let (mine, others) = bytes.split_at(bytes.len().min(missing));
            // All at once, so that a large tensor is not moved while it grows, unless only the header says how large it is.
            let room = match self.total {
                Some(_) => arriving.partial.try_reserve_exact(missing),
                None => arriving.partial.try_reserve(mine.len()),
            };
            if room.is_err() {
                let reason = format!("there is no memory for a tensor of {length} bytes");
                self.state = State::Done;
                return Err(self.bad(reason));
            }
            arriving.partial.extend_from_slice(mine);
            bytes = others;
            if arriving.partial.len() == *length {
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
