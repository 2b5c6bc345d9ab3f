//! Finds the compressed file system in an ISO (ECMA-119; squashfs.h of Linux).

use std::fs::File;

use super::disk_reader::read_plain;

/// Bytes of a logical sector (ECMA-119, 6.1.2).
const SECTOR: u64 = 2048;

/// The offset of the root folder's record: 156 bytes into the primary volume descriptor of sector 16 (8.4.18).
const ROOT_RECORD: u64 = 16 * SECTOR + 156;

/// The first bytes of a squashfs, little-endian.
const SQUASHFS: [u8; 4] = *b"hsqs";

/// Limits for an untrusted ISO: folders, and bytes of each.
const MOST_FOLDERS: usize = 256;
const LONGEST_FOLDER: u64 = 1 << 20;

/// A record of a folder (9.1).
struct Record {
    start: u64,
    size: u64,
    is_folder: bool,
}

fn four(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).into())
}

impl Record {
    fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            start: four(bytes, 2)? * SECTOR,
            size: four(bytes, 10)?,
            is_folder: bytes.get(25)? & 2 != 0,
        })
    }
}

/// Where the first squashfs starts, in bytes.
pub(crate) fn squashfs(file: &File) -> std::io::Result<Option<u64>> {
    let root = read_plain(file, ROOT_RECORD, 34)?;
    let mut folders: Vec<Record> = Record::parse(&root).into_iter().collect();
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        seen += 1;
        if seen > MOST_FOLDERS {
            break;
        }
        let bytes = read_plain(file, folder.start, folder.size.min(LONGEST_FOLDER))?;
        for record in records(&bytes) {
            if record.is_folder {
                folders.push(record);
            } else if read_plain(file, record.start, 4)? == SQUASHFS {
                return Ok(Some(record.start));
            }
        }
    }
    Ok(None)
}

/// The records of a folder without the first two, which are the folder itself and its parent (6.8.2.2). No record
/// crosses a sector boundary; the rest of a sector is zeros.
fn records(bytes: &[u8]) -> Vec<Record> {
    let mut found = Vec::new();
    for sector in bytes.chunks(usize::try_from(SECTOR).expect("small")) {
        let mut rest = sector;
        while let Some(&length) = rest.first().filter(|length| **length > 0) {
            let length = usize::from(length).min(rest.len());
            found.extend(Record::parse(&rest[..length]));
            rest = &rest[length..];
        }
    }
    found.into_iter().skip(2).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;
    use camino::Utf8Path;
    use rave_process::Cmd;

    #[test]
    fn a_squashfs_is_found_in_a_folder_despite_noise() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        std::fs::create_dir_all(folder.join("tree/a/b")).unwrap();
        std::fs::write(folder.join("tree/a/text"), "no").unwrap();
        std::fs::write(folder.join("tree/a/b/it"), "hsqs and more").unwrap();
        let iso = folder.join("x.iso");
        let (target, tree) = (iso.as_str(), folder.join("tree"));
        let arguments = ["-as", "mkisofs", "-quiet", "-rational-rock", "-o", target, tree.as_str()];
        if Cmd::new("xorriso").args(arguments).output().is_err() {
            rave_testing::skip!("this host has no xorriso");
        }
        let file = File::options().read(true).write(true).open(&iso).unwrap();
        let start = squashfs(&file).unwrap().unwrap();
        assert_eq!(read_plain(&file, start, 13).unwrap(), b"hsqs and more");
        // The root folder's length becomes absurd, its records noise.
        file.write_all_at(&[0xff; 8], ROOT_RECORD + 10).unwrap();
        let _ = squashfs(&file);
        let root = four(&read_plain(&file, ROOT_RECORD, 34).unwrap(), 2).unwrap() * SECTOR;
        file.write_all_at(&[0x55; 2048], root).unwrap();
        let _ = squashfs(&file);
    }
}
