//! What commands ask the image engine for, filled from the settings in one place.

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

/// The order for the engine.
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

/// The formats that are asked for, with what the host needs for them.
pub fn prepare(args: &cli::Image, settings: &Settings, ui: &Ui) -> anyhow::Result<Vec<Format>> {
    let formats = formats(settings, &args.formats)?;
    tell_base(settings, ui);
    if settings.base == Base::Nixos {
        return Ok(formats);
    }
    host::ensure(settings, ui, Needs::Image)?;
    ensure_formats(settings, ui, &formats)?;
    ensure_compression(settings, ui, &formats, args.compress)?;
    Ok(formats)
}

/// The formats that are wanted. Asked first: nothing is installed for what cannot be built.
pub fn formats(settings: &Settings, flags: &[FormatFlag]) -> anyhow::Result<Vec<Format>> {
    if settings.base == Base::Nixos {
        nixos::ensure()?;
    }
    Ok(settings.formats(flags))
}

/// What only some formats need of the host.
pub fn ensure_formats(settings: &Settings, ui: &Ui, formats: &[Format]) -> anyhow::Result<()> {
    if settings.base == Base::Debian && formats.contains(&Format::Iso) {
        host::ensure(settings, ui, Needs::Iso)
    } else {
        Ok(())
    }
}

/// The program that makes an `.img.zst`, if one is requested.
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

/// Says which base is used where nobody chose one.
pub fn tell_base(settings: &Settings, ui: &Ui) {
    if let Some(why) = &settings.base_note {
        ui.note(why);
    }
}

/// Builds what is missing; also what `run` and `smoke` do first.
pub fn build(settings: &Settings, wanted: &BuildOptions<'_>, ui: &Ui) -> anyhow::Result<BuildResult> {
    if settings.base == Base::Nixos {
        return nixos::build(settings, wanted, ui);
    }
    with_request(settings, wanted, |request| rave_image::build(request, &ui.sink()))
}

/// Whether what a command wants is there, made from the present settings.
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
