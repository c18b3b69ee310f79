//! Patterns with `*`, `?`, `[..]` and `**`, matched against what is on the disk.
//!
//! The crate `glob` matches single names here. Its own walk panics on names that are not UTF-8 and follows links in circles.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs,
    path::{Component, Path, PathBuf},
};

use glob::{MatchOptions, Pattern};

/// One name of a pattern.
enum Part {
    /// As it stands: a name without signs, a root, `..`.
    Plain(PathBuf),
    Signs(Pattern),
    /// `**`: any number of folders.
    Folders,
}

/// What matches `pattern`, sorted. Hidden names match only a pattern that begins with a dot; of what cannot be read nothing matches.
pub(crate) fn matches(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let mut parts = Vec::new();
    for component in pattern.components() {
        let name = component.as_os_str().to_string_lossy();
        parts.push(match component {
            Component::Normal(_) if name == "**" => Part::Folders,
            Component::Normal(_) if name.contains(['*', '?', '[']) => {
                Part::Signs(Pattern::new(&name).map_err(|error| error.msg.to_owned())?)
            }
            _ => Part::Plain(component.as_os_str().into()),
        });
    }
    let mut found = Vec::new();
    search(Path::new(""), &parts, &mut found);
    found.sort();
    found.dedup();
    Ok(found)
}

fn search(folder: &Path, parts: &[Part], found: &mut Vec<PathBuf>) {
    match parts {
        [] => found.push(folder.to_owned()),
        [Part::Plain(name), rest @ ..] => {
            let path = folder.join(name);
            // Also a link to nothing is there.
            if path.symlink_metadata().is_ok() {
                search(&path, rest, found);
            }
        }
        [Part::Signs(pattern), rest @ ..] => {
            let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
            for name in names(folder) {
                if pattern.matches_with(&name.to_string_lossy(), options) {
                    let path = folder.join(name);
                    if rest.is_empty() || path.is_dir() {
                        search(&path, rest, found);
                    }
                }
            }
        }
        [Part::Folders, rest @ ..] => descend(folder, rest, &mut HashSet::new(), found),
    }
}

/// What matches `rest` in this folder and those below, each once.
fn descend(folder: &Path, rest: &[Part], seen: &mut HashSet<PathBuf>, found: &mut Vec<PathBuf>) {
    let Ok(real) = here(folder).canonicalize() else { return };
    if !seen.insert(real.clone()) {
        return;
    }
    search(folder, rest, found);
    for name in names(folder) {
        let path = folder.join(&name);
        if !hidden(&name) && path.is_dir() && !leads_up(&path, &real) {
            descend(&path, rest, seen, found);
        }
    }
}

/// True for a link to a folder that holds `real`, the one it lies in: following it would leave what was asked for.
pub(crate) fn leads_up(path: &Path, real: &Path) -> bool {
    path.canonicalize().is_ok_and(|target| real.starts_with(target))
}

/// True for names that begin with a dot.
pub(crate) fn hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// The names in a folder, sorted.
fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(here(folder)).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    names.sort();
    names
}

/// An empty path means the working folder.
fn here(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}
