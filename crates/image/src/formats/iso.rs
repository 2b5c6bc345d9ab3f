//! A hybrid ISO: CD and USB stick, BIOS and UEFI. It contains the whole raw disk once, in a squashfs: the live session
//! overlays the disk's root file system with memory, and the installer streams the disk to another one.

mod files;
mod medium;

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use rave_spec::Format;

use super::definition::{ExportResult, FormatDef, Make, OutputFile, SizeEstimate};
use super::export_spec::ExportSpec;
use super::exporter::Exporter;
use crate::digest::Hasher;
use crate::disk::RawDisk;
use crate::disk::boot_loader::{GrubFolders, KERNEL_ARGUMENTS};
use crate::disk::layout::Layout;
use crate::error::{Error, IoContext as _, StageContext as _};
use crate::stage_runner::StageRunner;
pub(crate) use medium::{LiveMedium, STAGE};

/// Changes whenever this file makes a different ISO from the same disk.
const REVISION: &[u8] = b"1";

/// The format.
pub(crate) const FORMAT: FormatDef = FormatDef {
    format: Format::Iso,
    files: |_| &[OutputFile { ending: ".iso", size: SizeEstimate::CompressedData }],
    order: 1,
    add_to_key,
    make: Make::OfBuiltDisk(make),
};

fn add_to_key(_: &ExportSpec, hasher: &mut Hasher) {
    hasher.field("revision", REVISION);
    medium::add_to_key(hasher, Layout::ROOT_START, KERNEL_ARGUMENTS);
}

fn make(exporter: &Exporter<'_>, disk: &RawDisk, files: &[Utf8PathBuf]) -> ExportResult {
    let stages = exporter.stages;
    let scratch = stages.scratch(0)?;
    let [kernel, initrd] = ["vmlinuz", "initrd.img"].map(|name| scratch.path().join(name));
    for (link, target) in [("/vmlinuz", &kernel), ("/initrd.img", &initrd)] {
        take(stages, disk, link, target)?;
    }
    let medium = LiveMedium {
        disk: &disk.path,
        size: disk.size,
        guid: &disk.identifiers.disk,
        root_start: Layout::ROOT_START,
        kernel: &kernel,
        initrd: &initrd,
        arguments: KERNEL_ARGUMENTS,
        grub: &GrubFolders::default(),
        epoch: exporter.spec.epoch,
    };
    medium.write(stages, &files[0])?;
    Ok(None)
}

/// Copies the target of a link in the disk's root file system.
fn take(stages: &StageRunner<'_>, disk: &RawDisk, link: &str, target: &Utf8Path) -> Result<(), Error> {
    // "?offset=" is e2fsprogs' syntax for a file system inside a file (unix_io.c).
    let root = format!("{}?offset={}", disk.path, Layout::ROOT_START);
    let text = debugfs(stages, &root, &format!("stat {link}"))?;
    let source = files::link_target(&text).ok_or_else(|| Error::Input {
        what: format!("{link} of the guest"),
        detail: format!("debugfs shows no link: {text}"),
    })?;
    debugfs(stages, &root, &format!("dump /{source} {target}"))?;
    // debugfs does not report failures in its exit code.
    fs::metadata(target).at("copy the guest's kernel to", target).map(drop)
}

fn debugfs(stages: &StageRunner<'_>, root: &str, request: &str) -> Result<String, Error> {
    let command = Cmd::new("debugfs").args(["-R", request, root]);
    let output = command.log_file(stages.log(STAGE)).output().stage(STAGE)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
