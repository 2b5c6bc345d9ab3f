//! Small files and folders of a run.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;

use camino::Utf8Path;
use rave_fs::Replace;

use crate::Error;

/// Writes a file of this mode, whole or not at all. It is of use as long as its machine runs, or is made again.
pub(crate) fn write_atomically(path: &Utf8Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    Replace::new(path).mode(mode).unsynced().write(bytes).map_err(|e| Error::io("write", path, e))
}

/// Makes a folder that only this user can enter; its parents as usual.
pub(crate) fn make_private_dir(path: &Utf8Path) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(|e| Error::io("make", parent, e))?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Error::io("make", path, error)),
        _ => Ok(()),
    }
}
