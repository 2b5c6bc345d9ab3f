//! Extended attributes in a squashfs (kernel documentation, "Squashfs 4.0 Filesystem"; `fs/squashfs/squashfs_fs.h`),
//! which unsquashfs(1) could only restore with the rights of root.

use std::io::{self, Read};

use camino::Utf8Path;
use flate2::read::ZlibDecoder;
use lzma_rust2::XzReader;

use super::part::{Attribute, EachAttribute, Part, invalid, number};

/// Offsets in the super block.
const COMPRESSION: u64 = 20;
const XATTR_ID_TABLE: u64 = 56;

/// No table.
const NONE: u64 = u64::MAX;

/// The maximum unpacked size of a metadata block, and the bit of its header that marks one that is not compressed.
const BLOCK: u64 = 8192;
const PLAIN: u16 = 1 << 15;

/// The maximum size of the table, unpacked, bytes: Linux has none, an image of ours no attributes.
const LONGEST: u64 = 64 << 20;

/// The bits of an attribute's type with the prefix of its name (`SQUASHFS_XATTR_PREFIX_MASK`), and the prefixes.
const PREFIX: u64 = 0xff;
const PREFIXES: [&str; 3] = ["user.", "trusted.", "security."];

/// Memory limit of xz, KiB.
const XZ_MEMORY: u32 = 128 << 10;

/// Visits every attribute of the squashfs that starts at byte `start` of a file. A table that cannot be read is an
/// error.
pub(in crate::leak) fn attributes(
    path: &Utf8Path,
    start: u64,
    each: &mut EachAttribute<'_>,
) -> io::Result<()> {
    let part = Part::open(path, start)?;
    let header = u64::from_le_bytes(part.bytes(XATTR_ID_TABLE)?);
    if header == NONE {
        return Ok(());
    }
    let compression = u16::from_le_bytes(part.bytes(COMPRESSION)?);
    let header: [u8; 24] = part.bytes(header)?;
    // The table ends where the first block of the attributes' identifiers begins.
    let (mut at, count, end) = (number(&header, 0, 8)?, number(&header, 8, 4)?, number(&header, 16, 8)?);
    let mut table = Vec::new();
    while count > 0 && at < end {
        rave_process::interrupt::check().map_err(io::Error::other)?;
        let head = u16::from_le_bytes(part.bytes(at)?);
        let mut packed = vec![0; usize::from(head & !PLAIN)];
        part.read(&mut packed, at + 2)?;
        if head & PLAIN == 0 {
            unpack(compression, &packed, &mut table)?;
        } else {
            table.extend_from_slice(&packed);
        }
        if table.len() as u64 > LONGEST {
            return Err(invalid("it has more attributes than are searched"));
        }
        at += 2 + packed.len() as u64;
    }
    entries(&table, each)
}

fn unpack(compression: u16, packed: &[u8], into: &mut Vec<u8>) -> io::Result<()> {
    let from: Box<dyn Read + '_> = match compression {
        1 => Box::new(ZlibDecoder::new(packed)),
        4 => Box::new(XzReader::new_mem_limit(packed, false, XZ_MEMORY)),
        6 => Box::new(zstd::stream::read::Decoder::with_buffer(packed)?),
        other => return Err(invalid(format!("its attributes are packed by method {other}"))),
    };
    from.take(BLOCK).read_to_end(into).map(drop)
}

/// The entries one after another: type, length and name, length and value. A value that was stored before is a
/// reference of 8 bytes.
fn entries(table: &[u8], each: &mut EachAttribute<'_>) -> io::Result<()> {
    let mut rest = table;
    while !rest.is_empty() {
        let kind = number(take(&mut rest, 2)?, 0, 2)?;
        let name = sized(&mut rest, 2)?;
        let value = sized(&mut rest, 4)?;
        let prefix = usize::try_from(kind & PREFIX).ok().and_then(|kind| PREFIXES.get(kind));
        let place = format!("{}{}", prefix.unwrap_or(&""), String::from_utf8_lossy(name));
        each(&Attribute { place, name, value })?;
    }
    Ok(())
}

/// The bytes after their number, which has `length` bytes itself.
fn sized<'a>(rest: &mut &'a [u8], length: usize) -> io::Result<&'a [u8]> {
    let count = number(take(rest, length)?, 0, length)?;
    take(rest, usize::try_from(count).unwrap_or(usize::MAX))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> io::Result<&'a [u8]> {
    let (first, after) = rest.split_at_checked(count).ok_or_else(|| invalid("an attribute is truncated"))?;
    *rest = after;
    Ok(first)
}
