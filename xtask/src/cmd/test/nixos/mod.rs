//! The step `nixos`: the flake's disk, built by the real nix from the real nixpkgs where neither can be fetched. Outputs that
//! would need a download are filled with the host's programs, in a store that is thrown away; everything above them is built.
//!
//! The system on the disk is a stand-in so far: what is proven is the flake's disk and all that leads from a closure to it.

mod derivations;
mod fill;
mod own_store;
mod replacements;

use std::collections::BTreeSet;
use std::env;

use anyhow::{Context as _, bail};
use camino::Utf8Path;
use rave_process::find_program;

use derivations::Derivations;
use own_store::OwnStore;

/// How somebody runs it on a host that has what it needs.
pub(super) const COMMAND: &str = "RAVE_NIXPKGS=/path/to/nixpkgs cargo xtask test nixos";

/// The profile whose disk is built.
const PROFILE: &str = "headless";

/// What of the host stands in for programs of nixpkgs, beside what an image of the Debian base needs.
const PROGRAMS: &[&str] =
    &["nix-instantiate", "nix-store", "nix", "unshare", "jq", "mke2fs", "mcopy", "sfdisk", "grub-mkimage"];

/// What was done.
pub(super) struct Built {
    /// Derivations that nix built.
    pub(super) built: usize,
    /// Derivations whose outputs were filled.
    pub(super) filled: usize,
}

/// The tree of nixpkgs, or why the step cannot run here.
pub(super) fn tree() -> Result<String, String> {
    if let Some(program) = PROGRAMS.iter().find(|program| find_program(program).is_none()) {
        return Err(format!("{program} was not found"));
    }
    let named = env::var("RAVE_NIXPKGS").unwrap_or_default();
    let folder =
        named.strip_prefix("path:").unwrap_or(&named).split('?').next().unwrap_or_default().to_owned();
    if !Utf8Path::new(&folder).join("pkgs/top-level/default.nix").is_file() {
        return Err("RAVE_NIXPKGS does not name the folder of a nixpkgs tree".into());
    }
    if !rustix::process::geteuid().is_root() {
        return Err("only root may lay a store of its own over the host's".into());
    }
    Ok(folder)
}

/// Builds the disk twice; fails where the second is another.
pub(super) fn run(
    checkout: &Utf8Path,
    nixpkgs: &str,
    scratch: &Utf8Path,
    log: &Utf8Path,
) -> anyhow::Result<Built> {
    let store = OwnStore::new(scratch, log)?;
    let attribute = format!("outputs.nixosConfigurations.{PROFILE}.config.system.build.raveDisk");
    let file = checkout.join("default.nix");
    let said =
        store.nix("nix-instantiate", &["--argstr", "nixpkgs", nixpkgs, file.as_str(), "-A", &attribute])?;
    let disk = said.lines().last().unwrap_or_default().trim().to_owned();
    if !disk.ends_with("-rave-disk.drv") {
        bail!("nix-instantiate printed no derivation of a disk, but {disk:?}");
    }
    let derivations = Derivations::read(&store.nix("nix", &["derivation", "show", "--recursive", &disk])?)?;
    let wanted = derivations.to_fill(&disk)?;
    fill::fill(&store, checkout, &wanted)?;

    let realised = store.run("nix-store", &["--realise", &disk])?;
    let told: BTreeSet<&str> = realised.lines().filter_map(|line| line.strip_prefix("building '")).collect();
    store
        .run("nix-store", &["--realise", "--check", &disk])
        .context("the disk differs when it is built again")?;
    Ok(Built { built: told.len(), filled: wanted.len() })
}
