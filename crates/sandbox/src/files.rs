//! Creates, replaces and removes files and folders of a sandbox, each completely or not at all.

use std::fs::{self, File};
use std::io::ErrorKind;

use camino::Utf8Path;
use rave_fs::Replace;
use serde::Serialize;

use crate::error::Error;

/// Creates a folder that only this user can enter; its parents get the usual mode.
pub(crate) fn private_dir(path: &Utf8Path) -> Result<(), Error> {
    rave_fs::private_dir(path).map_err(|e| Error::io("create", path, e))
}

/// Removes a folder and everything in it, if it exists.
pub(crate) fn remove_all(folder: &Utf8Path) -> Result<(), Error> {
    rave_fs::remove_all(folder).map_err(|e| Error::io("remove", folder, e))
}

/// Removes a file, if it exists.
pub(crate) fn remove(path: &Utf8Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, error)),
        _ => Ok(()),
    }
}

/// Writes a value as JSON that only this user can read.
pub(crate) fn save(path: &Utf8Path, value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(value).map_err(|e| Error::io("write", path, e.into()))?;
    Replace::new(path).mode(0o600).write(text).map_err(|e| Error::io("write", path, e))
}

/// Copies a small file; if it does not exist, removes the destination.
pub(crate) fn copy(from: &Utf8Path, to: &Utf8Path) -> Result<(), Error> {
    match fs::read(from) {
        Err(error) if error.kind() == ErrorKind::NotFound => remove(to),
        Err(error) => Err(Error::io("read", from, error)),
        Ok(text) => Replace::new(to).mode(0o600).write(text).map_err(|e| Error::io("write", to, e)),
    }
}

/// Syncs a folder and everything in it to disk.
pub(crate) fn sync(folder: &Utf8Path) -> Result<(), Error> {
    let entries = folder.read_dir_utf8().map_err(|e| Error::io("list", folder, e))?;
    for entry in entries.flatten() {
        let failed = |e| Error::io("write", entry.path(), e);
        if entry.file_type().map_err(failed)?.is_dir() {
            sync(entry.path())?;
        } else {
            File::open(entry.path()).and_then(|file| file.sync_all()).map_err(failed)?;
        }
    }
    File::open(folder).and_then(|file| file.sync_all()).map_err(|e| Error::io("write", folder, e))
}
