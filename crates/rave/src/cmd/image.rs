//! `cargo xtask image`

mod date;
mod locked;
mod nixos;

use rave_image::bases::debian::lock::Lock;
use rave_image::bases::debian::{Network, Packages};
use rave_image::build::{Built, ChangedArtifact};
use rave_image::formats::{AVAILABLE, not_on_base};
use rave_image::{Error, Request};
use rave_spec::{Base, Compress, Compression, Format};

use crate::cli::{self, FormatFlag};
use crate::cmd::double;
use crate::exit::{Code, Failure};
use crate::host;
use crate::request::{self, Places};
use crate::settings::Settings;
use crate::ui::Ui;

pub use date::epoch;

/// Runs the command.
pub fn run(args: &cli::Image, settings: &Settings, ui: &Ui) -> anyhow::Result<Code> {
    if settings.base == Base::Nixos {
        nixos::refuse(args)?;
    }
    if let Some(manifest) = &args.locked {
        return locked::run(args, manifest, settings, ui);
    }
    if args.double {
        return double::run(args, settings, ui);
    }
    let formats = prepare(args, settings, ui)?;
    let built = build(settings, &Wanted::of(args, &formats), ui)?;
    if !built.changed {
        ui.note("nothing changed: all artifacts are there");
    }
    if args.json {
        ui.data(&serde_json::to_string_pretty(&built.manifest)?);
    } else {
        for artifact in built.manifest.artifacts.iter().filter(|artifact| formats.contains(&artifact.format))
        {
            artifact.files.iter().for_each(|file| ui.data(settings.out_dir.join(&file.name).as_str()));
        }
    }
    Ok(Code::Ok)
}

/// The formats that are asked for, with what the host needs for them.
pub fn prepare(args: &cli::Image, settings: &Settings, ui: &Ui) -> anyhow::Result<Vec<Format>> {
    let formats = formats(settings, &args.formats)?;
    tell_base(settings, ui);
    if settings.base == Base::Nixos {
        return Ok(formats);
    }
    host::ensure(settings, ui, host::Needs::Image)?;
    ensure_formats(settings, ui, &formats)?;
    ensure_compression(settings, ui, &formats, args.compress)?;
    Ok(formats)
}

fn network(building: &cli::Building) -> Network {
    if building.offline { Network::Off } else { Network::Allowed }
}

/// The formats that are wanted, all of which the base makes. Asked first: nothing is installed for what cannot be built.
pub fn formats(settings: &Settings, flags: &[FormatFlag]) -> anyhow::Result<Vec<Format>> {
    if settings.base == Base::Nixos {
        nixos::ensure()?;
    }
    let formats = settings.formats(flags);
    match formats.iter().find(|format| !AVAILABLE.contains(format)) {
        Some(format) => Err(failure(&not_on_base(*format)).into()),
        None => Ok(formats),
    }
}

/// What only some formats need of the host.
pub fn ensure_formats(settings: &Settings, ui: &Ui, formats: &[Format]) -> anyhow::Result<()> {
    if settings.base == Base::Debian && formats.contains(&Format::Iso) {
        host::ensure(settings, ui, host::Needs::Iso)
    } else {
        Ok(())
    }
}

/// The program that makes an `.img.zst`, where one is wanted.
pub fn ensure_compression(
    settings: &Settings,
    ui: &Ui,
    formats: &[Format],
    compress: Option<Compression>,
) -> anyhow::Result<()> {
    if formats == [Format::Raw] && compress == Some(Compression::Zlib) {
        let failure = Failure::usage("--compress zlib: a raw disk is not compressed by zlib");
        return Err(failure.remedy("choose none or zstd").into());
    }
    let wanted = compress.map_or(settings.spec.spec.compress, Compress::all).raw == Compression::Zstd;
    if wanted && formats.contains(&Format::Raw) {
        host::ensure(settings, ui, host::Needs::Zst)
    } else {
        Ok(())
    }
}

/// Says which base is used where nobody chose one.
pub fn tell_base(settings: &Settings, ui: &Ui) {
    if let Some(why) = &settings.base_note {
        ui.note(why);
    }
}

