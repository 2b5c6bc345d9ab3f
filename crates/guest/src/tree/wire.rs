//! The stream: [`MAGIC`], then records, the last of which has their number.
//!
//! | bytes | what |
//! | --- | --- |
//! | 1 | the record's letter |
//! | 4 | mode, the bits of chmod(2) |
//! | 2, n | path |
//! | | `L`: 2, n target. `S`: 8 size, 8 time of the last change of the inode in ns, 8 inode. `!`: 2, n reason. `.`: 8 number of records |
//!
//! After a record `F` its content follows in pieces: 4 bytes of length, at most [`PIECE`], then that many bytes; a
//! length of 0 ends it. Numbers are little-endian.

use std::io::{self, ErrorKind, Read, Write};

use super::path;

/// The first bytes of a stream.
pub const MAGIC: [u8; 8] = *b"RAVETRE1";
/// The longest piece of a content, in bytes.
pub const PIECE: usize = 64 * 1024;
/// The longest text of a [`Record::Failed`], in bytes.
const MAX_WHY: usize = 1024;

/// Identifies a version of a file, like git's index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stamp {
    /// The size in bytes.
    pub size: u64,
    /// The time of the inode's last change, in ns since 1970; 0 if it is so recent that a later change may have the
    /// same.
    pub changed: u64,
    /// The inode.
    pub inode: u64,
}

/// One entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A folder.
    Folder {
        /// The path.
        path: Vec<u8>,
        /// The permission bits of chmod(2).
        mode: u32,
    },
    /// A file, whose content follows.
    File {
        /// The path.
        path: Vec<u8>,
        /// The permission bits of chmod(2).
        mode: u32,
    },
    /// A file without its content.
    Stat {
        /// The path.
        path: Vec<u8>,
        /// The permission bits of chmod(2).
        mode: u32,
        /// The version.
        stamp: Stamp,
    },
    /// A symbolic link.
    Link {
        /// The path.
        path: Vec<u8>,
        /// The target.
        target: Vec<u8>,
    },
    /// A socket, a pipe or a device, which is not copied. In a request: send this file.
    Other {
        /// The path.
        path: Vec<u8>,
    },
    /// A path to remove, with everything below it.
    Remove {
        /// The path.
        path: Vec<u8>,
    },
    /// Something could not be read.
    Failed {
        /// The path.
        path: Vec<u8>,
        /// The error of the system.
        why: String,
    },
}

/// Writes a stream.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    records: u64,
}

impl<W: Write> Writer<W> {
    /// Starts a stream.
    pub fn new(mut to: W) -> io::Result<Self> {
        to.write_all(&MAGIC)?;
        Ok(Self { to, records: 0 })
    }

    /// Writes a record. The content of a file must follow.
    pub fn record(&mut self, record: &Record) -> io::Result<()> {
        self.records += 1;
        match record {
            Record::Folder { path, mode } => self.head(b'D', *mode, path),
            Record::File { path, mode } => self.head(b'F', *mode, path),
            Record::Stat { path, mode, stamp } => {
                self.head(b'S', *mode, path)?;
                [stamp.size, stamp.changed, stamp.inode].iter().try_for_each(|number| self.number(*number))
            }
            Record::Link { path, target } => {
                self.head(b'L', 0, path)?;
                self.text(target)
            }
            Record::Other { path } => self.head(b'O', 0, path),
            Record::Remove { path } => self.head(b'R', 0, path),
            Record::Failed { path, why } => {
                self.head(b'!', 0, path)?;
                self.text(&why.as_bytes()[..why.len().min(MAX_WHY)])
            }
        }
    }

    /// Writes a piece of the current file's content; an empty one is ignored.
    pub fn piece(&mut self, bytes: &[u8]) -> io::Result<()> {
        bytes.chunks(PIECE).try_for_each(|piece| {
            self.to.write_all(&u32::try_from(piece.len()).unwrap_or_default().to_le_bytes())?;
            self.to.write_all(piece)
        })
    }

    /// Ends the content of a file.
    pub fn end_content(&mut self) -> io::Result<()> {
        self.to.write_all(&[0; 4])
    }

    /// Ends the stream.
    pub fn finish(mut self) -> io::Result<()> {
        self.head(b'.', 0, b"")?;
        self.number(self.records)?;
        self.to.flush()
    }

