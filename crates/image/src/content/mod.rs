//! The content of the guest's root file system, as one digest and as a listing: the same for every format of a build,
//! and for every build of the same inputs.
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

mod entry;
pub mod ext4;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};

use camino::Utf8Path;

use crate::digest::{Digest, Hasher};
use crate::error::{Error, IoContext as _};
pub use entry::{DeviceNumbers, EntryKind, TreeEntry};
use ext4::{Ext4Tree, ReadLimits, TreeError};

/// The name of the encoding; changes with it.
pub const DOMAIN: &[u8] = b"rave content 1";

/// Computes the digest of a tree while it is read.
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

    /// `path` and `target` are the raw bytes of the entry's texts.
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

/// Writes the listing of a tree, one line of JSON for each entry in the order of the digest, and returns the digest.
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
