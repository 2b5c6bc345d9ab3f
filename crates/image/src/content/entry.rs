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
    /// Modification time, seconds since 1970; not part of the digest.
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
        /// Its target.
        target: String,
    },
    /// A character device.
    CharacterDevice(DeviceNumbers),
    /// A block device.
    BlockDevice(DeviceNumbers),
    /// A FIFO.
    Pipe,
    /// A Unix-domain socket.
    Socket,
}

/// The numbers of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceNumbers {
    /// Identifies the driver.
    pub major: u32,
    /// Identifies the device of the driver.
    pub minor: u32,
}

impl EntryKind {
    /// Its name in the digest and in messages.
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
