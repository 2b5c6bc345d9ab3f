//! `run --keep`: which image a kept disk boots on.

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::Manifest;
use rave_spec::Format;
use rave_vm::kept::{EarlierDisk, Held, KeptDisk};

use crate::cli::KeepBase;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::request;
use crate::settings::Settings;
use crate::ui::Ui;

/// What is booted: the kept overlay and its base.
pub(super) struct Kept {
    pub(super) overlay: Utf8PathBuf,
    pub(super) base: Utf8PathBuf,
    /// The manifest of the image that is booted, which may be an older one.
    pub(super) manifest: Manifest,
}

/// An image as written by `image`.
pub(super) struct Built<'a> {
    pub(super) manifest: Manifest,
    pub(super) artifact: &'a Utf8Path,
    pub(super) format: Format,
}

/// What happened to a disk kept by an earlier version.
#[derive(Debug)]
enum Earlier {
    /// No such disk exists.
    None,
    /// It is now the kept disk.
    Adopted,
    /// It was left in place: a newer one exists, or its base image is missing.
    Stays(EarlierDisk),
}

/// Adopts a disk kept by an earlier version, before a build replaces its base image.
pub(super) fn adopt(
    format: Format,
    choice: Option<KeepBase>,
    settings: &Settings,
    ui: &Ui,
) -> anyhow::Result<()> {
    let kept = of_settings(format, settings);
    match take_over(&kept, &settings.out_dir, format)? {
        Earlier::None => {}
        Earlier::Adopted => {
            ui.note(&format!("the kept disk of an earlier version was moved to {}", kept.folder()));
        }
        Earlier::Stays(earlier) if kept.digest().is_some() || choice == Some(KeepBase::New) => {
            ui.note(&format!(
                "the kept disk of an earlier version stays in {}; `qemu-img` reads it together with its image, {}",
                earlier.overlay(),
                earlier.base().map_or("which is unknown", Utf8Path::as_str)
            ));
        }
        Earlier::Stays(earlier) => return Err(changed(&earlier)),
    }
    Ok(())
}

fn take_over(kept: &KeptDisk, out_dir: &Utf8Path, format: Format) -> anyhow::Result<Earlier> {
    let Some(earlier) = kept.earlier() else { return Ok(Earlier::None) };
    if kept.digest().is_some() || !earlier.is_unchanged() {
        return Ok(Earlier::Stays(earlier));
    }
    let Ok(manifest) = Manifest::read(out_dir) else { return Ok(Earlier::Stays(earlier)) };
    match request::artifact(out_dir, &manifest, format) {
        Ok((artifact, path)) if earlier.base() == Some(&path) => {
            kept.hold(&path, &artifact.boot_file().sha256.to_string())?;
            manifest.write(kept.folder())?;
            kept.adopt(&earlier)?;
            Ok(Earlier::Adopted)
        }
        _ => Ok(Earlier::Stays(earlier)),
    }
}

fn changed(earlier: &EarlierDisk) -> anyhow::Error {
    let base = earlier.base().map_or_else(String::new, |base| format!(", {base},"));
    CommandError::new(
        Code::BuildFailed,
        format!(
            "the image{base} that the kept disk of an earlier version is based on was changed; the disk is {}",
            earlier.overlay()
        ),
    )
    .remedy(
        "put that image back, or begin a new disk with --keep-base new, which leaves the old one where it is",
    )
    .into()
}

fn of_settings(format: Format, settings: &Settings) -> KeptDisk {
    let name = format!("{}-{}-{format}", settings.base, settings.profile);
    KeptDisk::at(settings.state_dir.join("disks").join(name))
}

/// Finds the kept disk of the settings' base, profile and format, or creates one on the image.
pub(super) fn open(
    built: Built<'_>,
    choice: Option<KeepBase>,
    settings: &Settings,
    ui: &Ui,
) -> anyhow::Result<Kept> {
    let kept = of_settings(built.format, settings);
    let found = built.manifest.artifact(&settings.out_dir, built.format)?;
    let digest = found.boot_file().sha256.to_string();
    let begun_on = kept.digest();
    let other = begun_on.as_ref().filter(|old| **old != digest);
    match (other, choice) {
        (Some(_), Some(KeepBase::New)) => {
            let aside = kept.set_aside()?;
            ui.note(&format!(
                "the kept disk and its image were moved to {aside}; remove that folder when nobody needs it"
            ));
        }
        (Some(old), None | Some(KeepBase::Old)) => {
            if choice.is_none() {
                report_older_base(old, ui);
            }
            return Ok(Kept {
                overlay: kept.overlay(),
                base: base(&kept)?,
                manifest: Manifest::read(kept.folder())?,
            });
        }
        (None, _) => {}
    }
    if kept.digest().is_none() || kept.base().is_none() {
        hold(&kept, &built, &digest, ui)?;
    }
    Ok(Kept { overlay: kept.overlay(), base: base(&kept)?, manifest: built.manifest })
}

