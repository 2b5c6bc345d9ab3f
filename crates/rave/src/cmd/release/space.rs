//! The space that a release and its rebuild take: estimated from what is known, compared before hours are spent.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::tempdir;
use rave_release::manifest::{Manifest, ReleaseFile};

use super::found::{Found, wrong};
use super::order::Order;

/// Space for the stages of a build besides its artifacts, bytes: those of a desktop take 6.5 GiB.
pub(super) const STAGES: u64 = 7 << 30;

/// Largest expected ratio of a raw disk's data to its compressed file: 2.1 was measured.
const RAW_RATIO: u64 = 3;

/// How often the inputs exist during a rebuild: unpacked, in the caches, and in the new archive.
const INPUT_COPIES: u64 = 3;

/// What is missing, and the remedy.
type Shortage = (String, String);

/// Space for the release itself, and for its largest second build, bytes; the builds check for theirs before they
/// write.
pub(super) fn of_release(args: &Order<'_>, needed: u64, second_build: Option<u64>) -> Found {
    let there = |path: &Utf8Path| path.ancestors().find(|folder| folder.is_dir()).map(Utf8Path::to_owned);
    let out = std::path::absolute(args.out).ok().and_then(|path| Utf8PathBuf::from_path_buf(path).ok());
    // The unfinished release is beside its final folder.
    let beside = out.as_deref().and_then(Utf8Path::parent).and_then(there);
    let (Some(out), Some(folder)) = (out, beside) else {
        return wrong(format!("{} cannot be a folder", args.out), "choose another with --out");
    };
    if let (Ok(own), Ok(parent)) = (fs::symlink_metadata(&out), fs::metadata(&folder)) {
        if own.is_symlink() || own.dev() != parent.dev() {
            return wrong(
                format!("{out} is a link or a mount, and cannot be replaced by the finished release"),
                "choose a folder in it with --out",
            );
        }
        if !own.is_dir() {
            return wrong(format!("{out} is not a folder"), "choose another with --out");
        }
    }
    require(&folder, needed, "choose another folder with --out")?;
    if let Some(second) = second_build {
        require(&tempdir::place(), second, "set TMPDIR for the second build")?;
    }
    Ok(format!("{} MiB may be needed", needed >> 20).into())
}

/// Space for a rebuild, which has every profile in one temporary folder.
pub(in crate::cmd) fn for_rebuild(manifest: &Manifest) -> Result<(), Shortage> {
    require(&tempdir::place(), rebuild_size(manifest), "set TMPDIR to a folder with more space")
}

/// Bytes that a rebuild may take: the stages and artifacts of every profile, their copies under their release names,
/// and the inputs.
fn rebuild_size(manifest: &Manifest) -> u64 {
    let artifacts = manifest.profiles.iter().flat_map(|profile| &profile.artifacts);
    let artifacts = artifacts.flat_map(|artifact| &artifact.files).map(rebuilt_size);
    let inputs = manifest.inputs.iter().map(|file| file.size.saturating_mul(INPUT_COPIES));
    let stages = STAGES.saturating_mul(manifest.profiles.len() as u64);
    artifacts.chain(inputs).fold(stages, u64::saturating_add)
}

/// Bytes of a built file and its copy. A raw disk exists beside its compressed file, without its holes.
fn rebuilt_size(file: &ReleaseFile) -> u64 {
    let raw = file.unpacked.map_or(0, |raw| raw.size.min(file.size.saturating_mul(RAW_RATIO)));
    file.size.saturating_mul(2).saturating_add(raw)
}

/// Fails unless a folder's file system has that many free bytes.
fn require(folder: &Utf8Path, needed: u64, remedy: &str) -> Result<(), Shortage> {
    let free = rave_image::space::free_bytes(folder)
        .map_err(|error| (format!("{folder}: {error}"), remedy.to_owned()))?;
    if free >= needed {
        return Ok(());
    }
    let found = format!("{} MiB are free in {folder}, {} MiB may be needed", free >> 20, needed >> 20);
    Err((found, format!("free some space, or {remedy}")))
}

#[cfg(test)]
mod tests {
    use rave_image::digest::Digest;
    use rave_release::manifest::{Artifact, Content, ProfileRelease, SCHEMA};
    use rave_spec::{Base, Format};

    use super::*;

    fn file(size: u64, raw: Option<u64>) -> ReleaseFile {
        let sha256 = Digest::of_bytes(b"");
        let unpacked = raw.map(|size| Content { size, sha256 });
        ReleaseFile { name: format!("f{size}").parse().unwrap(), size, sha256, unpacked, parts: Vec::new() }
    }

    fn manifest(files: &[ReleaseFile], inputs: Option<ReleaseFile>) -> Manifest {
        let profile = |name: &str| ProfileRelease {
            profile: name.into(),
            arch: "x86_64".into(),
            content: None,
            default_password: false,
            artifacts: vec![Artifact { format: Format::Raw, files: files.to_vec() }],
            bills: Vec::new(),
        };
        Manifest {
            schema: SCHEMA,
            name: "rave".into(),
            version: "1.2.0".parse().unwrap(),
            base: Base::Debian,
            commit: "0".into(),
            source_date_epoch: 1,
            profiles: vec![profile("headless"), profile("simple")],
            inputs,
        }
    }

    #[test]
    fn a_rebuild_takes_stages_and_copies_of_every_profile() {
        const GIB: u64 = 1 << 30;
        let found = rebuild_size(&manifest(&[file(GIB, Some(16 * GIB)), file(2 * GIB, None)], None));
        // For each profile: 7 of stages, the compressed disk twice, its data, the other file twice.
        assert_eq!(found, 2 * (7 + 2 + 3 + 4) * GIB);
        let found = rebuild_size(&manifest(&[file(GIB, Some(GIB))], Some(file(GIB, None))));
        assert_eq!(found, 2 * (7 + 2 + 1) * GIB + 3 * GIB);
        // Sizes of a foreign manifest.
        assert_eq!(rebuild_size(&manifest(&[file(u64::MAX, Some(u64::MAX)), file(1, None)], None)), u64::MAX);
    }

    #[test]
    fn a_shortage_names_folder_sizes_and_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        assert_eq!(require(folder, 0, ""), Ok(()));
        let (found, remedy) = require(folder, u64::MAX, "set TMPDIR").unwrap_err();
        let expected = format!(" MiB are free in {folder}, {} MiB may be needed", u64::MAX >> 20);
        assert!(found.ends_with(&expected), "{found}");
        assert_eq!(remedy, "free some space, or set TMPDIR");
        assert!(require(&folder.join("nowhere"), 0, "set TMPDIR").is_err());
    }
}
