//! `run --keep`: which image a kept disk boots on.

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::Manifest;
use rave_spec::Format;
use rave_vm::kept::{Held, KeptDisk};

use crate::cli::KeepBase;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::settings::Settings;
use crate::ui::Ui;

/// What is booted: the overlay that is kept, and what it lies on.
pub(super) struct Kept {
    pub(super) overlay: Utf8PathBuf,
    pub(super) base: Utf8PathBuf,
    /// The image's that is booted, which may be an older one.
    pub(super) manifest: Manifest,
}

/// An image as `image` left it.
pub(super) struct Built<'a> {
    pub(super) manifest: Manifest,
    pub(super) artifact: &'a Utf8Path,
    pub(super) format: Format,
}

/// Finds the kept disk of the settings' base, profile and format, or begins one on the image.
pub(super) fn open(
    built: Built<'_>,
    choice: Option<KeepBase>,
    settings: &Settings,
    ui: &Ui,
) -> anyhow::Result<Kept> {
    let name = format!("{}-{}-{}", settings.base, settings.profile, built.format);
    let kept = KeptDisk::at(settings.state_dir.join("disks").join(name));
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
                tell_older(old, ui);
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
    kept.base().ok_or_else(|| gone(kept))
}

fn tell_older(digest: &str, ui: &Ui) {
    let short = digest.get(..12).unwrap_or(digest);
    ui.note(&format!(
        "booting the kept disk on the image that it began with (SHA-256 {short}...), not on the newer one; --keep-base old \
         says so, --keep-base new begins a new disk and moves this one aside. To take files out first: \
         run --keep --keep-base old --no-build --exec 'tar -C /home -cf - .' > home.tar"
    ));
}

fn gone(kept: &KeptDisk) -> anyhow::Error {
    CommandError::new(
        Code::BuildFailed,
        format!("the image that the kept disk in {} lies on is gone", kept.folder()),
    )
    .remedy("build that image again, or begin a new disk with --keep-base new")
    .into()
}
