//! Whether the packages of the lock are available, checked before hours are spent on a release.

use rave_image::bases::debian::NetworkAccess;
use rave_image::bases::debian::availability::{AvailabilityRequest, availability};
use rave_image::bases::nixos::installation::Nix;
use rave_spec::Base;

use super::super::found::{Fact, Found, wrong};
use super::super::order::Order;
use super::super::plan::ReleaseProfile;
use crate::build;
use crate::settings::Settings;
use crate::ui::Ui;

/// How many missing packages are named.
const NAMED: usize = 5;

/// Only whether nix works here: it asks its caches when it builds.
fn nix() -> Found {
    match Nix::find() {
        Ok(nix) => Ok(Fact::NotTried(format!("{} asks its caches when it builds", nix.printed_version))),
        Err(error) => {
            let error = rave_image::Error::from(error);
            let remedy = error.remedy().unwrap_or_else(|| "install nix, or give --base debian".into());
            wrong(error.to_string(), remedy)
        }
    }
}

pub(super) fn packages(args: &Order<'_>, settings: &Settings, profiles: &[ReleaseProfile], ui: &Ui) -> Found {
    if settings.base == Base::Nixos {
        return nix();
    }
    let lock = build::lock(settings)
        .map_err(|error| (error.to_string(), "put it back with `git checkout debian.lock`".to_owned()))?;
    let names: Vec<&str> = profiles.iter().map(|profile| profile.settings.profile.as_str()).collect();
    let offline = args.building.offline;
    let request = AvailabilityRequest {
        spec: &settings.spec.spec,
        lock: &lock,
        profiles: &names,
        cache_dir: &settings.cache_dir,
        log_dir: &settings.state_dir.join("logs"),
        network: if offline { NetworkAccess::Off } else { NetworkAccess::Allowed },
    };
    let found = availability(&request, &ui.sink()).map_err(|error| {
        let remedy = error.remedy().unwrap_or_else(|| "check the network, then try again".into());
        (format!("the archive cannot be queried: {error}"), remedy)
    })?;
    let total = found.cached + found.in_archive + found.missing.len();
    if found.missing.is_empty() {
        return Ok(
            format!("{} of {total} are cached, the archive has {}", found.cached, found.in_archive).into()
        );
    }
    let examples = found.missing.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    let rest = found.missing.len().saturating_sub(NAMED);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    if offline {
        return wrong(
            format!(
                "{} of {total} are not cached, and --offline allows no download: {examples}{more}",
                found.missing.len()
            ),
            "leave out --offline, or build the profiles once with the network",
        );
    }
    wrong(
        format!("{} of {total} are neither cached nor in the archive: {examples}{more}", found.missing.len()),
        "renew the lock with `cargo xtask update`, and commit it",
    )
}
