//! Extended attributes, read from the file systems themselves: nothing is mounted.

mod ext4;
pub(super) mod squashfs;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;
use rave_image::inside::Kind;

/// The start of the path in a finding.
pub(super) const PLACE: &str = "extended attributes!/";

/// An attribute of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    /// Where it is: its name, and the file if it is known.
    pub(super) place: String,
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

/// Visits an attribute.
pub(super) type EachAttribute<'a> = dyn FnMut(&Attribute<'_>) -> io::Result<()> + 'a;

/// Visits all attributes of the file system that starts at a byte of a file.
pub(super) type Reader = fn(&Utf8Path, u64, &mut EachAttribute<'_>) -> io::Result<()>;

/// The reader for a file system; none if it has no extended attributes.
pub(super) fn reader(kind: Kind) -> Option<Reader> {
    match kind {
        Kind::Ext4 => Some(ext4::attributes),
        Kind::Squashfs => Some(squashfs::attributes),
        Kind::Fat | Kind::None => None,
    }
}

/// A file system in a file.
struct Part {
    file: File,
    start: u64,
}

impl Part {
    fn open(path: &Utf8Path, start: u64) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, start })
    }

    fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let at = self.start.checked_add(at).ok_or_else(|| invalid("a table is beyond every file"))?;
        self.file.read_exact_at(buffer, at)
    }

    fn bytes<const N: usize>(&self, at: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read(&mut bytes, at)?;
        Ok(bytes)
    }
}

/// A little-endian number in a buffer.
fn number(bytes: &[u8], at: usize, length: usize) -> io::Result<u64> {
    let digits = at.checked_add(length).and_then(|end| bytes.get(at..end));
    let digits = digits.ok_or_else(|| invalid("a table is truncated"))?;
    Ok(digits.iter().rev().fold(0, |number, digit| number << 8 | u64::from(*digit)))
}

fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}
