//! A file system in a file, and the attributes that are read from it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;

/// An attribute of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::leak) struct Attribute<'a> {
    /// Where it is: its name, and the file if it is known.
    pub(in crate::leak) place: String,
    pub(in crate::leak) name: &'a [u8],
    pub(in crate::leak) value: &'a [u8],
}

/// Visits an attribute.
pub(in crate::leak) type EachAttribute<'a> = dyn FnMut(&Attribute<'_>) -> io::Result<()> + 'a;

/// A file system in a file.
pub(super) struct Part {
    file: File,
    start: u64,
}

impl Part {
    pub(super) fn open(path: &Utf8Path, start: u64) -> io::Result<Self> {
        Ok(Self { file: File::open(path)?, start })
    }

    pub(super) fn read(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let at = self.start.checked_add(at).ok_or_else(|| invalid("a table is beyond every file"))?;
        self.file.read_exact_at(buffer, at)
    }

    pub(super) fn bytes<const N: usize>(&self, at: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.read(&mut bytes, at)?;
        Ok(bytes)
    }
}

/// A little-endian number in a buffer.
pub(super) fn number(bytes: &[u8], at: usize, length: usize) -> io::Result<u64> {
    let digits = at.checked_add(length).and_then(|end| bytes.get(at..end));
    let digits = digits.ok_or_else(|| invalid("a table is truncated"))?;
    Ok(digits.iter().rev().fold(0, |number, digit| number << 8 | u64::from(*digit)))
}

pub(super) fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}
