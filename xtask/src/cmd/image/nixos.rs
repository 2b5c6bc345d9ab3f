//! What `image`, `run` and `smoke` ask of the NixOS base.

use camino::Utf8PathBuf;
use rave_image::bases::debian::Network;
use rave_image::bases::nixos::host::Nix;
use rave_image::bases::nixos::{self, Error, Order};
use rave_image::build::Built;

use super::{Wanted, failure};
use crate::cli;
use crate::exit::{Code, Failure};
use crate::settings::Settings;
use crate::ui::Ui;

/// Refuses what only the Debian base does.
pub(super) fn refuse(args: &cli::Image) -> anyhow::Result<()> {
    let refusal = if args.double {
        ("--double", "its disks are not the same bytes each time; `--rebuild` compares a build with itself")
    } else if args.compress.is_some() {
        ("--compress", "the flake reads [compress] of rave.toml: set it there")
    } else if args.frozen {
        ("--frozen", "flake.lock always says exactly what is built: leave it out")
    } else {
        return Ok(());
    };
    let (flag, remedy) = refusal;
    Err(Failure::usage(format!("{flag} is of the debian base alone")).remedy(remedy).into())
}

/// Makes sure that there is a nix which can build.
pub(super) fn ensure() -> anyhow::Result<()> {
    Nix::find().map(|_| ()).map_err(|error| failure(&error.into()).into())
}

/// Builds what is missing.
pub(super) fn build(settings: &Settings, wanted: &Wanted<'_>, ui: &Ui) -> anyhow::Result<Built> {
    with_order(settings, wanted, |order| nixos::build(order, &ui.sink()))
}

/// Whether what is wanted is there, made from the flake as it is now.
pub(super) fn is_current(settings: &Settings, wanted: &Wanted<'_>, ui: &Ui) -> anyhow::Result<bool> {
    with_order(settings, wanted, |order| nixos::is_current(order, &ui.sink()))
}

fn with_order<T>(
    settings: &Settings,
    wanted: &Wanted<'_>,
    work: impl FnOnce(&Order<'_>) -> Result<T, rave_image::Error>,
) -> anyhow::Result<T> {
    let shipped = settings.shipped()?;
    let mut options = settings.nix.clone();
    options.offline |= matches!(wanted.network, Network::Off);
    let log_dir: Utf8PathBuf = settings.state_dir.join("logs");
    let order = Order {
        root: &settings.root,
        spec: &shipped.spec,
        profile: settings.profile.as_str(),
        formats: wanted.formats,
        out_dir: &settings.out_dir,
        cache_dir: &settings.cache_dir,
        state_dir: &settings.state_dir,
        log_dir: &log_dir,
        refresh: wanted.refresh,
        changed_artifact: wanted.changed_artifact,
        options: &options,
    };
    work(&order).map_err(|error| failure(&error).into())
}

/// What the process ends with.
pub(super) fn code(error: &Error) -> Code {
    match error {
        Error::Missing | Error::TooOld { .. } | Error::FlakesOff | Error::Unusable { .. } => {
            Code::HostNotReady
        }
        _ => Code::BuildFailed,
    }
}
