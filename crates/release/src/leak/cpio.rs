//! cpio archives in the kernel's format (its documentation, "initramfs buffer format"): `newc`, with or without
//! checksums. Anything else is invalid data.

use std::io::{self, Read};

use super::member::{EachMember, Member, What, invalid, skip, without_root};

/// Bytes of a header: a magic number of 6 and 13 numbers of 8 hexadecimal digits.
const HEADER: usize = 110;

/// The last member.
const TRAILER: &[u8] = b"TRAILER!!!";

/// The longest name, including its NUL (limits.h, `PATH_MAX`).
const LONGEST_NAME: u32 = 4096;

/// The bits of `mode` with the file type, and their values for a regular file and a symbolic link (inode(7)).
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// Whether bytes are the beginning of an archive.
pub(super) fn begins(head: &[u8]) -> bool {
    head.starts_with(b"070701") || head.starts_with(b"070702")
}

const LINK: u32 = 0o120_000;

/// Visits each member up to the trailer.
pub(super) fn members(from: &mut dyn Read, show: &mut EachMember<'_>) -> io::Result<()> {
    loop {
        let mut header = [0; HEADER];
        from.read_exact(&mut header).map_err(cut)?;
        if !begins(&header) {
            return Err(invalid("a member of the archive has no header"));
        }
        let number = |index: usize| {
            let digits = &header[6 + 8 * index..14 + 8 * index];
            let text = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'));
            text.and_then(|text| u32::from_str_radix(text, 16).ok())
                .ok_or_else(|| invalid("a header of the archive has no numbers"))
        };
        let (mode, size, name_size) = (number(1)?, u64::from(number(6)?), number(11)?);
        if name_size == 0 || name_size > LONGEST_NAME {
            return Err(invalid("a member of the archive has no name"));
        }
        let mut name = vec![0; usize::try_from(name_size).unwrap_or_default()];
        from.read_exact(&mut name).map_err(cut)?;
        skip(from, padding((HEADER + name.len()) as u64))?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
        let name = &name[..end];
        if name == TRAILER {
            return Ok(());
        }
        let mut content = Read::take(&mut *from, size);
        let what = match mode & KIND {
            REGULAR => What::File,
            LINK => What::Link,
            _ => What::Other,
        };
        show(Member { name: without_root(name), what }, &mut content)?;
        let left = content.limit();
        skip(from, left)?;
        skip(from, padding(size))?;
    }
}

/// Skips the zero padding between archives: returns the next byte, or none at the end.
pub(super) fn behind_zeros(from: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut chunk = [0];
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(Vec::new()),
            _ if chunk[0] == 0 => {}
            _ => return Ok(chunk.to_vec()),
        }
    }
}

/// Names and contents are padded to a multiple of 4.
fn padding(length: u64) -> u64 {
    length.next_multiple_of(4) - length
}

fn cut(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof { invalid("the archive is truncated") } else { error }
}
