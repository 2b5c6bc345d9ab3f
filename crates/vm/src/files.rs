//! Small files of a run.

use camino::Utf8Path;
use rave_fs::Replace;

use crate::Error;

/// Writes a file of this mode, whole or not at all. It is of use as long as its machine runs, or is made again.
pub(crate) fn write_atomically(path: &Utf8Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    Replace::new(path).mode(mode).unsynced().write(bytes).map_err(|e| Error::io("write", path, e))
}
