//! Whether the tables of an image are within its file. `qemu-img check` misses some that are not, and reads them as
//! zeros: a disk without content.

use super::container::Container;
use super::last_cluster::{self, Data, Layout};
use super::node::alone;
use super::part::Part;
use super::vhdx;
use crate::formats::vmdk::{Header, SECTOR};

/// Bit 17 of a sparse extent's flags: markers precede compressed grains (VMware, Virtual Disk Format 5.0, "The
/// Header").
const HAS_MARKERS: u32 = 1 << 17;

/// Bytes of a grain's marker ("Compressed Grains").
const MARKER: u64 = 12;

/// Entries of tables.
#[derive(Clone, Copy)]
enum Order {
    /// Eight bytes, big-endian.
    Big64,
    /// Four bytes, little-endian.
    Little32,
}

/// Refuses an image with truncated tables.
pub(super) fn check(part: &Part<'_>, container: Container) -> Result<(), String> {
    let head = part.read(0, 512)?;
    let four = |at: usize| head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    let big = |at: usize| u64::from(u32::from_be_bytes(four(at).unwrap_or_default()));
    let big64 = |at: usize| big(at) << 32 | big(at + 4);
    let little = |at: usize| u64::from(u32::from_le_bytes(four(at).unwrap_or_default()));
    match container {
        Container::Qcow2 => {
            // QEMU, docs/interop/qcow2.txt: `cluster_bits`, `l1_size`, `l1_table_offset`, `refcount_table_*`.
            let cluster = 1_u64.checked_shl(u32::try_from(big(20)).unwrap_or(u32::MAX)).unwrap_or(u64::MAX);
            part.contains(big64(48), big(56).saturating_mul(cluster))?;
            let first = part.table(big64(40), big(36).saturating_mul(8))?;
            let place = |entry| entry & 0x00ff_ffff_ffff_fe00;
            second(part, &first, Order::Big64, |entry| (place(entry), cluster))?;
            // `version`; `incompatible_features`, bits 3 and 4: `compression_type` is another, extended entries.
            let has = |bit: u32| big(4) >= 3 && big64(72) >> bit & 1 == 1;
            let (is_zstd, has_subclusters) = (has(3) && head.get(104) == Some(&1), has(4));
            let stride = if has_subclusters { 16 } else { 8 };
            let bits = u32::try_from(big(20)).ok().filter(|bits| (9..=21).contains(bits));
            let bits = bits.ok_or("it is damaged: its clusters have no valid size")?;
            let layout = Layout {
                cluster,
                entries: cluster / stride as u64,
                stride,
                offset_bits: 62 - (bits - 8),
                data: if is_zstd { Data::Zstd } else { Data::Deflate },
            };
            let tables = numbers(&first, Order::Big64).into_iter().map(place);
            last_cluster::check(part, &layout, tables, &alone("qcow2", &part.node()))
        }
        Container::Qcow => {
            // QEMU, block/qcow.c, `QCowHeader`: `size`, `cluster_bits`, `l2_bits`, `l1_table_offset`.
            let bits = |at: usize| u32::from(head.get(at).copied().unwrap_or_default());
            let reach = 1_u64.checked_shl(bits(32) + bits(33)).filter(|reach| *reach > 0).unwrap_or(u64::MAX);
            let length = 8_u64.checked_shl(bits(33)).unwrap_or(u64::MAX);
            let first = part.table(big64(40), big64(24).div_ceil(reach).saturating_mul(8))?;
            second(part, &first, Order::Big64, |entry| (entry, length))?;
            let layout = Layout {
                cluster: 1_u64.checked_shl(bits(32)).unwrap_or(u64::MAX),
                entries: length / 8,
                stride: 8,
                offset_bits: 63_u32.saturating_sub(bits(32)),
                data: Data::Bytes,
            };
            let tables = numbers(&first, Order::Big64).into_iter();
            last_cluster::check(part, &layout, tables, &alone("qcow", &part.node()))
        }
        Container::Vmdk => vmdk(part),
        Container::Vhdx if part.is_whole => {
            let regions = vhdx::regions(part.file).map_err(|error| format!("it cannot be read: {error}"))?;
            regions.into_iter().try_for_each(|(start, length)| part.contains(start, length))
        }
        // QEMU, docs/interop/parallels.txt: `bat_entries`, after a header of 64 bytes.
        Container::Parallels => part.contains(64, little(32).saturating_mul(4)),
        // VirtualBox, VDICore.h, `VDIHEADER1`: `offBlocks`, `cBlocks`.
        Container::Vdi => part.contains(little(0x154), little(0x180).saturating_mul(4)),
        _ => Ok(()),
    }
}

/// VMware, Virtual Disk Format 5.0, "Hosted Sparse Extents": a directory of tables of grains.
fn vmdk(part: &Part<'_>) -> Result<(), String> {
    const AT_END: u64 = u64::MAX;
    let parsed = |bytes: &[u8]| Header::parse(bytes).map_err(|error| error.to_string());
    let mut header = parsed(&part.read(0, SECTOR)?)?;
    if header.directory == AT_END {
        // The footer precedes the last marker.
        header = parsed(&part.read(part.size.saturating_sub(2 * SECTOR), SECTOR)?)?;
    }
    let entries = u64::from(header.entries_per_table);
    let reach = header.grain_size.saturating_mul(entries).max(1);
    let length = header.capacity.div_ceil(reach).saturating_mul(4);
    let first = part.table(header.directory.saturating_mul(SECTOR), length)?;
    let place = |entry: u64| (entry.saturating_mul(SECTOR), entries.saturating_mul(4));
    second(part, &first, Order::Little32, place)?;
    if header.flags & HAS_MARKERS == 0 { Ok(()) } else { last_grain(part, &first, place) }
}

/// Checks that the last compressed grain in the file is complete: `qemu-img check` only looks at the start of grains.
fn last_grain(part: &Part<'_>, first: &[u8], place: impl Fn(u64) -> (u64, u64)) -> Result<(), String> {
    let mut tables = numbers(first, Order::Little32);
    tables.sort_unstable();
    tables.dedup();
    let mut last = 0;
    for entry in tables.into_iter().filter(|entry| *entry != 0) {
        let (start, length) = place(entry);
        last = numbers(&part.table(start, length)?, Order::Little32).into_iter().fold(last, u64::max);
    }
    // Its marker: the first sector that it contains, and its length ("Compressed Grains").
    let start = last.saturating_mul(SECTOR);
    part.contains(start, MARKER)?;
    let marker = part.read(start, MARKER)?;
    let length = marker.get(8..).map_or(0, |bytes| numbers(bytes, Order::Little32).into_iter().sum());
    if last == 0 { Ok(()) } else { part.contains(start, length.saturating_add(MARKER)) }
}

/// Checks that the second-level tables are within the file; an entry of 0 means that there is no table.
fn second(
    part: &Part<'_>,
    first: &[u8],
    order: Order,
    place: impl Fn(u64) -> (u64, u64),
) -> Result<(), String> {
    numbers(first, order)
        .into_iter()
        .map(place)
        .filter(|(start, _)| *start != 0)
        .try_for_each(|(start, length)| part.contains(start, length))
}

fn numbers(bytes: &[u8], order: Order) -> Vec<u64> {
    let number = |sum, byte: &u8| sum << 8 | u64::from(*byte);
    match order {
        Order::Big64 => bytes.chunks_exact(8).map(|bytes| bytes.iter().fold(0, number)).collect(),
        Order::Little32 => bytes.chunks_exact(4).map(|bytes| bytes.iter().rev().fold(0, number)).collect(),
    }
}
