//! The raw disk of a profile, from a release's folder.

use std::fs::{self, File};
use std::io::{self, Read as _};

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::Digest;
use rave_image::inside::{self, Opened};
use rave_spec::Format;

use crate::error::{Error, IoContext as _};
use crate::folder::Folder;
use crate::manifest::{ProfileRelease, ReleaseFile};
use crate::relative_path::RelativePath;

/// The formats to read a profile's disk from, in order of preference.
const BEST: [Format; 5] = [Format::Raw, Format::Qemu, Format::Vmware, Format::Virtualbox, Format::Iso];

/// The raw disk of a release.
pub(super) struct ReleasedDisk {
    opened: Opened,
    /// The artifact that it was read from.
    pub(super) artifact: RelativePath,
    /// Size of that artifact, bytes.
    pub(super) download: u64,
    /// The digest of the disk, if it is in the manifest.
    known: Option<Digest>,
}

impl ReleasedDisk {
    /// Opens it; every byte that is read is verified against the release's manifest.
    pub(super) fn open(
        folder: &Utf8Path,
        profile: &ProfileRelease,
        scratch: &Utf8Path,
    ) -> Result<Self, Error> {
        let of = |format: &Format| profile.artifacts.iter().find(|artifact| artifact.format == *format);
        let artifact = BEST.iter().find_map(of);
        let files = artifact.map(|artifact| artifact.files.as_slice()).unwrap_or_default();
        let Some(file) = files.first() else {
            return Err(Error::damaged(folder, format!("{} has no artifact in it", profile.profile)));
        };
        let whole = whole_file(&Folder::open(folder).at("open", folder)?, file, scratch)?;
        if Digest::of_file(&whole).at("read", &whole)? != file.sha256 {
            return Err(Error::damaged(&whole, "it is not the file that its manifest describes"));
        }
        let opened = inside::open(&whole)?;
        let known = file.unpacked.map(|content| content.sha256);
        Ok(Self { opened, artifact: file.name.clone(), download: file.size, known })
    }

    /// The raw disk.
    pub(super) fn disk(&self) -> Result<&Utf8Path, Error> {
        let disk = self.opened.disk.as_deref();
        disk.ok_or_else(|| Error::damaged(self.artifact.as_str(), "no disk can be found in it"))
    }

    /// SHA-256 of the raw disk.
    pub(super) fn sha256(&self) -> Result<Digest, Error> {
        let disk = self.disk()?;
        self.known.map_or_else(|| Digest::of_file(disk).at("read", disk), Ok)
    }
}

/// The file, joined in `scratch` if only its parts exist.
fn whole_file(folder: &Folder, file: &ReleaseFile, scratch: &Utf8Path) -> Result<Utf8PathBuf, Error> {
    let path = folder.path().join(file.name.as_str());
    if file.parts.is_empty() || path.symlink_metadata().is_ok() {
        folder.file(&file.name).at("open", &path)?;
        return Ok(path);
    }
    fs::create_dir_all(scratch).at("create", scratch)?;
    let joined = scratch.join(file.name.as_str());
    let mut to = File::create(&joined).at("create", &joined)?;
    for part in &file.parts {
        let from = folder.file(&part.name).at("open", folder.path().join(part.name.as_str()))?;
        let copied = io::copy(&mut from.take(part.size), &mut to);
        rave_process::interrupt::check().map_err(|_| Error::Interrupted)?;
        copied.at("write", &joined)?;
    }
    Ok(joined)
}