/// What a command wants built.
pub struct Wanted<'a> {
    /// What to build.
    pub formats: &'a [Format],
    /// Redo every stage.
    pub refresh: bool,
    /// What to do with an artifact that somebody changed.
    pub changed_artifact: ChangedArtifact,
    /// How; rave.toml's way where it is none.
    pub compress: Option<Compression>,
    /// Whether an artifact of any compression will do.
    pub any_compression: bool,
    /// Which packages of Debian.
    pub packages: Packages<'a>,
    /// Whether the network may be used.
    pub network: Network,
}

impl<'a> Wanted<'a> {
    /// What `run` and `smoke` boot: built where it is missing or stale, refused where somebody changed it.
    pub fn to_boot(formats: &'a [Format], building: &cli::Building) -> Self {
        Self {
            changed_artifact: ChangedArtifact::Refuse,
            any_compression: true,
            network: network(building),
            ..Self::anew(formats)
        }
    }

    /// What `image` was asked for.
    pub fn of(args: &cli::Image, formats: &'a [Format]) -> Self {
        Self {
            compress: args.compress,
            refresh: args.refresh,
            packages: if args.frozen { Packages::Frozen } else { Packages::Lock },
            network: network(&args.building),
            ..Self::anew(formats)
        }
    }

    /// What is delivered, as rave.toml wants it.
    pub fn anew(formats: &'a [Format]) -> Self {
        Self {
            formats,
            refresh: false,
            changed_artifact: ChangedArtifact::Replace,
            compress: None,
            any_compression: false,
            packages: Packages::Lock,
            network: Network::Allowed,
        }
    }
}

/// Builds what is missing; also what `run` and `smoke` do first.
pub fn build(settings: &Settings, wanted: &Wanted<'_>, ui: &Ui) -> anyhow::Result<Built> {
    if settings.base == Base::Nixos {
        return nixos::build(settings, wanted, ui);
    }
    with_request(settings, wanted, |request| rave_image::build(request, &ui.sink()))
}

/// Whether what a command wants is there, made from the present settings.
pub fn is_current(settings: &Settings, wanted: &Wanted<'_>, ui: &Ui) -> anyhow::Result<bool> {
    if settings.base == Base::Nixos {
        return nixos::is_current(settings, wanted, ui);
    }
    with_request(settings, wanted, rave_image::build::is_current)
}

fn with_request<T>(
    settings: &Settings,
    wanted: &Wanted<'_>,
    work: impl FnOnce(&Request<'_>) -> Result<T, Error>,
) -> anyhow::Result<T> {
    let places = Places::of(settings);
    let lock = lock(settings)?;
    let request = request::image(settings, wanted, &places, &lock)?;
    work(&request).map_err(|error| failure(&error).into())
}

/// The checkout's `debian.lock`.
pub fn lock(settings: &Settings) -> anyhow::Result<Lock> {
    Lock::read(&settings.root).map_err(|error| failure(&error).into())
}

/// The failure that ends the process for an error of the image engine.
pub fn failure(error: &Error) -> Failure {
    let code = match error {
        Error::FormatNotOnBase { .. }
        | Error::NotOnBase { .. }
        | Error::Input { .. }
        | Error::NoLock { .. }
        | Error::BadLock { .. } => Code::Usage,
        Error::Command { source: rave_process::Error::NotFound { .. }, .. } => Code::HostNotReady,
        Error::Interrupted => Code::Interrupted,
        Error::Nix(error) => nixos::code(error),
        _ => Code::BuildFailed,
    };
    let failure = Failure::new(code, error.to_string());
    let cause = std::error::Error::source(error).map(ToString::to_string);
    let failure = match error {
        Error::Nix(error) => error.facts().into_iter().fold(failure, Failure::detail),
        _ => failure,
    };
    let failure = match cause {
        Some(cause) if !error.to_string().contains(&cause) => failure.detail(cause),
        _ => failure,
    };
    match error.remedy().or_else(|| wrong_choice(error)) {
        Some(remedy) => failure.remedy(remedy),
        None => failure,
    }
}

/// What to choose instead.
fn wrong_choice(error: &Error) -> Option<String> {
    let text = match error {
        Error::FormatNotOnBase { .. } => {
            "choose among those with --format, or in defaults.formats of rave.toml"
        }
        Error::NotOnBase { .. } => "give --base debian, or set defaults.base of rave.toml so",
        _ => return None,
    };
    Some(text.to_owned())
}
