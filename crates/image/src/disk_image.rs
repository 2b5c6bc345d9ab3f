//! `rave disk-image`: a bootable raw disk of a Nix closure, written by the same code as the disk of the Debian base. It
//! needs no root, loop device, virtual machine or settings, so that it can run in a nix builder.

mod boot_files;
pub(crate) mod request;
#[cfg(test)]
pub(crate) mod tests;

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::progress::Sink;

use crate::closure::registration::Registration;
use crate::closure::tree::{self, ClosureTree};
use crate::closure::verify;
use crate::content::ext4::{Ext4Tree, ReadLimits};
use crate::digest::{Digest, Hasher};
use crate::disk::boot_loader::{CONFIGURATION, MenuPlace};
use crate::disk::layout::Layout;
use crate::disk::{DiskWriter, GrubFolders, IMAGE, Identifiers, STAGE, read_back, require_room};
use crate::error::{Error, IoContext as _};
use crate::stage_cache::StageCache;
use crate::stage_runner::StageRunner;
use boot_files::BootFiles;
pub use request::{DiskImageRequest, ESP_MIB};

/// Changes whenever this module makes a different disk from the same inputs.
const REVISION: &[u8] = b"1";

/// How many of a disk's differences are reported.
const MAX_REPORTED: usize = 5;

/// Writes the disk; it gets its final name only when it is complete and its file system matches the registration.
/// Returns the digest of its content ([`crate::content`]).
pub fn write(request: &DiskImageRequest<'_>, sink: Sink<'_>) -> Result<Digest, Error> {
    request.validate()?;
    let registration = Registration::read(request.registration)?;
    let system = registration.paths().iter().find(|path| path.path.as_str() == request.system);
    let system = system.ok_or_else(|| Error::Input {
        what: "--system".into(),
        detail: format!("{} is not registered in {}", request.system, request.registration),
    })?;
    let (_guard, work) = work_beside(request.output)?;
    let stages = StageRunner::new(StageCache::open(&work)?, &work, &work, false, sink);

    let boot = BootFiles::of(request)?;
    let files = boot.on_the_esp(&work)?;
    let identifiers = Identifiers::of(&key(request, &boot)?).with_root(request.root_uuid);
    let tree = ClosureTree {
        registration: &registration,
        store: request.store,
        system: &system.path,
        files: request.files,
        work: &work,
        epoch: request.epoch,
        extent: tree::extent(&registration, request.store, request.files)?,
    };
    let layout = Layout::with_esp(tree.extent, request.esp_mib << 20);
    let image = work.join(IMAGE);
    require_room(&image, tree.extent.bytes)?;
    let writer = DiskWriter {
        tree: &tree,
        layout,
        identifiers: &identifiers,
        menu: MenuPlace::Esp(&files),
        grub: &GrubFolders::of(request.grub),
        epoch: request.epoch,
    };
    stages.timed(STAGE, || writer.write(&image, &stages))?;
    verified(&image, &layout, &registration)?;
    let content = read_back(&image, &layout, &work.join("content.jsonl"))?;
    fs::rename(&image, request.output).at("rename into", request.output)?;
    Ok(content)
}

/// A work folder on the file system of the result, which is moved out of it when it is complete.
pub(crate) fn work_beside(output: &Utf8Path) -> Result<(tempfile::TempDir, Utf8PathBuf), Error> {
    let folder = output.parent().filter(|folder| *folder != "").unwrap_or(Utf8Path::new("."));
    fs::create_dir_all(folder).at("create", folder)?;
    let guard = tempfile::Builder::new()
        .prefix(".rave-image-")
        .tempdir_in(folder)
        .at("create a folder in", folder)?;
    let path = Utf8PathBuf::from_path_buf(guard.path().to_owned())
        .map_err(|path| Error::Input { what: path.display().to_string(), detail: "not UTF-8".into() })?;
    Ok((guard, path))
}

/// The key that the identifiers are derived from.
fn key(request: &DiskImageRequest<'_>, boot: &BootFiles) -> Result<Digest, Error> {
    let mut hasher = Hasher::default();
    let registration = Digest::of_file(request.registration).at("read", request.registration)?;
    hasher.field("domain", b"rave disk-image").field("revision", REVISION);
    hasher.field("registration", registration.bytes()).field("system", request.system.as_bytes());
    hasher.field("menu", boot.entry.menu().as_bytes()).field("boot configuration", CONFIGURATION.as_bytes());
    hasher.field("esp", &request.esp_mib.to_le_bytes()).field("epoch", &request.epoch.to_le_bytes());
    hasher.field("root", request.root_uuid.as_bytes());
    Ok(hasher.finish())
}

/// Checks the disk's file system against nix's registration of the store.
fn verified(image: &Utf8Path, layout: &Layout, registration: &Registration) -> Result<(), Error> {
    let damaged = |detail: String| Error::Damaged { path: image.to_owned(), detail };
    let found = Ext4Tree::open(image, layout.root.start, layout.root.size)
        .and_then(|tree| verify::differences(&tree, registration, &ReadLimits::default()))
        .map_err(|error| match error {
            crate::content::ext4::TreeError::Interrupted => Error::Interrupted,
            error => damaged(error.to_string()),
        })?;
    if found.is_empty() {
        return Ok(());
    }
    let reported = found.iter().take(MAX_REPORTED).cloned().collect::<Vec<_>>().join("; ");
    let more = found.len().saturating_sub(MAX_REPORTED);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    Err(Error::Input { what: "the store".into(), detail: format!("not as registered: {reported}{more}") })
}
