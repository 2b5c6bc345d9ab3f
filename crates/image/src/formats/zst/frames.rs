//! The frames and blocks of a Zstandard file (RFC 8878), whose headers describe its content without decompressing it.

use std::io::{self, BufReader, Read, SeekFrom};

use crate::formats::parse_error::ParseError;

/// `Magic_Number` (3.1.1), as bytes.
pub const MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// Skippable frames have any of 16 numbers from this one on (3.1.2).
const SKIPPABLE: u32 = 0x184D_2A50;

/// Maximum number of blocks that are visited: 16 TiB of full blocks, the largest ext4 disk.
const MOST_BLOCKS: u64 = 1 << 27;

/// The facts in the headers of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frames {
    /// How many there are, without the skippable ones.
    pub count: u64,
    /// Bytes of the content; none if a frame does not state it.
    pub content: Option<u64>,
    /// Bytes at the file's start that contain the complete first [`HEAD_BLOCKS`] blocks.
    pub head: u64,
}

/// Blocks that are decompressed to examine a disk: 16 MiB, which includes the first folders of its ESP.
pub const HEAD_BLOCKS: u64 = 128;

/// Visits the frames of a file. Reads only headers, one at a time.
pub fn frames(file: &mut (impl Read + io::Seek)) -> Result<Frames, ParseError> {
    let bad = |detail: &str| ParseError::new("zstd file", detail);
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::UnexpectedEof => bad("it ends within a frame"),
        _ => bad(&error.to_string()),
    };
    let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut walk = Walk { file: BufReader::new(file), at: 0, size };
    let mut found = Frames { count: 0, content: Some(0), head: size };
    let mut blocks = 0;
    while walk.at < size {
        let magic = u32::from_le_bytes(walk.take().map_err(failed)?);
        if magic & !0xF == SKIPPABLE {
            let length = u32::from_le_bytes(walk.take().map_err(failed)?);
            walk.skip(length.into()).map_err(failed)?;
            continue;
        }
        if magic.to_le_bytes() != MAGIC {
            return Err(bad("it contains something that is not a frame"));
        }
        let header = FrameHeader::read(&mut walk).map_err(failed)?;
        found.count += 1;
        found.content = found.content.zip(header.content).and_then(|(sum, more)| sum.checked_add(more));
        loop {
            let [a, b, c] = walk.take().map_err(failed)?;
            let block = u32::from_le_bytes([a, b, c, 0]);
            let size = match block >> 1 & 3 {
                1 => 1,
                0 | 2 => u64::from(block >> 3),
                _ => return Err(bad("a block of it has a reserved type")),
            };
            walk.skip(size).map_err(failed)?;
            blocks += 1;
            if blocks == HEAD_BLOCKS {
                found.head = walk.at;
            }
            if blocks > MOST_BLOCKS {
                return Err(bad("it has more blocks than any disk"));
            }
            if block & 1 == 1 {
                break;
            }
        }
        walk.skip(if header.check_sum { 4 } else { 0 }).map_err(failed)?;
    }
    if found.count == 0 { Err(bad("it is empty")) } else { Ok(found) }
}

struct FrameHeader {
    content: Option<u64>,
    check_sum: bool,
}

impl FrameHeader {
    /// 3.1.1.1
    fn read(walk: &mut Walk<impl Read + io::Seek>) -> io::Result<Self> {
        let [descriptor] = walk.take()?;
        let single_segment = descriptor >> 5 & 1 == 1;
        walk.skip(u64::from(!single_segment))?;
        walk.skip([0, 1, 2, 4][usize::from(descriptor & 3)])?;
        let content = match descriptor >> 6 {
            0 if !single_segment => None,
            0 => Some(u64::from(u8::from_le_bytes(walk.take()?))),
            1 => Some(u64::from(u16::from_le_bytes(walk.take()?)) + 256),
            2 => Some(u64::from(u32::from_le_bytes(walk.take()?))),
            _ => Some(u64::from_le_bytes(walk.take()?)),
        };
        Ok(Self { content, check_sum: descriptor >> 2 & 1 == 1 })
    }
}

/// A file and how far it was read.
struct Walk<F> {
    file: BufReader<F>,
    at: u64,
    size: u64,
}

impl<F: Read + io::Seek> Walk<F> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes)?;
        self.at += N as u64;
        Ok(bytes)
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        // Seeking beyond the end is not an error.
        let at = self.at.checked_add(length).filter(|at| *at <= self.size);
        self.at = at.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.file.seek_relative(i64::try_from(length).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::super::write_zeros;
    use super::*;

    proptest! {
        #[test]
        fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512), real: bool) {
            let mut bytes = bytes;
            if real {
                bytes.splice(0..0, MAGIC);
            }
            let _ = frames(&mut Cursor::new(bytes));
        }

        #[test]
        fn frames_of_zeros_are_read_at_full_length(length in 1_u64..1 << 34) {
            let mut file = tempfile::tempfile().unwrap();
            write_zeros(&mut file, length).unwrap();
            let found = frames(&mut file).unwrap();
            prop_assert_eq!((found.count, found.content), (1, Some(length)));
        }
    }
}
