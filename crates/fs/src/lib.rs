//! Writes files completely or not at all: each is written under a temporary name beside its destination and then
//! renamed. Also creates and removes folders, whether or not they already exist.

mod folder;
mod partial;

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use camino::Utf8Path;
pub use folder::{private_dir, remove_all};
use partial::{Partial, temporary_path};

/// The bits of a mode that chmod(2) sets.
const PERMISSIONS: u32 = 0o7777;

/// The widest mode of a new file, before the umask applies (open(2)).
const ANY: u32 = 0o666;

/// A file to write or to replace. An existing file stays unchanged until the new one is complete, and if writing fails.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct Replace<'a> {
    path: &'a Utf8Path,
    mode: Option<u32>,
    is_synced: bool,
}

impl<'a> Replace<'a> {
    /// The file at this path, whose folder must exist. A symbolic link is replaced, not followed.
    pub fn new(path: &'a Utf8Path) -> Self {
        Self { path, mode: None, is_synced: true }
    }

    /// Sets the permissions, subject to the umask; by default the file keeps those of the file that it replaces.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode: Some(mode), ..self }
    }

    /// Skips syncing, so a power failure may leave an empty file: for files that are only needed by one run, or are
    /// cheap to recreate.
    pub fn unsynced(self) -> Self {
        Self { is_synced: false, ..self }
    }

    /// Writes these bytes.
    pub fn write(self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.write_with(|file| file.write_all(bytes.as_ref()))
    }

    /// Copies a file, including its permissions unless a mode was set.
    pub fn copy(self, from: &Utf8Path) -> io::Result<()> {
        let mut source = File::open(from)?;
        let mode = source.metadata()?.mode() & PERMISSIONS;
        self.write_to(self.mode.is_none().then_some(mode), |file| io::copy(&mut source, file).map(drop))
    }

    /// Lets `fill` write the content.
    pub fn write_with(self, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let earlier = || Some(fs::symlink_metadata(self.path).ok().filter(fs::Metadata::is_file)?.mode());
        let exact = if self.mode.is_none() { earlier() } else { None };
        self.write_to(exact, fill)
    }

    fn write_to(self, exact: Option<u32>, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let mut partial = Partial::create(self.path, self.mode.unwrap_or(ANY))?;
        if let Some(mode) = exact {
            partial.file.set_permissions(Permissions::from_mode(mode & PERMISSIONS))?;
        }
        fill(&mut partial.file)?;
        if self.is_synced {
            partial.file.sync_all()?;
        }
        partial.commit(self.path)
    }
}

/// Lets `make` write a file at the path that it is given, as other programs do, and renames it to `path`; `failed`
/// converts an error of the renaming.
pub fn replace_by<E>(
    path: &Utf8Path,
    make: impl FnOnce(&Utf8Path) -> Result<(), E>,
    failed: impl FnOnce(io::Error) -> E,
) -> Result<(), E> {
    let temporary = temporary_path(path, &format!(".{}", std::process::id()));
    let result = make(&temporary).and_then(|()| fs::rename(&temporary, path).map_err(failed));
    if result.is_err() {
        let _ = fs::remove_file(&temporary); // it may not exist
    }
    result
}

#[cfg(test)]
mod tests;
