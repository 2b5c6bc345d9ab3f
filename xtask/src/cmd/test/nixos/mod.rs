//! The step `nixos`: the flake's disk and its formats, built by the real nix from the real nixpkgs where neither can be fetched. Outputs that
//! would need a download are filled with the host's programs, in a store that is thrown away; everything above them is built.
//!
//! The system on the disk is a stand-in so far: what is proven is the flake's disk and all that leads from a closure to it.

mod derivations;
mod files;
mod fill;
mod outputs;
mod own_store;
mod payload;
mod programs;
mod references;
mod replacements;
mod scripts;
mod system;
mod table;

use std::collections::BTreeSet;
use std::env;

use anyhow::{Context as _, bail};
use camino::Utf8Path;
use rave_process::find_program;

use derivations::Derivations;
use own_store::OwnStore;
pub(super) use system::{is_closing, rows, system};

/// How somebody runs it on a host that has what it needs.
pub(super) const COMMAND: &str = "RAVE_NIXPKGS=/path/to/nixpkgs cargo xtask test nixos";
pub(super) const SYSTEM_COMMAND: &str = "RAVE_NIXPKGS=/path/to/nixpkgs cargo xtask test nixos-system";

/// The profile whose images are built.
const PROFILE: &str = "headless";
/// Those that `rave` makes of the disk and nothing else is added to.
const FORMATS: [&str; 4] = ["raw", "virtualbox", "vmware", "iso"];

/// What of the host stands in for programs of nixpkgs, beside what an image of the Debian base needs.
const PROGRAMS: &[&str] = &[
    "nix-instantiate",
    "nix-store",
    "nix",
    "unshare",
    "jq",
    "mke2fs",
    "mcopy",
    "sfdisk",
    "grub-mkimage",
    "qemu-img",
    "zstd",
    "mksquashfs",
    "xorriso",
];

/// What the payload of a whole system is made with; the smoke suite names its own.
const SYSTEM_PROGRAMS: &[&str] = &["nix-store", "nix", "unshare", "apt-get", "dpkg-deb", "cargo", "npm"];

/// What was done.
pub(super) struct Built {
    /// Derivations that nix built.
    pub(super) built: usize,
    /// Derivations whose outputs were filled.
    pub(super) filled: usize,
}

/// The tree of nixpkgs, or why the step cannot run here.
pub(super) fn tree() -> Result<String, String> {
    tree_with(PROGRAMS)
}

/// The same for a whole system.
pub(super) fn system_tree() -> Result<String, String> {
    tree_with(SYSTEM_PROGRAMS)
}

fn tree_with(programs: &[&str]) -> Result<String, String> {
    if let Some(program) = programs.iter().find(|program| find_program(program).is_none()) {
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

/// Builds the disk and the formats twice; fails where something is another the second time.
pub(super) fn run(
    checkout: &Utf8Path,
    nixpkgs: &str,
    scratch: &Utf8Path,
    log: &Utf8Path,
) -> anyhow::Result<Built> {
    let store = OwnStore::new(scratch, log)?;
    let file = checkout.join("default.nix");
    let attributes = FORMATS.map(|format| format!("{format}-{PROFILE}"));
    let mut arguments = vec!["--argstr", "nixpkgs", nixpkgs, file.as_str()];
    arguments.extend(attributes.iter().flat_map(|attribute| ["-A", attribute.as_str()]));
    let said = store.nix("nix-instantiate", &arguments)?;
    let roots: Vec<&str> = said.lines().map(str::trim).collect();
    if roots.len() != FORMATS.len() {
        bail!("nix-instantiate printed {} derivations of {}: {said:?}", roots.len(), FORMATS.len());
    }
    let show = [&["derivation", "show", "--recursive"], &roots[..]].concat();
    let derivations = Derivations::read(&store.nix("nix", &show)?)?;
    let wanted = derivations.to_fill(&roots)?;
    fill::fill(&store, checkout, &wanted)?;

    let realised = store.run("nix-store", &[&["--realise"], &roots[..]].concat())?;
    let built: BTreeSet<&str> = realised.lines().filter_map(|line| line.strip_prefix("building '")).collect();
    let disk = derivations.named("rave-disk")?;
    let again = [&["--realise", "--check", disk], &roots[..]].concat();
    store.run("nix-store", &again).context("it is another when it is built again")?;
    Ok(Built { built: built.len(), filled: wanted.len() })
}
