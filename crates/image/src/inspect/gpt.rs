//! The GUID partition table: UEFI specification 2.10, 5.3. The protective MBR before it is ignored.

use serde::Serialize;

/// Bytes of a sector; disks with larger ones are reported as having no table.
const SECTOR: u64 = 512;

/// The offset of the header: LBA 1 (5.3.2).
pub const PLACE: u64 = SECTOR;

/// The maximum size of the entries that are read; the usual 128 entries of 128 bytes take 16 KiB.
const LONGEST: u64 = 1 << 20;

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Table {
    /// The disk's GUID.
    pub guid: String,
    /// The partitions in use.
    pub partitions: Vec<Partition>,
    /// Whether both checksums are correct.
    pub intact: bool,
    /// The minimum end of the disk: after the backup header and the last partition, bytes.
    #[serde(skip)]
    pub end: u64,
}

/// A partition (table 5.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Partition {
    /// Its place in the table, from 1.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// Its type's GUID.
    pub type_guid: String,
    /// The purpose of the type, if known.
    pub purpose: Option<&'static str>,
    /// Its own GUID.
    pub guid: String,
    /// Its first byte.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

/// The type of an EFI system partition (table 5.7).
pub const ESP: &str = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b";

/// Partition types of images, and their purposes.
const PURPOSES: &[(&str, &str)] = &[
    (ESP, "EFI system partition"),
    ("21686148-6449-6e6f-744e-656564454649", "GRUB for BIOS"),
    ("4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "root file system, x86-64"),
    ("b921b045-1df0-41c3-af44-4c6f280d3fae", "root file system, arm64"),
    ("0fc63daf-8483-4772-8e79-3d69d8477de4", "Linux file system"),
    ("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7", "basic data"),
    ("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f", "swap"),
];

/// The header's fields about the entries (table 5.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    guid: String,
    intact: bool,
    /// The offset of the entries, bytes.
    pub entries: u64,
    /// Bytes of all entries.
    pub length: u64,
    entry_size: usize,
    check_sum: u32,
    /// The end of the backup header, bytes.
    end: u64,
}

fn four(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| bytes.get(at + index).copied().unwrap_or_default()))
}

fn eight(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| bytes.get(at + index).copied().unwrap_or_default()))
}

/// The first three fields of a GUID are little-endian (appendix A).
fn guid(bytes: &[u8]) -> String {
    let hex =
        |order: &[usize]| order.iter().map(|at| format!("{:02x}", bytes[*at])).collect::<Vec<_>>().concat();
    let parts = [&[3, 2, 1, 0][..], &[5, 4], &[7, 6], &[8, 9], &[10, 11, 12, 13, 14, 15]];
    parts.map(hex).join("-")
}

impl Header {
    /// Parses a sector; none if it is not a header.
    pub fn parse(sector: &[u8]) -> Option<Self> {
        if sector.len() < 512 || &sector[..8] != b"EFI PART" {
            return None;
        }
        let size = usize::try_from(four(sector, 12)).ok().filter(|size| (92..=512).contains(size))?;
        let mut summed = sector[..size].to_vec();
        summed[16..20].fill(0);
        let entry_size = usize::try_from(four(sector, 84)).ok().filter(|size| (128..=4096).contains(size))?;
        let length = u64::from(four(sector, 80)).checked_mul(entry_size as u64)?;
        (length <= LONGEST).then_some(())?;
        Some(Self {
            guid: guid(&sector[56..72]),
            intact: crc32fast::hash(&summed) == four(sector, 16),
            entries: eight(sector, 72).checked_mul(SECTOR)?,
            length,
            entry_size,
            check_sum: four(sector, 88),
            end: eight(sector, 32).saturating_add(1).saturating_mul(SECTOR),
        })
    }

    /// Parses the entries.
    pub fn table(&self, entries: &[u8]) -> Table {
        let intact =
            self.intact && entries.len() as u64 == self.length && crc32fast::hash(entries) == self.check_sum;
        let partitions = (1..)
            .zip(entries.chunks_exact(self.entry_size))
            .filter_map(|(number, entry)| partition(number, entry));
        let partitions: Vec<Partition> = partitions.collect();
        let ends = partitions.iter().map(|partition| partition.start.saturating_add(partition.size));
        let end = ends.fold(self.end, u64::max);
        Table { guid: self.guid.clone(), partitions, intact, end }
    }
}

fn partition(number: u32, entry: &[u8]) -> Option<Partition> {
    let type_guid = guid(&entry[..16]);
    // An entry of zeros is unused (table 5.6).
    (!entry[..16].iter().all(|byte| *byte == 0)).then_some(())?;
    let (first, last) = (eight(entry, 32), eight(entry, 40));
    let name: Vec<u16> = entry[56..128]
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    Some(Partition {
        number,
        name: String::from_utf16_lossy(&name),
        purpose: PURPOSES.iter().find(|(known, _)| *known == type_guid).map(|(_, purpose)| *purpose),
        type_guid,
        guid: guid(&entry[16..32]),
        start: first.saturating_mul(SECTOR),
        size: last.checked_sub(first).map_or(0, |sectors| sectors.saturating_add(1).saturating_mul(SECTOR)),
    })
}
