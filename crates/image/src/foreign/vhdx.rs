//! VHDX: Microsoft, [MS-VHDX] 7.0. The metadata says whether a disk has a parent. Numbers are little-endian.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// `Signature` of the file type identifier (2.2.1).
pub const MAGIC: &[u8] = b"vhdxfile";

/// Where both region tables lie (2.2), and their length (2.2.3).
const REGIONS: [u64; 2] = [192 << 10, 256 << 10];
const TABLE: usize = 64 << 10;

/// The GUIDs as stored in a file: of the metadata region (2.2.3.2), and of its items "File Parameters" and "Virtual
/// Disk Size" (2.6.2).
const METADATA: [u8; 16] = 0x8b7c_a206_4790_4b9a_b8fe_575f_050f_886e_u128.to_be_bytes();
const PARAMETERS: [u8; 16] = 0xcaa1_6737_fa36_4d43_b3b6_33f0_aa44_e76b_u128.to_be_bytes();

/// Bit 1 of the flags of "File Parameters": `HasParent`.
const HAS_PARENT: u32 = 2;

/// The first three fields of a GUID are little-endian.
fn stored(guid: [u8; 16]) -> [u8; 16] {
    let order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
    order.map(|at: usize| guid[at])
}

fn four(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Offset and size of the regions listed in a table, among them the metadata and the block table.
pub fn region_bounds(table: &[u8]) -> Vec<(u64, u64)> {
    let Some(true) = table.get(..4).map(|magic| magic == b"regi") else { return Vec::new() };
    let count = four(table, 8).unwrap_or_default();
    let entries = table.get(16..).unwrap_or_default().chunks_exact(32);
    let bounds = entries.take(usize::try_from(count).unwrap_or_default()).map(|entry| {
        let start = u64::from(four(entry, 20).unwrap_or_default()) << 32
            | u64::from(four(entry, 16).unwrap_or_default());
        (start, u64::from(four(entry, 24).unwrap_or_default()))
    });
    bounds.collect()
}

/// The regions of a file.
pub(crate) fn regions(file: &File) -> io::Result<Vec<(u64, u64)>> {
    for place in REGIONS {
        let bounds = region_bounds(&part(file, place)?);
        if !bounds.is_empty() {
            return Ok(bounds);
        }
    }
    Ok(Vec::new())
}

/// A table, or as much of it as exists.
fn part(file: &File, start: u64) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len();
    let mut bytes = vec![0; TABLE.min(usize::try_from(size.saturating_sub(start)).unwrap_or(TABLE))];
    file.read_exact_at(&mut bytes, start).map(|()| bytes)
}

/// The offset of the metadata: an entry has a GUID, an offset of eight bytes and a length of four (2.2.3.2).
pub fn metadata_region(table: &[u8]) -> Option<u64> {
    table.starts_with(b"regi").then_some(())?;
    let entry = entries(table, 16, 8, METADATA)?;
    Some(u64::from_le_bytes(entry.get(16..24)?.try_into().ok()?))
}

/// The offset of "File Parameters" in the metadata: an entry has a GUID, an offset and a length of four bytes each
/// (2.6.1.2).
pub fn parameters(table: &[u8]) -> Option<u32> {
    table.starts_with(b"metadata").then_some(())?;
    four(entries(table, 32, 10, PARAMETERS)?, 16)
}

/// The entry of a GUID in a table whose entries of 32 bytes start at `start`, their number at `count`.
fn entries(table: &[u8], start: usize, count: usize, guid: [u8; 16]) -> Option<&[u8]> {
    let count = u16::from_le_bytes(table.get(count..count + 2)?.try_into().ok()?);
    let guid = stored(guid);
    table.get(start..)?.chunks_exact(32).take(count.into()).find(|entry| entry.starts_with(&guid))
}

/// Whether a disk has a parent; none if its metadata cannot be found.
pub(crate) fn has_parent(file: &File) -> io::Result<Option<bool>> {
    for place in REGIONS {
        let Some(metadata) = metadata_region(&part(file, place)?) else { continue };
        let Some(item) = parameters(&part(file, metadata)?) else { continue };
        let flags = four(&part(file, metadata.saturating_add(item.into()))?, 4);
        return Ok(flags.map(|flags| flags & HAS_PARENT != 0));
    }
    Ok(None)
}
