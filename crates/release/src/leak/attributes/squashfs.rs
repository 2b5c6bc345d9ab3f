//! Extended attributes in a squashfs (kernel documentation, "Squashfs 4.0 Filesystem"; `squashfs_fs.h`),
//! which unsquashfs(1) could only restore with the rights of root.

use std::collections::BTreeMap;
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

/// Bytes of an identifier: where the attributes of some files are, and how many.
const IDENTIFIER: usize = 16;

/// The bit of an attribute's type that marks a value stored elsewhere (`SQUASHFS_XATTR_VALUE_OOL`).
const ELSEWHERE: u64 = 0x100;

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
    let lists: [u8; 16] = part.bytes(header)?;
    let (from, count) = (number(&lists, 0, 8)?, number(&lists, 8, 4)?);
    let size = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(IDENTIFIER);
    let mut identifiers = Vec::new();
    let mut end = None;
    // The places of the blocks follow the header.
    for block in 0..(size as u64).div_ceil(BLOCK) {
        let place = header.checked_add(16 + 8 * block).ok_or_else(|| invalid("its tables are elsewhere"))?;
        let at = u64::from_le_bytes(part.bytes(place)?);
        // The attributes end where the first block of identifiers begins.
        end = end.or(Some(at));
        metadata(&part, at, compression, &mut identifiers)?;
    }
    let Some(end) = end else { return Ok(()) };
    let table = Table::read(&part, (from, end), compression)?;
    for identifier in identifiers.get(..size).unwrap_or_default().chunks(IDENTIFIER) {
        rave_process::interrupt::check().map_err(io::Error::other)?;
        table.list(number(identifier, 0, 8)?, number(identifier, 8, 4)?, each)?;
    }
    Ok(())
}

/// Adds a metadata block, unpacked; returns where the next one is.
fn metadata(part: &Part, at: u64, compression: u16, into: &mut Vec<u8>) -> io::Result<u64> {
    let head = u16::from_le_bytes(part.bytes(at)?);
    let mut packed = vec![0; usize::from(head & !PLAIN)];
    part.read(&mut packed, at + 2)?;
    if head & PLAIN == 0 {
        unpack(compression, &packed, into)?;
    } else {
        into.extend_from_slice(&packed);
    }
    if into.len() as u64 > LONGEST {
        return Err(invalid("it has more attributes than are searched"));
    }
    Ok(at + 2 + packed.len() as u64)
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

/// The attributes of all files, unpacked.
struct Table {
    bytes: Vec<u8>,
    /// Where each block starts in them, by its place after the first one.
    blocks: BTreeMap<u64, usize>,
}

impl Table {
    fn read(part: &Part, (from, end): (u64, u64), compression: u16) -> io::Result<Self> {
        let mut table = Self { bytes: Vec::new(), blocks: BTreeMap::new() };
        let mut at = from;
        while at < end {
            table.blocks.insert(at - from, table.bytes.len());
            at = metadata(part, at, compression, &mut table.bytes)?;
        }
        Ok(table)
    }

    /// The bytes from a reference on: a block's place, and 16 bits of an offset in it.
    fn at(&self, reference: u64) -> io::Result<&[u8]> {
        let block = self.blocks.get(&(reference >> 16));
        let offset = usize::try_from(reference & 0xffff).unwrap_or_default();
        let bytes = block.and_then(|block| self.bytes.get(block.checked_add(offset)?..));
        bytes.ok_or_else(|| invalid("an attribute is beyond its table"))
    }

    /// Visits the attributes from a reference on: type, length and name, length and value. The value may be a reference
    /// to a length and a value.
    fn list(&self, reference: u64, count: u64, each: &mut EachAttribute<'_>) -> io::Result<()> {
        let mut rest = self.at(reference)?;
        for _ in 0..count {
            let kind = number(take(&mut rest, 2)?, 0, 2)?;
            let name = sized(&mut rest, 2)?;
            let mut value = sized(&mut rest, 4)?;
            if kind & ELSEWHERE != 0 {
                let mut there = self.at(number(value, 0, 8)?)?;
                value = sized(&mut there, 4)?;
            }
            let prefix = usize::try_from(kind & PREFIX).ok().and_then(|kind| PREFIXES.get(kind));
            let place = format!("{}{}", prefix.unwrap_or(&""), String::from_utf8_lossy(name));
            each(&Attribute { place, name, value })?;
        }
        Ok(())
    }
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
