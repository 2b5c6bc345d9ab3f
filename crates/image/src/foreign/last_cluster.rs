//! Whether the last compressed cluster of a qcow2 or qcow image is complete: `qemu-img check` only looks at where
//! clusters start.

use flate2::{Decompress, FlushDecompress, Status};
use rave_process::Cmd;
use serde_json::Value;

use super::node::{DEADLINE, name, qemu_img_message};
use super::part::Part;

/// The layout of the tables.
pub(super) struct Layout {
    /// Bytes of a cluster.
    pub(super) cluster: u64,
    /// Entries of a second-level table.
    pub(super) entries: u64,
    /// Bytes of an entry: 16 with subclusters, whose bitmap is the second half.
    pub(super) stride: usize,
    /// The bits of an entry that are the position of a compressed cluster; those above it are its length.
    pub(super) offset_bits: u32,
    pub(super) data: Data,
}

/// What a compressed cluster is, and how its entry gives the length.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// Of qcow2: deflate (RFC 1951) without a header. The entry has the number of further sectors that contain it, at
    /// the end of which it need not end (QEMU, docs/interop/qcow2.txt, "Compressed Clusters Descriptor"). Bit 62 marks
    /// it.
    Deflate,
    /// Of qcow2, with the same entries: a zstd frame.
    Zstd,
    /// Of qcow: the entry has the length in bytes (QEMU, block/qcow.c, `decompress_cluster`). Bit 63 marks it.
    Bytes,
}

const SECTOR: u64 = 512;

/// The compressed cluster that ends last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Last {
    /// Where it ends in the file, at most.
    end: u64,
    /// Where it starts in the file.
    start: u64,
    /// Its position on the disk.
    disk: u64,
}

/// Refuses an image whose last compressed cluster cannot be read. `second` are the positions of its second-level
/// tables.
pub(super) fn check(
    part: &Part<'_>,
    layout: &Layout,
    second: impl Iterator<Item = u64>,
    node: &Value,
) -> Result<(), String> {
    let mut last = None;
    for (number, start) in second.enumerate().filter(|(_, start)| *start != 0) {
        let bytes = part.table(start, layout.entries.saturating_mul(layout.stride as u64))?;
        let before = (number as u64).saturating_mul(layout.entries);
        last = last.max(layout.last_in(&bytes, before));
    }
    // What is within the file needs no reading.
    let Some(last) = last.filter(|last| last.end > part.size) else { return Ok(()) };
    let is_complete = match layout.data {
        Data::Deflate => is_deflated(&part.read(last.start, part.size)?, layout.cluster),
        Data::Zstd => reads(node, last.disk)?,
        Data::Bytes => false,
    };
    if is_complete {
        return Ok(());
    }
    Err(format!("it is truncated: its last compressed cluster ends beyond its {} bytes", part.size))
}

/// Whether these bytes begin with a complete stream. QEMU is content with one that fills the cluster wrongly.
fn is_deflated(bytes: &[u8], cluster: u64) -> bool {
    let Ok(length) = usize::try_from(cluster) else { return false };
    let mut content = vec![0; length];
    let result = Decompress::new(false).decompress(bytes, &mut content, FlushDecompress::Finish);
    matches!(result, Ok(Status::StreamEnd))
}

/// Whether QEMU can read a cluster.
fn reads(node: &Value, at: u64) -> Result<bool, String> {
    let command = format!("read {at} {SECTOR}");
    let read = Cmd::new("qemu-io").args(["--read-only", "-c", &command, &name(node)]).timeout(DEADLINE);
    match read.output() {
        Ok(_) => Ok(true),
        Err(rave_process::Error::Failed { .. }) => Ok(false),
        Err(error) => Err(qemu_img_message(&error)),
    }
}

impl Layout {
    fn last_in(&self, table: &[u8], before: u64) -> Option<Last> {
        let entries = table.chunks_exact(self.stride).zip(before..);
        entries
            .filter_map(|(entry, number)| {
                let entry = u64::from_be_bytes(entry.get(..8)?.try_into().ok()?);
                let (start, end) = self.bounds(entry)?;
                Some(Last { end, start, disk: number.saturating_mul(self.cluster) })
            })
            .max()
    }

    /// Where a compressed cluster starts, and where it ends, at most.
    fn bounds(&self, entry: u64) -> Option<(u64, u64)> {
        let mark = if self.data == Data::Bytes { 63 } else { 62 };
        if entry >> mark & 1 == 0 {
            return None;
        }
        let start = entry & ((1 << self.offset_bits) - 1);
        let length = (entry & ((1 << mark) - 1)) >> self.offset_bits;
        let end = if self.data == Data::Bytes {
            start.saturating_add(length)
        } else {
            (start / SECTOR).saturating_add(length + 1).saturating_mul(SECTOR)
        };
        Some((start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clusters of 64 KiB of qcow2, and of 4 KiB of qcow, which no current qemu-img compresses.
    #[test]
    fn entries_have_a_start_and_an_end() {
        let qcow2 =
            Layout { cluster: 1 << 16, entries: 8192, stride: 8, offset_bits: 54, data: Data::Deflate };
        assert_eq!(qcow2.bounds(0x4440_0000_0005_e5b0), Some((386_480, 395_264)));
        assert_eq!(qcow2.bounds(0x8000_0000_0005_0000), None);
        let entry = |length: u64, start: u64| (1 << 63) + (length << 51) + start;
        let qcow = Layout { cluster: 1 << 12, entries: 512, stride: 8, offset_bits: 51, data: Data::Bytes };
        assert_eq!(qcow.bounds(entry(700, 9000)), Some((9000, 9700)));
        assert_eq!(qcow.bounds(9000), None);
        let table = [0, entry(700, 9000), entry(5, 100)].map(u64::to_be_bytes).concat();
        assert_eq!(qcow.last_in(&table, 512), Some(Last { end: 9700, start: 9000, disk: 513 << 12 }));
    }

    #[test]
    fn a_stream_is_complete_or_not() {
        let content: Vec<u8> = (0..4096_u32).map(|at| at.wrapping_mul(at).to_le_bytes()[1]).collect();
        let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, &content).unwrap();
        let mut packed = packed.finish().unwrap();
        assert!(!is_deflated(&packed[..packed.len() - 1], 4096));
        packed.extend([0; 100]);
        assert!(is_deflated(&packed, 4096));
        assert!(!is_deflated(&[], 4096));
    }
}
