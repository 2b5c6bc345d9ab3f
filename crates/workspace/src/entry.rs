//! What can exist at a path.

use rave_guest::tree::wire;
use serde::{Deserialize, Serialize};

use crate::byte_path::BytePath;
use crate::content::Content;

/// A file, a link or a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Entry {
    /// A folder.
    Folder,
    /// A regular file.
    File {
        /// Whether it is executable. As in git, no other part of its mode comes back from a guest.
        executable: bool,
        /// Its content.
        #[serde(flatten)]
        content: Content,
    },
    /// A symbolic link.
    Link {
        /// Its target.
        target: BytePath,
    },
}

impl Entry {
    /// Whether both are the same, wherever their contents are stored.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::File { executable, content },
                Self::File { executable: other_executable, content: other },
            ) => executable == other_executable && content.digest == other.digest,
            _ => self == other,
        }
    }

    /// The content of a file.
    pub fn content(&self) -> Option<&Content> {
        match self {
            Self::File { content, .. } => Some(content),
            _ => None,
        }
    }

    /// Whether it is an executable file.
    pub fn is_executable(&self) -> bool {
        matches!(self, Self::File { executable: true, .. })
    }
}

/// Whether both are the same, or absent.
pub fn same(one: Option<&Entry>, other: Option<&Entry>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.is_same(other),
        (None, None) => true,
        _ => false,
    }
}

/// Whether a mode makes a file executable.
pub fn is_executable(mode: u32) -> bool {
    mode & 0o111 != 0
}

/// Identifies a version of a file: a [`wire::Stamp`] in a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp(pub u64, pub u64, pub u64, pub u32);

impl Stamp {
    /// The stamp of a file with this mode.
    pub fn new(stamp: wire::Stamp, mode: u32) -> Self {
        Self(stamp.size, stamp.changed, stamp.inode, mode & 0o777)
    }

    /// Whether it proves that the file is unchanged since `earlier`.
    pub fn proves(self, earlier: Option<Self>) -> bool {
        self.1 != 0 && earlier == Some(self)
    }
}
