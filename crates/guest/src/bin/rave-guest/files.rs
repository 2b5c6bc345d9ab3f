//! Reads and writes whole files, with errors that name them.

use crate::error::Error;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::path::{Path, PathBuf};

/// Numeric owner and group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(crate) user: u32,
    pub(crate) group: u32,
}

/// The owner of a file.
pub(crate) fn owner(path: &Path) -> Result<Ids, Error> {
    let about = fs::metadata(path).map_err(failed("look at", path))?;
    Ok(Ids { user: about.uid(), group: about.gid() })
}

/// An adapter for `map_err`: the operation, and the file.
pub(crate) fn failed(doing: &'static str, path: impl AsRef<Path>) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::File { doing, path: path.as_ref().display().to_string(), source }
}

/// The whole text of a file.
pub(crate) fn read(path: impl AsRef<Path>) -> Result<String, Error> {
    fs::read_to_string(&path).map_err(failed("read", path))
}

/// Writes a temporary file beside it and renames that, so that a power failure leaves the old file or the new one.
pub(crate) fn write(
    path: &Path,
    mode: u32,
    owner: Option<Ids>,
    content: impl AsRef<[u8]>,
) -> Result<(), Error> {
    replace(path, mode, owner, content.as_ref(), true)
}

/// The same without a sync, for callers that sync more than this file afterwards, or whose file is in memory.
pub(crate) fn write_unsynced(path: &Path, mode: u32, content: impl AsRef<[u8]>) -> Result<(), Error> {
    replace(path, mode, None, content.as_ref(), false)
}

fn replace(path: &Path, mode: u32, owner: Option<Ids>, content: &[u8], sync: bool) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".rave-new");
    let temporary = path.with_file_name(name);
    let result = write_new(&temporary, mode, owner, content, sync)
        .and_then(|()| fs::rename(&temporary, path).map_err(failed("write", path)));
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn write_new(path: &Path, mode: u32, owner: Option<Ids>, content: &[u8], sync: bool) -> Result<(), Error> {
    let _ = fs::remove_file(path); // left over after a power failure
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed("write", path))?;
    let written = file.write_all(content).and_then(|()| {
        file.set_permissions(fs::Permissions::from_mode(mode))?; // regardless of the umask
        if sync { file.sync_all() } else { Ok(()) }
    });
    written.map_err(failed("write", path))?;
    chown_to(path, owner)
}

/// Creates a directory if it is missing; an existing one keeps its mode. Its parents must exist.
pub(crate) fn directory(path: &Path, mode: u32, owner: Option<Ids>) -> Result<(), Error> {
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => chown_to(path, owner),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(failed("make the folder", path)(error)),
    }
}

/// Creates the missing directories above a path.
pub(crate) fn parents(path: &Path) -> Result<(), Error> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(failed("make the folder", folder))
}

/// The location of a path in the system that is mounted at `root`.
pub(crate) fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Changes the owner of `path`.
pub(crate) fn chown_to(path: &Path, owner: Option<Ids>) -> Result<(), Error> {
    match owner {
        Some(ids) => {
            chown(path, Some(ids.user), Some(ids.group)).map_err(failed("change the owner of", path))
        }
        None => Ok(()),
    }
}

/// Writes a file unless something exists there, even a dangling link.
pub(crate) fn write_once(path: &Path, mode: u32, ids: Ids, content: &str) -> Result<(), Error> {
    if path.symlink_metadata().is_ok() { Ok(()) } else { write(path, mode, Some(ids), content) }
}
