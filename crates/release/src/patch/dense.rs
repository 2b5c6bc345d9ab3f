//! The dense form of a range of a disk: a bit for each block, then the non-zero blocks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes of a block: that of the disks' file systems.
pub(super) const BLOCK: u64 = 4096;

const BLOCK_BYTES: usize = 4096;
/// The content of a hole.
pub(super) const ZEROS: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// Bytes read at once.
const READ: usize = 1 << 20;

/// Visits a block: its position, and its bytes; none if they are zeros.
pub(super) type EachBlock<'a> = dyn FnMut(u64, Option<&[u8]>) -> io::Result<()> + 'a;

/// The error for an invalid patch.
pub(super) fn invalid(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// A disk with random access.
pub trait Disk {
    /// Fills the buffer from this byte on.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;
}

impl Disk for File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.read_exact_at(buffer, at)
    }
}

impl Disk for [u8] {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let start = usize::try_from(at).unwrap_or(usize::MAX);
        let found = self.get(start..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

fn bitmap_bytes(length: u64) -> usize {
    usize::try_from(length.div_ceil(BLOCK).div_ceil(8)).unwrap_or(usize::MAX)
}

/// The maximum size of the dense form of a range of this length.
pub(super) fn longest(length: u64) -> usize {
    bitmap_bytes(length).saturating_add(usize::try_from(length).unwrap_or(usize::MAX))
}

/// Reads a range, whose length is a multiple of blocks. `into` is cleared first, so that its memory is reused.
pub(super) fn read(
    disk: &(impl Disk + ?Sized),
    start: u64,
    length: u64,
    into: &mut Vec<u8>,
) -> io::Result<()> {
    into.clear();
    into.resize(bitmap_bytes(length), 0);
    let mut buffer = vec![0; READ];
    let mut at = 0;
    while at < length {
        rave_process::interrupt::check().map_err(io::Error::other)?;
        let count = usize::try_from(length - at).unwrap_or(READ).min(READ);
        disk.read_at(&mut buffer[..count], start + at)?;
        for (number, block) in buffer[..count].chunks(BLOCK_BYTES).enumerate() {
            if *block != ZEROS[..block.len()] {
                let number = usize::try_from(at / BLOCK).unwrap_or(usize::MAX) + number;
                into[number / 8] |= 1 << (number % 8);
                into.extend_from_slice(block);
            }
        }
        at += count as u64;
    }
    Ok(())
}

/// Visits each block with its position in the range, in order; none if it is zeros. Anything but a valid dense form is
/// refused as invalid data.
pub(super) fn blocks(dense: &[u8], length: u64, each: &mut EachBlock<'_>) -> io::Result<()> {
    let count = length.div_ceil(BLOCK);
    let bits = dense.get(..bitmap_bytes(length)).ok_or_else(|| invalid("a chunk is too short"))?;
    let is_set = |number: u64| {
        let byte = bits[usize::try_from(number / 8).unwrap_or(usize::MAX)];
        byte >> (number % 8) & 1 == 1
    };
    let behind = (count..bits.len() as u64 * 8).any(is_set);
    let set: u64 = bits.iter().map(|byte| u64::from(byte.count_ones())).sum();
    let data = &dense[bits.len()..];
    if behind || data.len() as u64 != set * BLOCK {
        return Err(invalid("a chunk has not the blocks that it lists"));
    }
    let mut data = data.chunks(BLOCK_BYTES);
    for number in 0..count {
        let block = if is_set(number) { data.next() } else { None };
        each(number * BLOCK, block)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_round_trips_and_a_hole_takes_one_bit() {
        let mut disk = vec![0_u8; 20 * BLOCK_BYTES];
        disk[0] = 1;
        disk[9 * BLOCK_BYTES + 5] = 2;
        disk[19 * BLOCK_BYTES..].fill(3);
        let mut dense = Vec::new();
        read(disk.as_slice(), 0, disk.len() as u64, &mut dense).unwrap();
        assert_eq!(dense.len(), 3 + 3 * BLOCK_BYTES);
        assert_eq!(dense[..3], [0b1, 0b10, 0b1000]);
        let mut decoded = Vec::new();
        blocks(&dense, disk.len() as u64, &mut |at, block| {
            assert_eq!(at, decoded.len() as u64);
            decoded.extend_from_slice(block.unwrap_or(&ZEROS));
            Ok(())
        })
        .unwrap();
        assert_eq!(decoded, disk);
        // A bit beyond the end, a missing block, empty input.
        let refused = |dense: &[u8]| blocks(dense, disk.len() as u64, &mut |_, _| Ok(())).is_err();
        let mut behind = dense.clone();
        behind[2] |= 0x80;
        assert!(refused(&behind) && refused(&dense[..dense.len() - 1]) && refused(&dense[..2]));
        behind[2] ^= 0x80 ^ 1;
        assert!(refused(&behind));
    }
}
