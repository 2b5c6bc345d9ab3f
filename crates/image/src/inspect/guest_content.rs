//! The digest of the guest's files, recomputed from inside an image of any format.

use std::fs::File;

use camino::Utf8Path;
use rave_process::Cmd;

use super::disk_reader::{DiskReader, LONG_DEADLINE, read_plain};
use super::facts::{DiskFacts, GuestContent, ImageKind, ZstFacts};
use super::gpt::{self, Table};
use super::{iso9660, mbr};
use crate::content::ext4::{Ext4Tree, ReadLimits, TreeError};
use crate::content::{self};
use crate::digest::Digest;
use crate::disk;
use crate::error::Error;
use crate::foreign::ImageNode;
use crate::space::free_bytes;
use crate::tempdir::{self, LockedTempDir};

/// An image whose kind is known.
pub(super) struct InspectedImage<'a> {
    pub(super) path: &'a Utf8Path,
    pub(super) file: &'a File,
    pub(super) kind: &'a ImageKind,
    pub(super) node: Option<&'a ImageNode>,
    pub(super) disk: Option<&'a DiskFacts>,
}

/// Why there is no digest.
enum DigestError {
    Plain(String),
    Interrupted,
}

impl From<String> for DigestError {
    fn from(detail: String) -> Self {
        Self::Plain(detail)
    }
}

impl From<std::io::Error> for DigestError {
    fn from(error: std::io::Error) -> Self {
        Self::Plain(error.to_string())
    }
}

impl From<TreeError> for DigestError {
    fn from(why: TreeError) -> Self {
        if matches!(why, TreeError::Interrupted) { Self::Interrupted } else { Self::Plain(why.to_string()) }
    }
}

impl InspectedImage<'_> {
    /// Reads every file of the root file system and compares the digest with the expected one.
    pub(super) fn content(&self, expected: Option<Digest>) -> Result<GuestContent, Error> {
        if matches!(self.kind, ImageKind::Ovf(_) | ImageKind::Vmx(_)) {
            return Ok(GuestContent::None { detail: "it describes a machine and contains no disk".into() });
        }
        let found = self.digest();
        if rave_process::interrupt::requested().is_some() {
            return Err(Error::Interrupted);
        }
        Ok(match (found, expected) {
            (Ok(sha256), None) => GuestContent::Alone { sha256 },
            (Ok(sha256), Some(manifest)) if sha256 == manifest => GuestContent::Same { sha256 },
            (Ok(sha256), Some(manifest)) => GuestContent::Differs { sha256, manifest },
            (Err(DigestError::Plain(detail)), None) => GuestContent::None { detail },
            (Err(DigestError::Plain(detail)), Some(_)) => GuestContent::Missing { detail },
            (Err(DigestError::Interrupted), _) => return Err(Error::Interrupted),
        })
    }

    fn digest(&self) -> Result<Digest, DigestError> {
        match self.kind {
            ImageKind::Iso(_) => return self.of_live_disk(),
            ImageKind::Zst(facts) => return self.of_compressed(facts),
            _ => {}
        }
        let Some(disk) = self.disk else { return Err("no disk can be read in it".to_owned().into()) };
        let (start, size) = root_partition(disk.table.as_ref(), disk.mbr.as_ref())?;
        // The file system of a plain image is read in place.
        let Some(image) = self.node else { return of_file_system(self.path, start, size) };
        let scratch = scratch_with_room(size)?;
        let target = scratch.path().join("root");
        DiskReader::Image { image, size: disk.virtual_size }.copy(start, size, &target)?;
        of_file_system(&target, 0, size)
    }

    /// The disk inside an ISO's squashfs.
    fn of_live_disk(&self) -> Result<Digest, DigestError> {
        let start = iso9660::squashfs(self.file)?.ok_or_else(|| "it contains no squashfs".to_owned())?;
        let start = start.to_string();
        let scratch = scratch_with_room(self.size_of_live_disk(&start)?)?;
        let target = scratch.path().join("tree");
        // By default its queues use 256 MiB each.
        let fixed = ["-no-progress", "-no-xattrs", "-data-queue", "32", "-frag-queue", "32", "-dest"];
        let rest = [target.as_str(), "-offset", &start, self.path.as_str(), disk::IMAGE];
        let command = Cmd::new("unsquashfs").args(fixed).args(rest).timeout(LONG_DEADLINE);
        command.output().map_err(|error| error.to_string())?;
        let disk = target.join(disk::IMAGE);
        // In an untrusted ISO it may be a link that leads out of the folder, or a device.
        let is_file = std::fs::symlink_metadata(&disk).is_ok_and(|metadata| metadata.is_file());
        if !is_file {
            return Err(format!("its squashfs contains no {}", disk::IMAGE).into());
        }
        of_raw_disk(&disk)
    }

    fn of_compressed(&self, facts: &ZstFacts) -> Result<Digest, DigestError> {
        let size = facts.content.ok_or_else(|| "it does not say how large the disk is".to_owned())?;
        let scratch = scratch_with_room(size)?;
        let target = scratch.path().join("disk");
        let arguments = ["-d", "-q", "--sparse", "-o", target.as_str(), self.path.as_str()];
        Cmd::new("zstd")
            .args(arguments)
            .timeout(LONG_DEADLINE)
            .output()
            .map_err(|error| error.to_string())?;
        of_raw_disk(&target)
    }

    /// Bytes, as unsquashfs(1) lists it: `-r--r--r-- 0/0 1717567488 2026-01-01 00:00 squashfs-root/disk.raw`.
    fn size_of_live_disk(&self, start: &str) -> Result<u64, DigestError> {
        let arguments = ["-no-progress", "-lln", "-offset", start, self.path.as_str(), disk::IMAGE];
        let command = Cmd::new("unsquashfs").args(arguments).timeout(LONG_DEADLINE);
        let output = command.output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        let ending = format!("/{}", disk::IMAGE);
        let line = text.lines().find(|line| line.ends_with(&ending));
        line.and_then(|line| line.split_whitespace().nth(2)?.parse().ok())
            .ok_or_else(|| DigestError::Plain(format!("its squashfs contains no {}", disk::IMAGE)))
    }
}

