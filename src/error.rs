//! One error type. Every variant carries what a user needs to act on it.

use std::{fmt, io, path::PathBuf};

/// Shorthand used by the whole crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong, from a damaged file to a lost device.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("cannot access {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// Bytes that are not a usable image: damaged, truncated, of an unknown format, or too large.
    #[error("{what}: not a usable image: {reason}")]
    Image {
        /// File name or description of the source.
        what: String,
        /// What is wrong and, where possible, what would help.
        reason: String,
    },

    /// A checkpoint file whose container is damaged or hostile (header, offsets, pickle, zip).
    #[error("{what}: not a usable checkpoint: {reason}")]
    Checkpoint {
        /// File name or description of the source.
        what: String,
        /// What is wrong, with the offset or key where known.
        reason: String,
    },

    /// The container is fine, but its tensors are not those of the model.
    #[error("the checkpoint does not fit {model}: {cause}{report}")]
    WeightMismatch {
        /// The architecture that was asked for or recognised.
        model: String,
        /// What the reason seems to be.
        cause: String,
        /// Every missing, unread and wrongly shaped key.
        report: WeightReport,
    },

    /// A configuration (`config.json`, builder, preset) that contradicts itself or cannot be run.
    #[error("{what}: invalid configuration: {reason}")]
    Config {
        /// File or preset name.
        what: String,
        /// The key and what is wrong with its value.
        reason: String,
    },

    /// An architecture name that is not known.
    #[error("unknown architecture `{name}`; known are: {}", known.join(", "))]
    UnknownArch {
        /// The name that was given.
        name: String,
        /// All names that would have been accepted.
        known: Vec<String>,
    },

    /// The architecture cannot be told from the checkpoint.
    #[error("cannot recognise the architecture of {what}: {reason}; name it with `--arch NAME` (the option `arch`), one of: {}", known.join(", "))]
    Unrecognised {
        /// File name or description of the source.
        what: String,
        /// What was looked at.
        reason: String,
        /// All names that can be given.
        known: Vec<String>,
    },

    /// Tensors whose shapes do not fit an operator.
    #[error("{op} `{node}`: {reason}")]
    Shape {
        /// The operator, such as `selective_scan`.
        op: &'static str,
        /// The graph node (a checkpoint path where there is one).
        node: String,
        /// Expected and found shapes.
        reason: String,
    },

    /// An argument that the caller got wrong.
    #[error("{0}")]
    InvalidArgument(String),

    /// No adapter fits the request.
    #[error("no GPU adapter {wanted}; {}", list_adapters(available))]
    NoAdapter {
        /// What was asked for, as the end of "no GPU adapter ...".
        wanted: String,
        /// What there is: one line an adapter.
        available: Vec<String>,
    },

    /// The adapter exists but cannot run this model.
    #[error(
        "adapter {adapter}: {limit} is {available}, but this model needs {needed}; use a smaller batch, size or model, another adapter, or the device `cpu`"
    )]
    AdapterLimit {
        /// Adapter name.
        adapter: String,
        /// Name of the limit as WebGPU spells it.
        limit: String,
        /// What is needed.
        needed: u64,
        /// What the adapter has.
        available: u64,
    },

    /// The device has no memory left.
    #[error("out of device memory while {what} ({bytes} bytes wanted); use a smaller batch or input size, or the device `cpu`")]
    OutOfMemory {
        /// What was being done.
        what: String,
        /// How many bytes were asked for in all.
        bytes: u64,
    },

    /// The device went away: driver reset, unplugged, or timed out.
    #[error("the GPU device was lost: {reason}; load the model again, or use the device `cpu`")]
    DeviceLost {
        /// What the driver said.
        reason: String,
    },

    /// The device rejected a command: a defect of this crate or of the driver.
    #[error("the GPU rejected a command: {reason}")]
    Gpu {
        /// The validation or driver message.
        reason: String,
    },
}

/// What kind of thing went wrong: what a program decides by, where [`Error`] has what a person reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A file or folder could not be read or written.
    Io,
    /// Bytes that are not a usable image.
    InvalidImage,
    /// Files that are not a model that can be run: damaged, of another kind, not recognised.
    UnsupportedCheckpoint,
    /// An argument that the caller got wrong.
    InvalidArgument,
    /// There is no such GPU.
    NoAdapter,
    /// The device has no memory for this.
    OutOfMemory,
    /// The device went away.
    DeviceLost,
    /// The device rejected a command: a defect of this crate or of the driver.
    Device,
}

