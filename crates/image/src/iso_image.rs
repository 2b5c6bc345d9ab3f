//! `rave iso-image`: the ISO of a disk that [`crate::disk_image`] wrote, written by the same code as the ISO of the
//! Debian base. It needs no root, loop device, virtual machine or settings, so that it can run in a nix builder.

#[cfg(test)]
mod tests;

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::progress::Sink;

use crate::disk::{GrubFolders, IMAGE};
use crate::disk_image::request::{check_arguments, check_output};
use crate::disk_image::work_beside;
use crate::error::{Error, IoContext as _};
use crate::formats::{ISO_STAGE, LiveMedium};
use crate::inspect;
use crate::stage_cache::StageCache;
use crate::stage_runner::StageRunner;

/// The type of a root file system's partition (UAPI.2 Discoverable Partitions Specification), x86-64.
const ROOT: &str = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709";

/// What to write. Paths are this host's.
#[derive(Debug, Clone)]
pub struct IsoImageRequest<'a> {
    /// The raw disk, in a file called `disk.raw`: it has the same name on the medium.
    pub disk: &'a Utf8Path,
    /// The kernel of the system on it.
    pub kernel: &'a Utf8Path,
    /// Its initrd, which starts a live session if the kernel's arguments name a medium.
    pub initrd: &'a Utf8Path,
    /// The kernel's arguments besides those that name the medium.
    pub arguments: &'a str,
    /// Folders with GRUB's modules; the host's own if empty.
    pub grub: &'a [Utf8PathBuf],
    /// The ISO.
    pub output: &'a Utf8Path,
    /// `SOURCE_DATE_EPOCH`, seconds since 1970.
    pub epoch: u64,
}

/// Writes the ISO; it gets its final name only when it is complete.
pub fn write(request: &IsoImageRequest<'_>, sink: Sink<'_>) -> Result<(), Error> {
    check_arguments(request.arguments)?;
    check_output(request.output)?;
    if request.disk.file_name() != Some(IMAGE) {
        let detail = format!("it must be called {IMAGE}, as the installer on the medium finds it");
        return Err(Error::Input { what: request.disk.to_string(), detail });
    }
    let disk = Disk::of(request.disk)?;
    let (_guard, work) = work_beside(request.output)?;
    let stages = StageRunner::new(StageCache::open(&work)?, &work, &work, false, sink);
    let medium = LiveMedium {
        disk: request.disk,
        size: disk.size,
        guid: &disk.guid,
        root_start: disk.root_start,
        kernel: request.kernel,
        initrd: request.initrd,
        arguments: request.arguments,
        grub: &GrubFolders::of(request.grub),
        epoch: request.epoch,
    };
    let image = work.join("image.iso");
    stages.timed(ISO_STAGE, || medium.write(&stages, &image))?;
    fs::rename(&image, request.output).at("rename into", request.output)
}

/// The facts from the partition table.
struct Disk {
    size: u64,
    guid: String,
    root_start: u64,
}

impl Disk {
    fn of(path: &Utf8Path) -> Result<Self, Error> {
        let refuse = |detail: String| Error::Input { what: path.to_string(), detail };
        let facts = inspect::tables(&inspect::open(path)?).map_err(refuse)?;
        let table = facts.table.ok_or_else(|| refuse("it has no GUID partition table".into()))?;
        let root = table.partitions.iter().find(|partition| partition.type_guid == ROOT);
        let root = root.ok_or_else(|| refuse("it has no partition for a root file system".into()))?;
        Ok(Self { size: facts.virtual_size, root_start: root.start, guid: table.guid })
    }
}
