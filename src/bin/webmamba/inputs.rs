//! What the images on the command line are: files, folders, patterns or standard input; and which of them are clips.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    ffi::OsStr,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use webmamba::{
    Error, Result, RgbImage,
    low_level::image::decode::{EXTENSIONS, FOREIGN_EXTENSIONS, MAX_BYTES, is_animated},
};

use crate::{
    pattern,
    terminal::{note, plain},
};

/// One image that was asked for.
pub(crate) enum Source {
    /// A file.
    File(PathBuf),
    /// Pictures of one folder, as frames.
    Clip(PathBuf, Vec<PathBuf>),
    /// Standard input.
    Stdin,
    /// An argument that stands for no image, and why.
    Nothing(PathBuf, Error),
}

impl Source {
    /// The name for the user: the path, or `-`.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) | Self::Clip(path, _) | Self::Nothing(path, _) => path.display().to_string(),
            Self::Stdin => "-".into(),
        }
    }

    /// Reads and decodes it: of what moves the first frame.
    pub(crate) fn decode(self) -> Result<RgbImage> {
        match self {
            Self::File(path) => RgbImage::open(&path),
            Self::Stdin => RgbImage::decode("-", &stdin()?),
            Self::Clip(_, paths) => RgbImage::open(paths.first().cloned().unwrap_or_default()),
            Self::Nothing(_, error) => Err(error),
        }
    }

    /// Reads and decodes all frames.
    pub(crate) fn frames(self) -> Result<Vec<RgbImage>> {
        match self {
            Self::File(path) => RgbImage::open_frames(&path),
            Self::Stdin => RgbImage::decode_frames("-", &stdin()?),
            Self::Clip(_, paths) => paths.iter().map(RgbImage::open).collect(),
            Self::Nothing(_, error) => Err(error),
        }
    }
}

fn stdin() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::io("standard input", error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::image("-", format!("there are more than {} MiB", MAX_BYTES >> 20)));
    }
    Ok(bytes)
}

/// The sources of a model of clips: the pictures of a folder are the frames of one, in the order of their names; what moves by itself
/// is one already, and so is a picture that stands alone.
pub(crate) fn clips(sources: Vec<Source>) -> Vec<Source> {
    let (mut clips, mut folders) = (Vec::with_capacity(sources.len()), HashMap::<PathBuf, usize>::new());
    for source in sources {
        match source {
            Source::File(path) if !is_animated(&path) => {
                let folder = path.parent().map(Path::to_owned).unwrap_or_default();
                match folders.get(&folder).and_then(|&at| clips.get_mut(at)) {
                    Some(Source::Clip(_, paths)) => paths.push(path),
                    _ => {
                        folders.insert(folder.clone(), clips.len());
                        clips.push(Source::Clip(folder, vec![path]));
                    }
                }
            }
            source => clips.push(source),
        }
    }
    for clip in &mut clips {
        match clip {
            Source::Clip(_, paths) if paths.len() > 1 => {
                paths.sort_by(|a, b| by_number(&a.to_string_lossy(), &b.to_string_lossy()))
            }
            Source::Clip(_, paths) => *clip = Source::File(paths.pop().unwrap_or_default()),
            _ => {}
        }
    }
    clips
}

/// The order of names in which numbers count by their value: `frame_2` before `frame_10`.
fn by_number(a: &str, b: &str) -> Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    loop {
        let (Some(x), Some(y)) = (a_rest.chars().next(), b_rest.chars().next()) else {
            return a_rest.len().cmp(&b_rest.len()).then_with(|| a.cmp(b));
        };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let [(x, x_rest), (y, y_rest)] = [a_rest, b_rest].map(|text| {
                let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
                (digits.trim_start_matches('0'), rest)
            });
            match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
                Ordering::Equal => (a_rest, b_rest) = (x_rest, y_rest),
                order => return order,
            }
        } else if x == y {
            (a_rest, b_rest) = (&a_rest[x.len_utf8()..], &b_rest[y.len_utf8()..]);
        } else {
            return x.cmp(&y);
        }
    }
}

