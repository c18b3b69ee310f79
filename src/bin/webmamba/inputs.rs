//! What the images on the command line are: files, folders, globs or standard input.

use std::{
    ffi::OsStr,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use glob::MatchOptions;
use webmamba::{
    Error, Result,
    image::{
        RgbImage,
        decode::{MAX_BYTES, decode_bytes, decode_file},
    },
};

/// Endings of the formats that are decoded. In folders everything else is passed over.
const EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif"];

/// One image that was asked for.
pub(crate) enum Source {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// An argument that stands for no image, and why.
    Nothing(PathBuf, Error),
}

impl Source {
    /// The name for the user: the path, or `-`.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) | Self::Nothing(path, _) => path.display().to_string(),
            Self::Stdin => "-".into(),
        }
    }

    /// Reads and decodes it.
    pub(crate) fn decode(self) -> Result<RgbImage> {
        match self {
            Self::File(path) => decode_file(&path),
            Self::Stdin => {
                let mut bytes = Vec::new();
                let read = std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes);
                read.map_err(|error| Error::io("standard input", error))?;
                if bytes.len() as u64 > MAX_BYTES {
                    return Err(Error::image("-", format!("there are more than {} MiB", MAX_BYTES >> 20)));
                }
                decode_bytes("-", &bytes)
            }
            Self::Nothing(_, error) => Err(error),
        }
    }
}

/// All images that the arguments stand for, in their order; those of a folder or glob sorted by name.
pub(crate) fn expand(arguments: &[PathBuf]) -> Vec<Source> {
    let mut sources = Vec::new();
    for argument in arguments {
        if argument == Path::new("-") {
            sources.push(Source::Stdin);
        } else if argument.exists() {
            expand_path(argument, &mut sources);
        } else if argument.to_string_lossy().contains(['*', '?', '[']) {
            expand_glob(argument, &mut sources);
        } else {
            // Reading it will fail, with the system's own reason.
            sources.push(Source::File(argument.clone()));
        }
    }
    sources
}

/// The image itself, or those in the folder and below, or one that says why there are none.
pub(crate) fn expand_path(path: &Path, sources: &mut Vec<Source>) {
    if !path.is_dir() {
        sources.push(Source::File(path.to_owned()));
        return;
    }
    let before = sources.len();
    walk(path, sources);
    if sources.len() == before {
        let reason = format!("there are no images in this folder ({})", EXTENSIONS.join(", "));
        sources.push(Source::Nothing(path.to_owned(), Error::image(path.display(), reason)));
    }
}

/// The images in a folder and below. Links to folders are not followed, as they may lead in circles.
fn walk(folder: &Path, sources: &mut Vec<Source>) {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut entries = match entries {
        Ok(entries) => entries,
        Err(error) => return sources.push(Source::Nothing(folder.to_owned(), Error::io(folder, error))),
    };
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, sources);
        } else if is_image(&path) && path.is_file() {
            sources.push(Source::File(path));
        }
    }
}

/// By its ending.
pub(crate) fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(OsStr::to_string_lossy);
    extension.is_some_and(|found| EXTENSIONS.iter().any(|known| found.eq_ignore_ascii_case(known)))
}

/// Globs that the shell left alone: quoted ones, and all on Windows.
fn expand_glob(pattern: &Path, sources: &mut Vec<Source>) {
    let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
    let failed = |reason: String| Source::Nothing(pattern.to_owned(), Error::image(pattern.display(), reason));
    let paths = match glob::glob_with(&pattern.to_string_lossy(), options) {
        Ok(paths) => paths,
        Err(error) => return sources.push(failed(format!("this is neither a file nor a valid pattern: {error}"))),
    };
    let before = sources.len();
    for path in paths {
        match path {
            Ok(path) => expand_path(&path, sources),
            Err(error) => {
                let path = error.path().to_owned();
                sources.push(Source::Nothing(path.clone(), Error::io(path, error.into())));
            }
        }
    }
    if sources.len() == before {
        sources.push(failed("no file matches this pattern".into()));
    }
}