/// Partition types that may contain a root file system, the likeliest first: those of the Discoverable Partitions
/// Specification, then any Linux file system.
const ROOT_TYPES: &[&str] = &[
    "4f68bce3-e8cd-4db1-96e7-fbcaf984b709",
    "b921b045-1df0-41c3-af44-4c6f280d3fae",
    "0fc63daf-8483-4772-8e79-3d69d8477de4",
];

/// Offset and size of the likely root file system, bytes.
fn root_partition(table: Option<&Table>, mbr: Option<&mbr::Table>) -> Result<(u64, u64), String> {
    if let Some(table) = mbr {
        let linux = table.partitions.iter().find(|partition| partition.kind == mbr::LINUX);
        let place = linux.map(|partition| (partition.start, partition.size));
        return place.ok_or_else(|| "its disk has no partition of Linux".into());
    }
    let Some(table) = table else { return Err("its disk has no partition table".into()) };
    let of_type = |guid: &&str| table.partitions.iter().find(|partition| partition.type_guid == **guid);
    let found = ROOT_TYPES.iter().find_map(of_type).map(|partition| (partition.start, partition.size));
    found.ok_or_else(|| "its disk has no partition for a root file system of Linux".into())
}

fn of_raw_disk(disk: &Utf8Path) -> Result<Digest, DigestError> {
    let file = File::open(disk)?;
    let sector = read_plain(&file, gpt::PLACE, 512)?;
    let table = match gpt::Header::parse(&sector) {
        Some(header) => Some(header.table(&read_plain(&file, header.entries, header.length)?)),
        None => None,
    };
    let (start, size) = root_partition(table.as_ref(), None)?;
    of_file_system(disk, start, size)
}

fn of_file_system(image: &Utf8Path, start: u64, size: u64) -> Result<Digest, DigestError> {
    let tree = Ext4Tree::open(image, start, size)?;
    Ok(content::digest(&tree, &ReadLimits::default())?)
}

/// A temporary folder for large sparse files.
pub(super) fn scratch_with_room(needed: u64) -> Result<LockedTempDir, String> {
    let place = tempdir::place();
    let free = free_bytes(&place).map_err(|error| error.to_string())?;
    if free < needed {
        return Err(format!(
            "{} MiB are needed to unpack it, {place} has {} MiB free: set TMPDIR to a folder on a larger disk",
            needed >> 20,
            free >> 20
        ));
    }
    LockedTempDir::new(&place, "rave-inspect-").map_err(|error| error.to_string())
}
