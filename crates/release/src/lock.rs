//! Locks of files that one process at a time may write.

use std::fs;

use camino::Utf8Path;
use rave_process::{FileLock, Holder};

use crate::error::Error;

/// Takes the lock, which is created if it is missing. `on_wait` is called once for each holder that is waited for.
pub(crate) fn take(path: &Utf8Path, on_wait: &mut dyn FnMut(&Holder)) -> Result<FileLock, Error> {
    // A link would be followed, and a pipe would block.
    if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(Error::damaged(path, "it is not a regular file"));
    }
    FileLock::acquire(path, on_wait).map_err(|error| match error {
        rave_process::Error::Interrupted { .. } => Error::Interrupted,
        error => Error::io("lock", path, std::io::Error::other(error.to_string())),
    })
}
