//! The partition table in a master boot record: four entries, one of which may lead to a chain of more (UEFI specification
//! 2.10, 5.2; the chain is that of `fdisk(8)`).

use serde::Serialize;

/// Bytes of a sector.
const SECTOR: u64 = 512;

/// More partitions than any system supports.
const MOST: usize = 128;

/// Types of extended partitions.
const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];

/// The type of an EFI system partition (5.2.2).
pub const ESP: u8 = 0xef;

/// The type of a file system of Linux.
pub const LINUX: u8 = 0x83;

/// The type of the partition that protects a disk with a GUID partition table (5.2.3).
const PROTECTIVE: u8 = 0xee;

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// The disk's signature, the prefix of `PARTUUID`s in Linux.
    pub id: String,
    /// The partitions in use.
    pub partitions: Vec<Partition>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// Its number: logical ones start with 5.
    pub number: u32,
    /// Its type.
    pub kind: u8,
    /// Whether it is marked as bootable.
    pub active: bool,
    /// Its first byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

/// An entry: where it is and how large, sectors.
#[derive(Debug, Clone, Copy)]
struct Entry {
    active: bool,
    kind: u8,
    start: u64,
    sectors: u64,
}

/// The entries of a sector; none if it is not a master boot record. A file system's boot sector has the same signature,
/// with code in place of the entries.
fn entries(sector: &[u8]) -> Option<[Entry; 4]> {
    let sector = sector.get(..512)?;
    let four = |at: usize| u32::from_le_bytes(std::array::from_fn(|index| sector[at + index]));
    (sector[510..] == [0x55, 0xaa]).then_some(())?;
    let entries = [446, 462, 478, 494].map(|at| Entry {
        active: sector[at] == 0x80,
        kind: sector[at + 4],
        start: four(at + 8).into(),
        sectors: four(at + 12).into(),
    });
    [446, 462, 478, 494].iter().all(|at| matches!(sector[*at], 0 | 0x80)).then_some(entries)
}

impl Table {
    /// Reads the table of a disk; none if it has no such table, or only the protective one of a GUID partition table.
    pub fn read(sector: &mut impl FnMut(u64) -> Result<Vec<u8>, String>) -> Result<Option<Self>, String> {
        let first = sector(0)?;
        let Some(found) = entries(&first) else { return Ok(None) };
        if found.iter().any(|entry| entry.kind == PROTECTIVE) || found.iter().all(|entry| entry.kind == 0) {
            return Ok(None);
        }
        let id = u32::from_le_bytes(std::array::from_fn(|index| first[440 + index]));
        let mut partitions = Vec::new();
        for (number, entry) in (1..).zip(found) {
            if entry.kind != 0 && entry.sectors != 0 {
                partitions.push(partition(number, entry, 0));
            }
        }
        if let Some(extended) = found.iter().find(|entry| EXTENDED.contains(&entry.kind)) {
            logical(*extended, sector, &mut partitions)?;
        }
        Ok(Some(Self { id: format!("{id:08x}"), partitions }))
    }

    /// The minimum end of the disk, bytes.
    pub fn end(&self) -> u64 {
        self.partitions
            .iter()
            .map(|partition| partition.start.saturating_add(partition.size))
            .max()
            .unwrap_or(0)
    }
}

/// Each record of the chain has one partition, relative to the record itself, and the next record, relative to the
/// first one.
fn logical(
    extended: Entry,
    sector: &mut impl FnMut(u64) -> Result<Vec<u8>, String>,
    partitions: &mut Vec<Partition>,
) -> Result<(), String> {
    let mut at = extended.start;
    for number in (5..).take(MOST) {
        let Some([own, next, ..]) = entries(&sector(at.saturating_mul(SECTOR))?) else { return Ok(()) };
        if own.kind != 0 && own.sectors != 0 {
            partitions.push(partition(number, own, at));
        }
        if next.kind == 0 || next.start == 0 {
            return Ok(());
        }
        at = extended.start.saturating_add(next.start);
    }
    Err("its chain of logical partitions has no end".into())
}

fn partition(number: u32, entry: Entry, base: u64) -> Partition {
    Partition {
        number,
        kind: entry.kind,
        active: entry.active,
        start: base.saturating_add(entry.start).saturating_mul(SECTOR),
        size: entry.sectors.saturating_mul(SECTOR),
    }
}

impl Partition {
    /// The purpose of its type, if known.
    pub fn purpose(&self) -> Option<&'static str> {
        Some(match self.kind {
            LINUX => "Linux file system",
            0x82 => "swap",
            0x8e => "LVM",
            0xfd => "Linux RAID",
            ESP => "EFI system partition",
            0x07 => "NTFS or exFAT",
            0x01 | 0x04 | 0x06 | 0x0b | 0x0c | 0x0e => "FAT",
            kind if EXTENDED.contains(&kind) => "extended",
            _ => return None,
        })
    }
}
