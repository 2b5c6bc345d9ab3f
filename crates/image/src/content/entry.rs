//! One entry of a tree.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// A file, folder, link or another entry of the tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TreeEntry {
    /// From the root folder, without a leading slash. Bytes that are not UTF-8 are replaced here, not in the digest.
    pub path: String,
    /// What it is.
    #[serde(flatten)]
    pub kind: EntryKind,
    /// The lower 12 bits of `st_mode`.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When it was modified, seconds since 1970; not part of the digest.
    pub modified: i64,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum EntryKind {
    /// A folder.
    Folder,
    /// A regular file.
    File {
        /// Bytes of its content.
        size: u64,
        /// Of its content.
        sha256: Digest,
    },
    /// A symbolic link.
    Link {
        /// Where it leads.
        target: String,
    },
    /// A device that is read by bytes.
    CharacterDevice(DeviceNumbers),
    /// A device that is read by blocks.
    BlockDevice(DeviceNumbers),
    /// A FIFO.
    Pipe,
    /// A Unix-domain socket.
    Socket,
}

/// The numbers of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNumbers {
    /// Its driver.
    pub major: u32,
    /// Which of the driver's.
    pub minor: u32,
}

impl EntryKind {
    /// What the digest and people call it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::File { .. } => "file",
            Self::Link { .. } => "link",
            Self::CharacterDevice(_) => "character-device",
            Self::BlockDevice(_) => "block-device",
            Self::Pipe => "pipe",
            Self::Socket => "socket",
        }
    }
}
