//! A range of a file that contains an image, and the files beside it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::node::{self, window};

/// The largest table that is read, bytes; QEMU itself accepts 32 MiB for the L1 table of a qcow2.
const LARGEST_TABLE: u64 = 32 << 20;

/// A range of a file that contains an image.
pub(crate) struct Part<'a> {
    /// The file's absolute path.
    pub(crate) path: &'a Utf8Path,
    /// The file.
    pub(crate) file: &'a File,
    /// Where the image starts.
    pub(crate) offset: u64,
    /// Its bytes.
    pub(crate) size: u64,
    /// Whether it is the whole file: an image inside another file has nothing beside it.
    pub(crate) is_whole: bool,
}

impl<'a> Part<'a> {
    /// The image that is a whole file.
    pub(crate) fn whole(path: &'a Utf8Path, file: &'a File) -> std::io::Result<Self> {
        Ok(Self { path, file, offset: 0, size: file.metadata()?.len(), is_whole: true })
    }

    /// Up to `length` bytes from `start` on.
    pub(super) fn read(&self, start: u64, length: u64) -> Result<Vec<u8>, String> {
        let length = length.min(self.size.saturating_sub(start));
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        let read = self.file.read_exact_at(&mut bytes, self.offset.saturating_add(start));
        read.map_err(|error| format!("it cannot be read: {error}"))?;
        Ok(bytes)
    }

    /// Refuses data that is not within the image.
    pub(super) fn contains(&self, start: u64, length: u64) -> Result<(), String> {
        let end = start.saturating_add(length);
        if end <= self.size {
            return Ok(());
        }
        Err(format!("it is truncated: its tables end at byte {end}, it has {} bytes", self.size))
    }

    /// A whole table.
    pub(super) fn table(&self, start: u64, length: u64) -> Result<Vec<u8>, String> {
        if length > LARGEST_TABLE {
            return Err(format!("it is damaged: its table has {} MiB", length >> 20));
        }
        self.contains(start, length)?;
        self.read(start, length)
    }

    pub(super) fn node(&self) -> Value {
        let file = node::file(self.path);
        if self.is_whole { file } else { window(&file, self.offset, self.size) }
    }
}

/// Resolves `name` in `image`: a regular file in `folder` or below, after following links.
pub(super) fn inside(folder: &Utf8Path, image: &Utf8Path, name: &str) -> Result<Utf8PathBuf, String> {
    // As QEMU's `path_has_protocol`: a colon before the first slash.
    if name.find([':', '/']).is_some_and(|at| name[at..].starts_with(':')) {
        return Err(format!(
            "it needs {name:?}, which is not the name of a file: only files in its own folder are read"
        ));
    }
    let parent = image.parent().unwrap_or(Utf8Path::new("/"));
    let path = parent.join(name).canonicalize_utf8();
    let path = path.map_err(|error| format!("it needs {name:?}, which is missing: {error}"))?;
    if !path.starts_with(folder) {
        return Err(format!(
            "it needs {name:?}, which is outside its folder {folder}: only files in that folder are read"
        ));
    }
    match std::fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => Ok(path),
        Ok(_) => Err(format!("it needs {name:?}, which is not a regular file")),
        Err(error) => Err(format!("it needs {name:?}: {error}")),
    }
}
