//! RAVE's own files in the guest, in the order of a tar: folders before their content.

use std::collections::BTreeMap;

use rave_guest::assets::{GuestFile, GuestFileKind, Owner};

use crate::digest::{Digest, Hasher};
use crate::tree::root_tar::Extent;

/// Files by path, without the leading slash.
#[derive(Debug, Clone, Default)]
pub struct Overlay {
    files: BTreeMap<String, GuestFile>,
}

impl Overlay {
    /// Adds a file; a later one replaces an earlier one at the same path.
    pub fn add(&mut self, file: GuestFile) {
        self.files.insert(file.path.trim_start_matches('/').to_owned(), file);
    }

    /// Whether there is a file, not just a folder, at this path.
    pub fn replaces(&self, path: &str) -> bool {
        self.files.get(path).is_some_and(|file| !matches!(file.kind, GuestFileKind::Directory { .. }))
    }

    /// All files with their paths, folders before their content.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &GuestFile)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// The space that they need on a disk.
    pub fn extent(&self) -> Extent {
        let mut extent = Extent::default();
        for file in self.files.values() {
            extent.add(match &file.kind {
                GuestFileKind::File { content, .. } => content.len() as u64,
                GuestFileKind::Symlink { .. } | GuestFileKind::Directory { .. } => 0,
            });
        }
        extent
    }

    /// Changes with any path, owner, mode or content.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        for (path, file) in self.iter() {
            hasher.field("path", path.as_bytes());
            hasher.field("owner", if file.owner == Owner::Root { b"root" } else { b"user" });
            match &file.kind {
                GuestFileKind::File { mode, content } => {
                    hasher.field("mode", &mode.to_le_bytes()).field("file", content)
                }
                GuestFileKind::Symlink { target } => hasher.field("symlink", target.as_bytes()),
                GuestFileKind::Directory { mode } => hasher.field("directory", &mode.to_le_bytes()),
            };
        }
        hasher.finish()
    }
}
