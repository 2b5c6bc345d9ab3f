//! The output folder of a release, and the folder of one that is unfinished.

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::{Error, IoContext as _};

/// The folder of an unfinished release: beside its final folder, so that the last step is a rename.
pub fn work_folder(out: &Utf8Path) -> Utf8PathBuf {
    out.with_file_name(format!(".{}.release", out.file_name().unwrap_or_default()))
}

/// Refuses a folder that is not empty.
pub(super) fn empty(out: &Utf8Path) -> Result<(), Error> {
    let occupied = || Error::Occupied { path: out.to_owned(), detail: "it is not empty".into() };
    if is_empty(out)? { Ok(()) } else { Err(occupied()) }
}

/// Whether nothing is at a path, or an empty folder. Anything else than a folder is refused: the finished release
/// could not replace it.
pub(super) fn is_empty(out: &Utf8Path) -> Result<bool, Error> {
    let found = match fs::symlink_metadata(out) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        found => found.at("look at", out)?,
    };
    if !found.is_dir() {
        return Err(Error::Occupied { path: out.to_owned(), detail: "it is not a folder".into() });
    }
    Ok(fs::read_dir(out).at("read", out)?.next().is_none())
}
