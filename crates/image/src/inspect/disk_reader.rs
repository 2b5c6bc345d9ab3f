//! Reads parts of an image as the guest sees it, through qemu-img unless it is plain.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use camino::Utf8Path;
use rave_process::Cmd;

use crate::foreign::ImageNode;

/// How long qemu-img may take for a few MiB; an untrusted image may keep it busy forever.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long it may take for all of a guest's files.
pub(super) const LONG_DEADLINE: Duration = Duration::from_secs(600);

/// Positions in an image are multiples of this, bytes.
const SECTOR: u64 = 512;

/// An image's content.
pub(super) enum DiskReader<'a> {
    /// The bytes of a file.
    Plain(&'a File),
    /// The first bytes of a disk; the rest is not examined.
    Start(&'a [u8]),
    /// An image that QEMU reads, and the disk's size in bytes.
    Image { image: &'a ImageNode, size: u64 },
}

impl DiskReader<'_> {
    /// Writes `size` bytes from `start`, both multiples of 512, to a sparse file.
    pub(super) fn copy(&self, start: u64, size: u64, target: &Utf8Path) -> Result<(), String> {
        let Self::Image { image, .. } = self else { return Err("it is a plain file".into()) };
        let name = image.part(start, size);
        let command = Cmd::new("qemu-img")
            .args(["convert", "-O", "raw", &name, target.as_str()])
            .timeout(LONG_DEADLINE);
        command.output().map(drop).map_err(|error| error.to_string())
    }

    /// Up to `length` bytes from `start`; fewer at the end of the image.
    pub(super) fn read(&self, start: u64, length: u64) -> Result<Vec<u8>, String> {
        match self {
            Self::Plain(file) => read_plain(file, start, length).map_err(|error| error.to_string()),
            Self::Start(bytes) => Ok(part(bytes, start, length)),
            Self::Image { image, size } => read_image(image, start, length.min(size.saturating_sub(start))),
        }
    }
}

fn part(bytes: &[u8], start: u64, length: u64) -> Vec<u8> {
    let end = bytes.len() as u64;
    let place = |at: u64| usize::try_from(at.min(end)).unwrap_or_default();
    bytes[place(start)..place(start.saturating_add(length))].to_vec()
}

pub(crate) fn read_plain(file: &File, start: u64, length: u64) -> std::io::Result<Vec<u8>> {
    let end = file.metadata()?.len();
    let length = length.min(end.saturating_sub(start));
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    file.read_exact_at(&mut bytes, start)?;
    Ok(bytes)
}

fn read_image(image: &ImageNode, start: u64, length: u64) -> Result<Vec<u8>, String> {
    let before = start % SECTOR;
    // A disk may end within a sector; that sector is not read.
    let size = (before + length) / SECTOR * SECTOR;
    if size == 0 {
        return Ok(Vec::new());
    }
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let target = folder.path().join("part");
    // `qemu-img dd` is no alternative: its `count` is relative to the start of the disk even with `skip`.
    let name = image.part(start - before, size);
    let command = Cmd::new("qemu-img").args(["convert", "-O", "raw", &name]).arg(&target).timeout(DEADLINE);
    command.output().map_err(|error| error.to_string())?;
    let file = File::open(&target).map_err(|error| error.to_string())?;
    read_plain(&file, before, length).map_err(|error| error.to_string())
}
