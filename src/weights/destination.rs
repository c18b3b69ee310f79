//! Where a file is written: under its name it is whole or not there.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::error::{Error, Result};

/// Links that are followed from a name at the most.
const MAX_LINKS: usize = 40;

/// The temporary files of all destinations that are being written.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn unfinished() -> MutexGuard<'static, Vec<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Removes what is half written, for a program that is about to end.
pub fn remove_unfinished() {
    for path in unfinished().drain(..) {
        // Nothing can be done about a file that cannot be removed.
        drop(fs::remove_file(path));
    }
}

/// A file that is being written. It gets its name, and the mode and owner of the file that it replaces, in [`Self::finish`];
/// dropped before that it leaves what was there. Links are followed to where they lead. Devices and pipes are written into.
#[derive(Debug)]
pub struct Destination {
    /// What the caller called it.
    name: PathBuf,
    file: File,
    /// The file beside its destination, and the destination.
    temporary: Option<(PathBuf, PathBuf)>,
}

impl Destination {
    /// Begins to write `out`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a folder, [`Error::Io`] when it, or a file beside it, cannot be written.
    pub fn create(out: &Path) -> Result<Self> {
        let io = |source| Error::io(out, source);
        let (target, old) = match fs::metadata(out) {
            Ok(old) if old.is_dir() => {
                return Err(Error::InvalidArgument(format!("{} is a folder; name the file to write", out.display())));
            }
            Ok(old) if !old.is_file() => {
                let file = OpenOptions::new().write(true).open(out).map_err(io)?;
                return Ok(Self { name: out.to_owned(), file, temporary: None });
            }
            Ok(old) => {
                // A file that is protected from writing is protected from being replaced.
                OpenOptions::new().write(true).open(out).map_err(io)?;
                (out.canonicalize().map_err(io)?, Some(old))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => (end_of_links(out).map_err(io)?, None),
            Err(error) => return Err(io(error)),
        };
        let (file, temporary) = beside(&target, out)?;
        let destination = Self { name: out.to_owned(), file, temporary: Some((temporary, target)) };
        if let Some(old) = old {
            like(&destination.file, &old).map_err(io)?;
        }
        Ok(destination)
    }

    /// The file is complete.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be brought to the disk or to its name.
    pub fn finish(mut self) -> Result<()> {
        if let Some((temporary, target)) = &self.temporary {
            let renamed = self.file.sync_all().and_then(|()| fs::rename(temporary, target));
            renamed.map_err(|source| Error::io(&self.name, source))?;
            unfinished().retain(|path| path != temporary);
            self.temporary = None;
        }
        Ok(())
    }
}

impl Write for Destination {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if let Some((temporary, _)) = &self.temporary {
            unfinished().retain(|path| path != temporary);
            drop(fs::remove_file(temporary));
        }
    }
}

/// Where a name leads that nothing stands under: itself, or the end of links to nothing.
fn end_of_links(out: &Path) -> io::Result<PathBuf> {
    let mut path = out.to_owned();
    for _ in 0..MAX_LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = path.parent().unwrap_or(Path::new("")).join(target),
            // Not a link, or not there.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("too many links"))
}

/// A new file beside `target`, which the user called `name`.
fn beside(target: &Path, name: &Path) -> Result<(File, PathBuf)> {
    for n in 0..1000 {
        let mut part = OsString::from(".");
        part.push(target.file_name().unwrap_or_default());
        part.push(format!(".{n}.part"));
        let path = target.with_file_name(part);
        // In the list before it is there, so that no moment is left in which it would stay behind.
        let mut unfinished = unfinished();
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => {
                unfinished.push(path.clone());
                return Ok((file, path));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::io(name, source)),
        }
    }
    Err(Error::InvalidArgument(format!("there are too many unfinished files beside {}; remove them", name.display())))
}

/// Gives `file` the mode of `old` and, as far as this user may, its owner.
fn like(file: &File, old: &Metadata) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, fchown};
        // Only root may give files away; the mode alone is promised to others.
        drop(fchown(file, Some(old.uid()), Some(old.gid())));
    }
    file.set_permissions(old.permissions())
}
