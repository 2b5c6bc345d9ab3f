//! Small files of a run.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use camino::Utf8Path;

use crate::Error;

/// Writes a file of this mode beside its place and renames it into it.
pub(crate) fn write_atomically(path: &Utf8Path, bytes: &[u8], mode: u32) -> Result<(), Error> {
    // Two processes may write the same file: each its own half-written one.
    let beside =
        path.with_file_name(format!(".{}.{}", path.file_name().unwrap_or("file"), std::process::id()));
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&beside)?;
        file.write_all(bytes)?;
        fs::rename(&beside, path)
    };
    write().map_err(|e| {
        let _ = fs::remove_file(&beside); // it may not even have been made
        Error::io("write", path, e)
    })
}