    fn head(&mut self, letter: u8, mode: u32, path: &[u8]) -> io::Result<()> {
        self.to.write_all(&[letter])?;
        self.to.write_all(&mode.to_le_bytes())?;
        self.text(path)
    }

    fn text(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u16::try_from(bytes.len()).map_err(|_| io::Error::from(ErrorKind::InvalidInput))?;
        self.to.write_all(&length.to_le_bytes())?;
        self.to.write_all(bytes)
    }

    fn number(&mut self, number: u64) -> io::Result<()> {
        self.to.write_all(&number.to_le_bytes())
    }
}

/// The limits of a reader.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The number of records.
    pub records: u64,
    /// The bytes of all paths and targets.
    pub names: u64,
    /// The bytes of all contents.
    pub content: u64,
}

impl Limits {
    /// For a trusted sender.
    pub const NONE: Self = Self { records: u64::MAX, names: u64::MAX, content: u64::MAX };
}

/// Reads a stream, and fails if it is invalid.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    limits: Limits,
    records: u64,
    names: u64,
    content: u64,
    in_content: bool,
}

fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.into())
}

impl<R: Read> Reader<R> {
    /// Reads the magic bytes.
    pub fn new(mut from: R, limits: Limits) -> io::Result<Self> {
        let mut magic = [0; 8];
        from.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(bad("it is not a stream of files"));
        }
        Ok(Self { from, limits, records: 0, names: 0, content: 0, in_content: false })
    }

    /// The next record; nothing at the end. Skips the rest of a file's content.
    #[expect(clippy::should_implement_trait, reason = "it fails")]
    pub fn next(&mut self) -> io::Result<Option<Record>> {
        let mut rest = Vec::new();
        while self.in_content {
            self.piece(&mut rest)?;
        }
        let [letter] = self.bytes()?;
        let mode = u32::from_le_bytes(self.bytes()?) & 0o7777;
        let path = self.text()?;
        if letter == b'.' {
            let records = self.number()?;
            return if records == self.records { Ok(None) } else { Err(bad("records are missing")) };
        }
        self.records += 1;
        if self.records > self.limits.records {
            return Err(bad(format!("it has more than {} files", self.limits.records)));
        }
        if let Some(fault) = path::fault(&path) {
            let path = String::from_utf8_lossy(&path).chars().take(200).collect::<String>();
            return Err(bad(format!("it names {path:?}, a path that is refused: {fault}")));
        }
        Ok(Some(match letter {
            b'D' => Record::Folder { path, mode },
            b'F' => {
                self.in_content = true;
                Record::File { path, mode }
            }
            b'S' => {
                let stamp = Stamp { size: self.number()?, changed: self.number()?, inode: self.number()? };
                Record::Stat { path, mode, stamp }
            }
            b'L' => {
                let target = self.text()?;
                if target.is_empty() || target.len() > path::MAX_PATH || target.contains(&0) {
                    return Err(bad("it has a link without a valid target"));
                }
                Record::Link { path, target }
            }
            b'O' => Record::Other { path },
            b'R' => Record::Remove { path },
            b'!' => {
                let why = self.text()?;
                let why = String::from_utf8_lossy(&why).chars().take(MAX_WHY).collect();
                Record::Failed { path, why }
            }
            _ => return Err(bad("it has a record of an unknown kind")),
        }))
    }

    /// Reads the next piece of the current file's content into `piece`; false at its end.
    pub fn piece(&mut self, piece: &mut Vec<u8>) -> io::Result<bool> {
        piece.clear();
        if !self.in_content {
            return Ok(false);
        }
        let length = u32::from_le_bytes(self.bytes()?) as usize;
        if length > PIECE {
            return Err(bad("it has a piece that is too long"));
        }
        self.content += length as u64;
        if self.content > self.limits.content {
            return Err(bad(format!("its files have more than {} bytes", self.limits.content)));
        }
        self.in_content = length > 0;
        piece.resize(length, 0);
        self.from.read_exact(piece)?;
        Ok(length > 0)
    }

    fn bytes<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn number(&mut self) -> io::Result<u64> {
        Ok(u64::from_le_bytes(self.bytes()?))
    }

    fn text(&mut self) -> io::Result<Vec<u8>> {
        let length = u16::from_le_bytes(self.bytes()?);
        self.names += u64::from(length);
        if self.names > self.limits.names {
            return Err(bad(format!("its names have more than {} bytes", self.limits.names)));
        }
        let mut bytes = vec![0; length.into()];
        self.from.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests;
