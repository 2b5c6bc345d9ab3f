//! Small files and folders of a run.

use camino::Utf8Path;
use rave_fs::Replace;

use crate::Error;

/// Writes a file with this mode, completely or not at all. It is not synced: it is only needed while its machine runs,
/// or can be recreated.
pub(crate) fn write_atomically(path: &Utf8Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    Replace::new(path).mode(mode).unsynced().write(bytes).map_err(|e| Error::io("write", path, e))
}

/// Creates a folder that only this user can enter; its parents get the usual mode.
pub(crate) fn make_private_dir(path: &Utf8Path) -> Result<(), Error> {
    rave_fs::private_dir(path).map_err(|e| Error::io("create", path, e))
}