/// All images that the arguments stand for, in their order; those of a folder or pattern sorted by name.
pub(crate) fn expand(arguments: &[PathBuf]) -> Vec<Source> {
    let mut sources = Vec::new();
    for argument in arguments {
        if argument == Path::new("-") {
            sources.push(Source::Stdin);
        } else if argument.exists() {
            expand_path(argument, &mut sources);
        } else if argument.to_string_lossy().contains(['*', '?', '[']) {
            expand_pattern(argument, &mut sources);
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
        // Whatever was named is read, also a pipe: that is how shells hand over the output of a command.
        sources.push(Source::File(path.to_owned()));
        return;
    }
    let before = sources.len();
    Walk::default().folder(path, sources);
    if sources.len() == before {
        let reason = format!("there are no images in this folder ({})", EXTENSIONS.join(", "));
        sources.push(Source::Nothing(path.to_owned(), Error::image(path.display(), reason)));
    }
}

/// Patterns that the shell left alone: quoted ones, and all on Windows.
fn expand_pattern(pattern: &Path, sources: &mut Vec<Source>) {
    let failed = |reason: String| Source::Nothing(pattern.to_owned(), Error::image(pattern.display(), reason));
    let paths = match pattern::matches(pattern) {
        Ok(paths) => paths,
        Err(reason) => return sources.push(failed(format!("this is neither a file nor a valid pattern: {reason}"))),
    };
    let before = sources.len();
    let mut walk = Walk::default();
    for path in paths {
        match fs::metadata(&path) {
            Ok(kind) if kind.is_dir() => walk.folder(&path, sources),
            Ok(kind) if !kind.is_file() => pass_over(&path),
            _ => walk.file(path, sources),
        }
    }
    if sources.len() == before {
        sources.push(failed("no image matches this pattern".into()));
    }
}

/// Files and folders that were met: each counts once, also where links lead to it again.
#[derive(Default)]
struct Walk {
    folders: HashSet<PathBuf>,
    files: HashSet<PathBuf>,
}

impl Walk {
    fn file(&mut self, path: PathBuf, sources: &mut Vec<Source>) {
        if self.files.insert(path.clone()) {
            sources.push(Source::File(path));
        }
    }

    /// The images in a folder and below. Links are followed, but neither upwards nor to where the walk has been.
    fn folder(&mut self, folder: &Path, sources: &mut Vec<Source>) {
        let failed = |error| Source::Nothing(folder.to_owned(), Error::io(folder, error));
        let real = match folder.canonicalize() {
            Ok(real) => real,
            Err(error) => return sources.push(failed(error)),
        };
        if !self.folders.insert(real.clone()) {
            return;
        }
        let entries = fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return sources.push(failed(error)),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            if pattern::hidden(&entry.file_name()) {
                continue;
            }
            match fs::metadata(&path) {
                Ok(kind) if kind.is_dir() && pattern::leads_up(&path, &real) => {}
                Ok(kind) if kind.is_dir() => self.folder(&path, sources),
                Ok(kind) if !kind.is_file() && is_image(&path) => pass_over(&path),
                // Of a link to nothing, reading will tell.
                _ if is_image(&path) => self.file(path, sources),
                _ => {}
            }
        }
    }
}

/// Reading a pipe or device that merely lies there might never end.
fn pass_over(path: &Path) {
    note(&format!("note: {} is neither a file nor a folder and is passed over", plain(&path.display().to_string())));
}

/// By its ending; also of a format that cannot be decoded, so that it is named.
pub(crate) fn is_image(path: &Path) -> bool {
    let extension = path.extension().map(OsStr::to_string_lossy);
    let mut known = EXTENSIONS.iter().chain(&FOREIGN_EXTENSIONS);
    extension.is_some_and(|found| known.any(|known| found.eq_ignore_ascii_case(known)))
}
