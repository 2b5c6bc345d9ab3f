//! Copies artifacts under their release names, split if they are too large.

use std::fs;

use camino::Utf8Path;
use rave_image::digest::Digest;
use rave_image::formats::{self, vmx, zst};
use rave_image::manifest::ArtifactFile;
use rave_spec::Format;

use super::plan::{Plan, ProfilePlan};
use super::workshop::Built;
use crate::error::{Error, IoContext as _};
use crate::manifest::{Artifact, Content, ProfileRelease, ReleaseFile};
use crate::names;
use crate::parts::{self, Copied};

/// Copies a profile's build into the release's folder.
pub(super) fn pack(
    plan: &Plan,
    profile: &ProfilePlan,
    built: &Built,
    folder: &Utf8Path,
) -> Result<ProfileRelease, Error> {
    let packer = Packer {
        plan,
        built,
        folder,
        image_stem: formats::stem(built.manifest.base(), &built.manifest.profile),
        release_stem: plan.stem(profile),
    };
    let mut artifacts = Vec::new();
    for format in &profile.formats {
        let artifact = built.manifest.artifact(&built.out_dir, *format)?;
        let files: Vec<&ArtifactFile> = artifact.files.iter().collect();
        let files = match (format, files.as_slice()) {
            // A raw disk is shipped compressed.
            (Format::Raw, [disk, compressed]) => {
                let content = Content { size: disk.size, sha256: disk.sha256 };
                vec![ReleaseFile { unpacked: Some(content), ..packer.file(compressed)? }]
            }
            // The flake compresses it only if rave.toml says so.
            (Format::Raw, [disk]) => vec![packer.compressed(disk)?],
            _ => files.into_iter().map(|file| packer.file(file)).collect::<Result<_, _>>()?,
        };
        artifacts.push(Artifact { format: *format, files });
    }
    Ok(ProfileRelease {
        profile: profile.profile.clone(),
        arch: profile.arch.clone(),
        content: built.manifest.origin.debian().map(|origin| origin.content),
        default_password: profile.default_password,
        artifacts,
        bills: Vec::new(),
    })
}

struct Packer<'a> {
    plan: &'a Plan,
    built: &'a Built,
    folder: &'a Utf8Path,
    image_stem: String,
    release_stem: String,
}

impl Packer<'_> {
    fn name(&self, file: &str) -> Result<crate::RelativePath, Error> {
        let name = names::artifact(&self.release_stem, &self.image_stem, file);
        name.map_err(|why| Error::damaged(self.built.out_dir.join(file), why))
    }

    fn file(&self, file: &ArtifactFile) -> Result<ReleaseFile, Error> {
        let (name, from) = (self.name(&file.name)?, self.built.out_dir.join(&file.name));
        if Utf8Path::new(&file.name).extension() == Some("vmx") {
            return self.machine(file, name);
        }
        let copied = parts::copy(&from, self.folder, &name, self.plan.part_limit)?;
        if (copied.size, copied.sha256) != (file.size, file.sha256) {
            return Err(differs(&from));
        }
        let (size, sha256, parts) = (copied.size, copied.sha256, copied.parts);
        Ok(ReleaseFile { name, size, sha256, unpacked: None, parts })
    }

    /// Compresses a raw disk beside the release's folder.
    fn compressed(&self, disk: &ArtifactFile) -> Result<ReleaseFile, Error> {
        let from = self.built.out_dir.join(&disk.name);
        if Digest::of_file(&from).at("read", &from)? != disk.sha256 {
            return Err(differs(&from));
        }
        let room = self.folder.with_file_name("compressed");
        rave_fs::remove_all(&room).at("remove", &room)?;
        fs::create_dir_all(&room).at("create", &room)?;
        let (file, log) = (format!("{}.zst", disk.name), room.join("zstd.log"));
        zst::compress(&from, &room.join(&file), &log)?;
        let name = self.name(&file)?;
        let Copied { size, sha256, parts } =
            parts::copy(&room.join(&file), self.folder, &name, self.plan.part_limit)?;
        rave_fs::remove_all(&room).at("remove", &room)?;
        let unpacked = Some(Content { size: disk.size, sha256: disk.sha256 });
        Ok(ReleaseFile { name, size, sha256, unpacked, parts })
    }

    /// A `.vmx` contains the name of its disk, which changes here.
    fn machine(&self, file: &ArtifactFile, name: crate::RelativePath) -> Result<ReleaseFile, Error> {
        let from = self.built.out_dir.join(&file.name);
        let text = fs::read_to_string(&from).at("read", &from)?;
        if Digest::of_bytes(text.as_bytes()) != file.sha256 {
            return Err(differs(&from));
        }
        let mut machine = vmx::Vmx::parse(&text).map_err(|error| Error::damaged(&from, error))?;
        for disk in &mut machine.disks {
            disk.file = self.name(&disk.file)?.into();
        }
        let text = machine.render();
        parts::write_whole(&self.folder.join(name.as_str()), text.as_bytes())?;
        let (size, sha256) = (text.len() as u64, Digest::of_bytes(text.as_bytes()));
        Ok(ReleaseFile { name, size, sha256, unpacked: None, parts: Vec::new() })
    }
}

pub(super) fn differs(path: &Utf8Path) -> Error {
    let detail = "it is not the file that was built: it changed since".into();
    rave_image::Error::ArtifactDiffers { path: path.to_owned(), detail }.into()
}