fn hold(kept: &KeptDisk, built: &Built<'_>, digest: &str, ui: &Ui) -> anyhow::Result<()> {
    let held = kept.hold(built.artifact, digest)?;
    built.manifest.write(kept.folder())?;
    if held == Held::Copied {
        ui.note(&format!("the kept disk has its own copy of the image, in {}", kept.folder()));
    }
    Ok(())
}

fn base(kept: &KeptDisk) -> anyhow::Result<Utf8PathBuf> {
    kept.base().ok_or_else(|| missing_base(kept))
}

fn report_older_base(digest: &str, ui: &Ui) {
    let short = digest.get(..12).unwrap_or(digest);
    ui.note(&format!(
        "booting the kept disk on its original image (SHA-256 {short}...), not on the newer one; --keep-base old \
         confirms this, --keep-base new begins a new disk and moves this one aside. To copy files out first: \
         cargo xtask run --keep --keep-base old --no-build --exec 'tar -C /home -cf - .' > home.tar"
    ));
}

fn missing_base(kept: &KeptDisk) -> anyhow::Error {
    CommandError::new(
        Code::BuildFailed,
        format!("the backing image of the kept disk in {} is missing", kept.folder()),
    )
    .remedy("build that image again, or begin a new disk with --keep-base new")
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rave_guest::config::GuestConfig;
    use rave_image::digest::Digest;
    use rave_image::manifest::{Artifact, ArtifactFile, ArtifactFiles, NixosOrigin, Origin, SCHEMA};
    use std::fs;
    use std::time::UNIX_EPOCH;

    /// An image with its manifest in `out`, and a disk that an earlier version kept on top of it.
    fn earlier_disk(folder: &Utf8Path) -> (Utf8PathBuf, KeptDisk) {
        let (out, kept) = (folder.join("out"), KeptDisk::at(folder.join("disks/name")));
        fs::create_dir(&out).unwrap();
        fs::create_dir(folder.join("disks")).unwrap();
        let image = out.join("a.img");
        fs::write(&image, "image").unwrap();
        let file = ArtifactFile { name: "a.img".into(), size: 5, sha256: Digest::of_bytes(b"image") };
        let nixos = NixosOrigin {
            flake_revision: None,
            flake_nar_hash: String::new(),
            nix_version: String::new(),
            outputs: Vec::new(),
            packages: Vec::new(),
            payload: false,
        };
        let artifact = Artifact {
            format: Format::Raw,
            files: ArtifactFiles::try_from(vec![file]).unwrap(),
            key: Digest::of_bytes(b""),
        };
        let manifest = Manifest {
            schema: SCHEMA,
            origin: Origin::Nixos(nixos),
            profile: "headless".into(),
            guest: GuestConfig::default(),
            artifacts: vec![artifact],
            build_tools: Vec::new(),
            npm_packages: Vec::new(),
        };
        manifest.write(&out).unwrap();
        let modified = fs::metadata(&image).unwrap().modified().unwrap();
        let modified = modified.duration_since(UNIX_EPOCH).unwrap().as_nanos();
        fs::write(folder.join("disks/name.qcow2"), "work").unwrap();
        let note = format!(r#"{{"path": "{image}", "bytes": 5, "modified": {modified}}}"#);
        fs::write(folder.join("disks/name.qcow2.base.json"), note).unwrap();
        (out, kept)
    }

    #[test]
    fn an_old_disk_keeps_its_image() {
        let scratch = tempfile::tempdir().unwrap();
        let (out, kept) = earlier_disk(Utf8Path::from_path(scratch.path()).unwrap());
        assert!(matches!(take_over(&kept, &out, Format::Raw).unwrap(), Earlier::Adopted));
        fs::remove_dir_all(&out).unwrap();
        assert_eq!(fs::read_to_string(kept.overlay()).unwrap(), "work");
        assert_eq!(fs::read_to_string(kept.base().unwrap()).unwrap(), "image");
        assert_eq!(kept.digest(), Some(Digest::of_bytes(b"image").to_string()));
        assert_eq!(Manifest::read(kept.folder()).unwrap().profile, "headless");
        assert!(matches!(take_over(&kept, &out, Format::Raw).unwrap(), Earlier::None));
    }

    #[test]
    fn an_old_disk_is_left_alone_if_its_image_changed_or_a_newer_disk_exists() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(scratch.path()).unwrap();
        let (out, kept) = earlier_disk(folder);
        let image = fs::read(out.join("a.img")).unwrap();
        fs::write(out.join("a.img"), "IMAGE").unwrap();
        let stays = |kept| match take_over(kept, &out, Format::Raw).unwrap() {
            Earlier::Stays(earlier) => earlier,
            other => panic!("{other:?}"),
        };
        let error = changed(&stays(&kept)).to_string();
        assert!(error.contains("a.img, that") && error.ends_with("disks/name.qcow2"), "{error}");
        fs::write(out.join("a.img"), image).unwrap();
        kept.hold(&out.join("a.img"), "d").unwrap();
        fs::write(kept.overlay(), "newer work").unwrap();
        stays(&kept);
        assert_eq!(fs::read_to_string(folder.join("disks/name.qcow2")).unwrap(), "work");
        assert_eq!(fs::read_to_string(kept.overlay()).unwrap(), "newer work");
    }
}
