//! What the guest's root file system holds, as one digest and as a listing: the same for every format of one build, and
//! the same wherever the build was done.
//!
//! # Encoding, version 1
//!
//! SHA-256 over fields, each framed as [`Hasher::field`] does: length of the name (64 bits, little-endian), name, length
//! of the value, value. First `domain` = [`DOMAIN`]. Then the fields of every entry; the root folder comes first, a folder
//! before its content, the names in a folder in the order of their bytes. Numbers are little-endian.
//!
//! | field | value | of |
//! | --- | --- | --- |
//! | `path` | from the root folder, without a leading slash; that of the root folder itself is empty | all |
//! | `type` | `folder`, `file`, `link`, `character-device`, `block-device`, `pipe` or `socket` | all |
//! | `mode` | the lower 12 bits of `st_mode`, 32 bits | all |
//! | `uid`, `gid` | 32 bits each | all |
//! | `size`, `sha256` | bytes of the content, 64 bits; SHA-256 of the content, 32 bytes | file |
//! | `target` | where it leads | link |
//! | `major`, `minor` | 32 bits each | devices |
//!
//! Last `entries`, their number, 64 bits. A file with several names is an entry under each. Times and extended attributes
//! are not part of it.

pub mod ext4;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Hasher};
use crate::error::{Error, IoContext as _};
use ext4::{Ext4Tree, ReadLimits, TreeError};

/// What the encoding is called; changes with it.
pub const DOMAIN: &[u8] = b"rave content 1";

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

/// The digest of a tree, while it is read.
struct Encoder {
    hasher: Hasher,
    entries: u64,
}

impl Encoder {
    fn new() -> Self {
        let mut hasher = Hasher::default();
        hasher.field("domain", DOMAIN);
        Self { hasher, entries: 0 }
    }

    /// `path` and `target` are the bytes that the entry's texts are made of.
    fn add(&mut self, path: &[u8], target: &[u8], entry: &TreeEntry) {
        self.entries += 1;
        let hasher = self.hasher.field("path", path).field("type", entry.kind.name().as_bytes());
        for (name, number) in [("mode", entry.mode), ("uid", entry.uid), ("gid", entry.gid)] {
            hasher.field(name, &number.to_le_bytes());
        }
        match &entry.kind {
            EntryKind::File { size, sha256 } => {
                hasher.field("size", &size.to_le_bytes()).field("sha256", sha256.bytes());
            }
            EntryKind::Link { .. } => {
                hasher.field("target", target);
            }
            EntryKind::CharacterDevice(numbers) | EntryKind::BlockDevice(numbers) => {
                hasher.field("major", &numbers.major.to_le_bytes());
                hasher.field("minor", &numbers.minor.to_le_bytes());
            }
            EntryKind::Folder | EntryKind::Pipe | EntryKind::Socket => {}
        }
    }

    fn finish(mut self) -> Digest {
        self.hasher.field("entries", &self.entries.to_le_bytes());
        self.hasher.finish()
    }
}

/// The digest of a tree.
pub fn digest(tree: &Ext4Tree, limits: &ReadLimits) -> Result<Digest, TreeError> {
    let mut encoder = Encoder::new();
    tree.walk(limits, &mut |found| {
        encoder.add(found.path, found.target, &found.entry);
        Ok(())
    })?;
    Ok(encoder.finish())
}

/// Writes the listing of a tree, a line of JSON for each entry in the order of the digest, and gives the digest.
pub(crate) fn list(tree: &Ext4Tree, limits: &ReadLimits, listing: &Utf8Path) -> Result<Digest, TreeError> {
    let mut encoder = Encoder::new();
    let mut out = BufWriter::new(File::create(listing)?);
    tree.walk(limits, &mut |found| {
        encoder.add(found.path, found.target, &found.entry);
        serde_json::to_writer(&mut out, &found.entry).map_err(std::io::Error::from)?;
        out.write_all(b"\n")
    })?;
    out.flush()?;
    Ok(encoder.finish())
}

/// The entries of a listing, one at a time.
pub fn read_listing(path: &Utf8Path) -> Result<impl Iterator<Item = Result<TreeEntry, Error>>, Error> {
    let lines = BufReader::new(File::open(path).at("open", path)?).lines();
    let path = path.to_owned();
    Ok(lines.map(move |line| {
        let line = line.at("read", &path)?;
        serde_json::from_str(&line)
            .map_err(|error| Error::Damaged { path: path.clone(), detail: error.to_string() })
    }))
}
