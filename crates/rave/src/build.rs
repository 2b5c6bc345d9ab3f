//! The requests of commands to the image engine, filled from the settings in one place.

mod date;
mod nixos;
mod options;

use rave_host::Needs;
use rave_image::bases::debian::lock::Lock;
use rave_image::build::BuildResult;
use rave_image::{BuildOptions, BuildRequest};
use rave_spec::{Base, Compress, Compression, Format};

use crate::cli::{self, FormatFlag};
use crate::command_error::CommandError;
use crate::host;
use crate::settings::Settings;
use crate::ui::Ui;

pub use date::{date_of_environment, epoch};
pub use nixos::refuse;
pub use options::{Places, of_image, to_boot};

/// The request for the engine.
pub fn request<'a>(
    settings: &'a Settings,
    wanted: &BuildOptions<'a>,
    places: &'a Places,
    lock: &'a Lock,
) -> anyhow::Result<BuildRequest<'a>> {
    Ok(BuildRequest {
        root: &settings.root,
        spec: &settings.spec.spec,
        profile: settings.profile.as_str(),
        base: settings.base,
        options: *wanted,
        compress: wanted.compress.map_or(settings.spec.spec.compress, Compress::all),
        out_dir: &places.out,
        cache_dir: &places.cache,
        log_dir: &places.logs,
        epoch: epoch(settings, || Ok(lock.date()))?,
        lock,
    })
}

/// The requested formats; makes sure first that the host can build them.
pub fn prepare(args: &cli::Image, settings: &Settings, ui: &Ui) -> anyhow::Result<Vec<Format>> {
    let formats = formats(settings, &args.formats)?;
    report_base(settings, ui);
    if settings.base == Base::Nixos {
        return Ok(formats);
    }
    host::ensure(settings, ui, Needs::Image)?;
    ensure_formats(settings, ui, &formats)?;
    ensure_compression(settings, ui, &formats, args.compress)?;
    Ok(formats)
}

/// The requested formats. Called first, so that nothing is installed for a format that cannot be built.
pub fn formats(settings: &Settings, flags: &[FormatFlag]) -> anyhow::Result<Vec<Format>> {
    if settings.base == Base::Nixos {
        nixos::ensure()?;
    }
    Ok(settings.formats(flags))
}

/// Builds twice with nix, and fails if it finds a difference.
pub fn check_with_nix(settings: &Settings, wanted: &BuildOptions<'_>, ui: &Ui) -> anyhow::Result<()> {
    nixos::check_reproducible(settings, wanted, ui)
}

/// Makes sure that the host has what only some formats need.
pub fn ensure_formats(settings: &Settings, ui: &Ui, formats: &[Format]) -> anyhow::Result<()> {
    if settings.base == Base::Debian && formats.contains(&Format::Iso) {
        host::ensure(settings, ui, Needs::Iso)
    } else {
        Ok(())
    }
}

/// Makes sure that the program that writes an `.img.zst` is installed, if one is requested.
pub fn ensure_compression(
    settings: &Settings,
    ui: &Ui,
    formats: &[Format],
    compress: Option<Compression>,
) -> anyhow::Result<()> {
    if formats == [Format::Raw] && compress == Some(Compression::Zlib) {
        let failure = CommandError::usage("--compress zlib: a raw disk is not compressed by zlib");
        return Err(failure.remedy("choose none or zstd").into());
    }
    let wanted = compress.map_or(settings.spec.spec.compress, Compress::all).raw == Compression::Zstd;
    if wanted && formats.contains(&Format::Raw) { host::ensure(settings, ui, Needs::Zst) } else { Ok(()) }
}

/// Reports which base is used if none was chosen.
pub fn report_base(settings: &Settings, ui: &Ui) {
    if let Some(why) = &settings.base_note {
        ui.note(why);
    }
}

/// Builds what is missing; also the first step of `run` and `smoke`.
pub fn build(settings: &Settings, wanted: &BuildOptions<'_>, ui: &Ui) -> anyhow::Result<BuildResult> {
    if settings.base == Base::Nixos {
        return nixos::build(settings, wanted, ui);
    }
    with_request(settings, wanted, |request| rave_image::build(request, &ui.sink()))
}

/// Whether the artifacts that a command needs exist and were built from the current settings.
pub fn is_current(settings: &Settings, wanted: &BuildOptions<'_>, ui: &Ui) -> anyhow::Result<bool> {
    if settings.base == Base::Nixos {
        return nixos::is_current(settings, wanted, ui);
    }
    with_request(settings, wanted, rave_image::build::is_current)
}

fn with_request<T>(
    settings: &Settings,
    wanted: &BuildOptions<'_>,
    work: impl FnOnce(&BuildRequest<'_>) -> Result<T, rave_image::Error>,
) -> anyhow::Result<T> {
    let places = Places::of(settings);
    let lock = lock(settings)?;
    let request = request(settings, wanted, &places, &lock)?;
    work(&request).map_err(Into::into)
}

/// The checkout's `debian.lock`.
pub fn lock(settings: &Settings) -> anyhow::Result<Lock> {
    Lock::read(&settings.root).map_err(Into::into)
}
