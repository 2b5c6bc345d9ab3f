//! Whether the licences allow a release: those of the workspace's crates by `deny.toml`, those of the guests' packages by
//! `release.denied_licences` of `rave.toml`.

use camino::Utf8Path;
use rave_image::Manifest;
use rave_process::Cmd;
use rave_release::sbom::{Inventory, known};

use super::super::found::{Fact, Found, wrong};
use super::super::plan::ReleaseProfile;
use rave_spec::Base;

use crate::settings::Settings;

/// The rules of cargo-deny.
const RULES: &str = "deny.toml";

/// Asks cargo-deny, which needs no network for these rules.
pub(super) fn of_crates(root: &Utf8Path) -> Found {
    if !root.join(RULES).is_file() {
        return wrong(format!("{RULES} is missing"), format!("put it back with `git checkout {RULES}`"));
    }
    if rave_process::find_program("cargo-deny").is_none() {
        return Ok(Fact::NotTried(
            "cargo-deny is not installed; `cargo install cargo-deny` installs it".into(),
        ));
    }
    let arguments = ["deny", "--offline", "check", "licenses", "bans", "sources"];
    match Cmd::new("cargo").args(arguments).current_dir(root).output() {
        Ok(_) => Ok(format!("allowed by {RULES}").into()),
        Err(error) => wrong(error.to_string(), format!("leave the crate out, or change {RULES}")),
    }
}

/// Checks the last build of each profile. The bills of materials are checked again when they are written: a denied
/// package stops the release.
pub(super) fn of_guests(settings: &Settings, profiles: &[ReleaseProfile]) -> Found {
    if settings.base == Base::Nixos {
        return Ok(Fact::NotTried("a closure does not contain the licences of its packages".into()));
    }
    let denied = &settings.spec.spec.release.denied_licences;
    let suite = settings.spec.spec.debian.suite.to_string();
    let mut not_built = Vec::new();
    let mut unlicensed = 0;
    for profile in profiles {
        let name = profile.settings.profile.as_str();
        let Ok(manifest) = Manifest::read(&profile.settings.out_dir) else {
            not_built.push(name);
            continue;
        };
        let components = known::packages(&manifest, &suite)
            .map_err(|why| (format!("{name}: {why}"), "build it with `cargo xtask image`".to_owned()))?;
        let inventory = Inventory::new(name.to_owned(), String::new(), 0, components);
        unlicensed += inventory.unlicensed();
        if let Some(first) = inventory.denied(denied).first() {
            return wrong(
                format!("{name} contains {first}"),
                "leave the package out, or change release.denied_licences in rave.toml",
            );
        }
    }
    if !not_built.is_empty() {
        let names = not_built.join(", ");
        return Ok(Fact::NotTried(format!(
            "known once {names} is built: the stage of the bills looks at it"
        )));
    }
    Ok(format!("none is denied in the last builds; {unlicensed} packages are NOASSERTION").into())
}
