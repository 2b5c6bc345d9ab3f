//! A file under its temporary name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};

/// A temporary file, removed unless it is committed. Its name is derived from the destination, so that the next writer
/// replaces what a killed one left behind; a lock distinguishes a killed writer from an active one.
pub(crate) struct Partial {
    pub(crate) file: File,
    path: Utf8PathBuf,
}

impl Partial {
    pub(crate) fn create(destination: &Utf8Path, mode: u32) -> io::Result<Self> {
        let path = temporary_path(destination, "");
        loop {
            match OpenOptions::new().write(true).create_new(true).mode(mode).open(&path) {
                Ok(file) => {
                    lock(&file)?;
                    // Another process may have taken it for an abandoned file before it was locked.
                    if is_at(&file, &path)? {
                        return Ok(Self { file, path });
                    }
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => remove_abandoned(&path)?,
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn commit(self, destination: &Utf8Path) -> io::Result<()> {
        // If this fails, and only then, the file still exists and must be removed.
        fs::rename(&self.path, destination)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // After a commit the name is free, or belongs to another writer.
        if is_at(&self.file, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Waits for the file's writer; if the file still exists then, it is abandoned.
fn remove_abandoned(path: &Utf8Path) -> io::Result<()> {
    let gone_or = |error: io::Error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return gone_or(error),
    };
    lock(&file)?;
    if is_at(&file, path)? { fs::remove_file(path).or_else(gone_or) } else { Ok(()) }
}

/// On a file system without locks, files are written without locking.
fn lock(file: &File) -> io::Result<()> {
    match file.lock() {
        Err(error) if error.kind() == ErrorKind::Unsupported => Ok(()),
        result => result,
    }
}

fn is_at(file: &File, path: &Utf8Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A name beside `path` that tools do not show or mistake for a result.
pub(crate) fn temporary_path(path: &Utf8Path, mark: &str) -> Utf8PathBuf {
    // Truncates long names: a name has at most 255 bytes.
    let name: String = path.file_name().unwrap_or("file").chars().take(48).collect();
    path.with_file_name(format!(".{name}{mark}.partial"))
}
