//! The head of a record: how many lines it has, and the hash of the last one. Its file has two slots that are written
//! in turn, so one of them is always complete. The file is overwritten in place, because a full disk has no space for a
//! new one.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

use camino::Utf8Path;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::line::{Hash, genesis, hex, unhex};

/// Bytes of a slot: one sector of a disk.
const SLOT: usize = 512;

/// What is known about the lines without reading them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    /// The number of lines.
    pub(crate) lines: u64,
    /// The offset of the next line.
    pub(crate) bytes: u64,
    /// Hash of the last line.
    pub(crate) hash: Hash,
    /// Events that were not written because the record is full.
    pub(crate) unwritten: u64,
    /// Whether the [`Full`](crate::Event::Full) line was written.
    pub(crate) is_full: bool,
}

impl Default for Head {
    fn default() -> Self {
        Self { lines: 0, bytes: 0, hash: genesis(), unwritten: 0, is_full: false }
    }
}

#[derive(Serialize, Deserialize)]
struct Slot {
    /// The slot with the higher turn is the current one.
    turn: u64,
    lines: u64,
    bytes: u64,
    hash: String,
    unwritten: u64,
    full: bool,
    /// The first half of the SHA-256 of the other fields; a slot that was only partly written does not match it.
    check: String,
}

impl Slot {
    fn sum(&self) -> String {
        let Self { turn, lines, bytes, hash, unwritten, full, check: _ } = self;
        let text = format!("{turn} {lines} {bytes} {hash} {unwritten} {full}");
        hex(&Sha256::digest(text).into())[..32].to_owned()
    }

    fn parse(bytes: &[u8]) -> Option<(u64, Head)> {
        let slot: Self = serde_json::from_slice(bytes).ok()?;
        let head = Head {
            lines: slot.lines,
            bytes: slot.bytes,
            hash: unhex(&slot.hash)?,
            unwritten: slot.unwritten,
            is_full: slot.full,
        };
        (slot.check == slot.sum()).then_some((slot.turn, head))
    }
}

/// The file.
#[derive(Debug)]
pub(crate) struct HeadFile {
    pub(crate) file: File,
    turn: u64,
}

impl HeadFile {
    /// Opens the file, and creates it if it is missing.
    pub(crate) fn open(path: &Utf8Path) -> io::Result<Self> {
        let open =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        Ok(Self { file: open?, turn: 0 })
    }

    /// The current head, or nothing if no slot is valid.
    pub(crate) fn read(&mut self) -> io::Result<Option<Head>> {
        let latest = latest(&self.file)?;
        self.turn = latest.as_ref().map_or(0, |(turn, _)| *turn);
        Ok(latest.map(|(_, head)| head))
    }

    pub(crate) fn write(&mut self, head: &Head) -> io::Result<()> {
        let Head { lines, bytes, hash, unwritten, is_full } = head;
        let turn = self.turn + 1;
        let mut slot = Slot {
            turn,
            lines: *lines,
            bytes: *bytes,
            hash: hex(hash),
            unwritten: *unwritten,
            full: *is_full,
            check: String::new(),
        };
        slot.check = slot.sum();
        let mut text = serde_json::to_vec(&slot)?;
        text.resize(SLOT - 1, b' ');
        text.push(b'\n');
        self.file.write_all_at(&text, (turn % 2) * SLOT as u64)?;
        self.turn = turn;
        Ok(())
    }
}

/// Reads a head without being its writer. Returns nothing if the file is missing or no slot is valid.
pub(crate) fn read(path: &Utf8Path) -> io::Result<Option<Head>> {
    match File::open(path) {
        Ok(file) => Ok(latest(&file)?.map(|(_, head)| head)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn latest(file: &File) -> io::Result<Option<(u64, Head)>> {
    let mut bytes = [0; 2 * SLOT];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    let slots = bytes[..filled].chunks(SLOT).filter_map(Slot::parse);
    Ok(slots.max_by_key(|(turn, _)| *turn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partially_written_slot_leaves_the_other_intact() {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().join("head");
        let mut file = HeadFile::open(&path).unwrap();
        assert_eq!(file.read().unwrap(), None);
        let head = |lines| Head { lines, bytes: u64::MAX, unwritten: u64::MAX, ..Head::default() };
        for lines in 1..=5 {
            file.write(&head(lines)).unwrap();
            assert_eq!(read(&path).unwrap(), Some(head(lines)));
        }
        // The fifth turn is in the second slot.
        file.file.write_all_at(b"{\"turn\":9", SLOT as u64).unwrap();
        assert_eq!(HeadFile::open(&path).unwrap().read().unwrap(), Some(head(4)));
    }
}
