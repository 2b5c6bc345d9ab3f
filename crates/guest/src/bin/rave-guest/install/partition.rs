//! Finds the root file system in the GPT of the disk that is installed (UEFI 2.10, 5.3).

use super::answers::refused;
use crate::error::Error;
use crate::files::failed;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes of a logical block of a disk image.
const BLOCK: u64 = 512;
/// The header's `Signature`, 5.3.2.
const SIGNATURE: &[u8] = b"EFI PART";
/// The most entries that are read; a table has 128 unless it was made larger.
const MOST_ENTRIES: u32 = 1024;
/// Type GUIDs in their on-disk form, appendix A: "Root Partition, amd64" of the Discoverable Partitions Specification,
/// 4f68bce3-e8cd-4db1-96e7-fbcaf984b709, and "Linux filesystem data", 0fc63daf-8483-4772-8e79-3d69d8477de4, which
/// parted(8) uses for an ext4 partition.
const ROOTS: [[u8; 16]; 2] = [
    [0xe3, 0xbc, 0x68, 0x4f, 0xcd, 0xe8, 0xb1, 0x4d, 0x96, 0xe7, 0xfb, 0xca, 0xf9, 0x84, 0xb7, 0x09],
    [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4],
];

/// The offset of the root file system on the disk, in bytes.
pub(super) fn root_offset(image: &Path) -> Result<u64, Error> {
    let file = File::open(image).map_err(failed("open", image))?;
    find(&file).map_err(failed("read the partition table of", image))?.ok_or_else(|| {
        refused(
            format!("{} has no partition with a Linux root file system", image.display()),
            "the medium is not RAVE's, or it was changed: write it again",
        )
    })
}

fn find(image: &File) -> io::Result<Option<u64>> {
    let mut header = [0; 92];
    image.read_exact_at(&mut header, BLOCK)?;
    let (size, table) = (u64::from(number(&header[84..88])), long(&header[72..80]));
    if !header.starts_with(SIGNATURE) || size < 128 {
        return Ok(None);
    }
    for index in 0..number(&header[80..84]).min(MOST_ENTRIES) {
        let mut entry = [0; 40];
        let place = table.checked_mul(BLOCK).and_then(|start| start.checked_add(u64::from(index) * size));
        image.read_exact_at(&mut entry, place.ok_or(io::ErrorKind::InvalidData)?)?;
        if ROOTS.iter().any(|root| entry.starts_with(root)) {
            return Ok(long(&entry[32..40]).checked_mul(BLOCK));
        }
    }
    Ok(None)
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

fn long(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ESP: [u8; 16] =
        [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];

    /// The start of a disk with these partitions: type and first block.
    fn table(partitions: &[([u8; 16], u64)]) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes.extend(SIGNATURE);
        bytes.resize(512 + 72, 0);
        bytes.extend(2_u64.to_le_bytes());
        bytes.extend(128_u32.to_le_bytes());
        bytes.extend(128_u32.to_le_bytes());
        bytes.resize(1024, 0);
        for (kind, first) in partitions {
            let end = bytes.len() + 128;
            bytes.extend(kind);
            bytes.extend([7; 16]);
            bytes.extend(first.to_le_bytes());
            bytes.resize(end, 0);
        }
        bytes.resize(1024 + 128 * 128, 0);
        bytes
    }

    #[test]
    fn the_root_is_found_by_its_type() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("disk.raw");
        for root in ROOTS {
            fs::write(&path, table(&[(ESP, 2048), (root, 0x2_0000_5000)])).unwrap();
            assert_eq!(root_offset(&path).unwrap(), 0x2_0000_5000 * BLOCK);
        }
        fs::write(&path, table(&[(ESP, 2048)])).unwrap();
        let error = root_offset(&path).unwrap_err().to_string();
        assert!(error.contains("has no partition with a Linux root file system\n"), "{error}");
    }

    #[test]
    fn an_invalid_table_is_an_error() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("disk.raw");
        fs::write(&path, vec![0; 4096]).unwrap();
        assert!(root_offset(&path).is_err());
        fs::write(&path, vec![0; 100]).unwrap();
        assert!(root_offset(&path).unwrap_err().to_string().contains("read the partition table of"));
        // A table beyond the end of every disk.
        let mut bytes = vec![0xff; 4096];
        bytes[512..520].copy_from_slice(SIGNATURE);
        fs::write(&path, bytes).unwrap();
        assert!(root_offset(&path).is_err());
    }
}
