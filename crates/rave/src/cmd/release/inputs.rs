//! The downloads of a release's builds, collected from this host's caches.

use std::env;
use std::fs;

use camino::Utf8PathBuf;
use rave_image::inputs::{self, Caches, Input};
use rave_process::Cmd;
use rave_release::cut::Built;
use rave_release::sbom::known::locked_crates;

use crate::cli::Building;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::settings::Settings;

/// `CARGO_HOME`, or its default (Cargo's book, "Cargo Home").
pub(in crate::cmd) fn cargo_home() -> anyhow::Result<Utf8PathBuf> {
    let home = || Utf8PathBuf::from_path_buf(env::home_dir()?.join(".cargo")).ok();
    let found = env::var("CARGO_HOME").ok().map(Utf8PathBuf::from).or_else(home);
    found.ok_or_else(|| CommandError::usage("Cargo's folder is not known").remedy("set CARGO_HOME").into())
}

/// Fetches the crates of every platform into Cargo's cache; a build fetches only those of one platform.
pub(in crate::cmd) fn fetch(settings: &Settings, building: &Building) -> anyhow::Result<()> {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let offline = building.offline.then_some("--offline");
    let command = Cmd::new(cargo).args(["fetch", "--locked", "--quiet"]).args(offline);
    command.current_dir(&settings.root).output().map_err(|error| {
        CommandError::of_command(Code::BuildFailed, "the crates cannot be fetched", &error, 10)
    })?;
    Ok(())
}

/// All inputs of these builds.
pub(in crate::cmd) fn collect(
    settings: &Settings,
    caches: Caches<'_>,
    built: &[&Built],
) -> anyhow::Result<Vec<Input>> {
    let lock = fs::read_to_string(settings.root.join("Cargo.lock"))?;
    let crates = locked_crates(&lock).map_err(CommandError::usage)?;
    let manifests: Vec<_> = built.iter().map(|built| &built.manifest).collect();
    Ok(inputs::collect(caches, &manifests, &crates)?)
}
