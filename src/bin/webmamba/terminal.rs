//! Talking to the user: results to standard output, everything else to standard error.

use std::{
    io::{self, ErrorKind, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use webmamba::Error;

/// Why a command ended early.
pub(crate) enum Failure {
    /// What to tell the user.
    Error(Error),
    /// Nobody reads standard output any more.
    Closed,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// How a command ends.
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// Writes a result. Not `println!`, which panics when the reader has gone.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::Closed,
        _ => Error::io("standard output", error).into(),
    })
}

/// Writes a result as one line of JSON.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    // Maps have string keys and numbers are finite or null: there is nothing that JSON could not say.
    print(&serde_json::to_string(value).map_err(|error| Error::InvalidArgument(error.to_string()))?)
}

/// Tells something beside the results.
pub(crate) fn note(text: &str) {
    // A reader that has gone is no reason to stop working.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Text from files without what would steer a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.replace(|c: char| c.is_control(), "\u{fffd}")
}

/// A bar on standard error, of `len` steps as `template` shows them; hidden where it is not wanted, or nobody would see it.
pub(crate) fn progress(len: u64, template: &str, wanted: bool) -> ProgressBar {
    if !wanted || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(len).with_style(style.progress_chars("=> "))
}

/// Milliseconds, to the microsecond.
pub(crate) fn ms(time: Duration) -> f64 {
    rounded(time.as_secs_f64() * 1e3, 3)
}

/// A number with so many decimals at the most, for JSON.
pub(crate) fn rounded(x: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (x * scale).round() / scale
}

/// Lines of `name  value`, the values below each other.
pub(crate) fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let lines: Vec<String> = rows.iter().map(|(name, value)| format!("  {name:width$}  {value}")).collect();
    lines.join("\n")
}