impl ErrorKind {
    /// The kind in kebab case, as the command line's JSON and the package's `code` have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Io => "io",
            Self::InvalidImage => "invalid-image",
            Self::UnsupportedCheckpoint => "unsupported-checkpoint",
            Self::InvalidArgument => "invalid-argument",
            Self::NoAdapter => "no-adapter",
            Self::OutOfMemory => "out-of-memory",
            Self::DeviceLost => "device-lost",
            Self::Device => "device",
        }
    }
}

impl Error {
    /// What kind of thing went wrong.
    pub const fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } => ErrorKind::Io,
            Self::Image { .. } => ErrorKind::InvalidImage,
            Self::Checkpoint { .. }
            | Self::WeightMismatch { .. }
            | Self::Config { .. }
            | Self::UnknownArch { .. }
            | Self::Unrecognised { .. }
            | Self::Shape { .. } => ErrorKind::UnsupportedCheckpoint,
            Self::InvalidArgument(_) => ErrorKind::InvalidArgument,
            Self::NoAdapter { .. } => ErrorKind::NoAdapter,
            Self::AdapterLimit { .. } | Self::OutOfMemory { .. } => ErrorKind::OutOfMemory,
            Self::DeviceLost { .. } => ErrorKind::DeviceLost,
            Self::Gpu { .. } => ErrorKind::Device,
        }
    }

    /// An [`Error::Io`] about `path`.
    pub fn io(path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// An [`Error::Checkpoint`] about `what`.
    pub fn checkpoint(what: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::Checkpoint { what: what.to_string(), reason: reason.to_string() }
    }

    /// An [`Error::Image`] about `what`.
    pub fn image(what: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::Image { what: what.to_string(), reason: reason.to_string() }
    }

    /// An [`Error::Config`] about `what`.
    pub fn config(what: impl fmt::Display, reason: impl fmt::Display) -> Self {
        Self::Config { what: what.to_string(), reason: reason.to_string() }
    }
}

/// The keys of a checkpoint that do not fit a model, each list complete.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct WeightReport {
    /// Keys that the model needs and the file lacks.
    pub missing: Vec<String>,
    /// Keys that the file has and no layer read.
    pub unread: Vec<String>,
    /// Keys with a wrong shape or type: `key: expected [..], found [..]`.
    pub mismatched: Vec<String>,
}

impl WeightReport {
    /// True when every key is accounted for.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unread.is_empty() && self.mismatched.is_empty()
    }
}

/// Keys that a message shows.
const SHOWN: usize = 10;

impl fmt::Display for WeightReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists =
            [("wrong shape or type", &self.mismatched), ("missing", &self.missing), ("not part of the model", &self.unread)];
        let (mut room, mut open) = (SHOWN, lists.iter().filter(|(_, keys)| !keys.is_empty()).count());
        for (title, keys) in lists.into_iter().filter(|(_, keys)| !keys.is_empty()) {
            // What a short list leaves is for those after it.
            let shown = keys.len().min(room / open);
            (room, open) = (room - shown, open - 1);
            write!(f, "\n  {title} ({}):", keys.len())?;
            for key in &keys[..shown] {
                write!(f, "\n    {key}")?;
            }
            if shown < keys.len() {
                write!(f, "\n    and {} more", keys.len() - shown)?;
            }
        }
        Ok(())
    }
}

fn list_adapters(available: &[String]) -> String {
    if available.is_empty() {
        "none was found at all: install a Vulkan, Metal or DX12 driver, or use the device `cpu`".into()
    } else {
        format!("there are:\n  {}", available.join("\n  "))
    }
}

/// Text out of a file, for a message: without control characters and of bounded length.
pub(crate) fn quote(text: &str) -> String {
    const MAX: usize = 120;
    let cut = text.char_indices().nth(MAX).map_or(text, |(end, _)| &text[..end]);
    format!("`{}{}`", cut.escape_debug(), if cut.len() < text.len() { ".." } else { "" })
}

/// Items of a list, at most ten of them, and how many more there are.
pub(crate) fn listed<T: fmt::Display>(items: &[T]) -> String {
    let shown: Vec<String> = items.iter().take(SHOWN).map(T::to_string).collect();
    let more = if items.len() > SHOWN { format!(" and {} more", items.len() - SHOWN) } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
