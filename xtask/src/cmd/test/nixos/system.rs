//! A whole system of the flake: outputs that would need a download are filled from a payload of Debian's packages, and nix builds
//! everything else.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::Hasher;

use super::derivations::Derivations;
use super::outputs::Filler;
use super::own_store::OwnStore;
use super::payload::{self, lock::Lock};
use super::table::Table;

/// Of the checkout.
const FOLDER: &str = "xtask/src/cmd/test/nixos";

/// What was built.
pub(super) struct System {
    pub(super) built: usize,
    pub(super) filled: usize,
    /// Outputs of the attributes, in the store.
    pub(super) outputs: Vec<String>,
}

/// The suite that is nearest to the tree's versions.
const SUITE: &str = "forky";

/// Builds attributes of the flake.
pub(super) fn build(
    checkout: &Utf8Path,
    nixpkgs: &str,
    cache: &Utf8Path,
    log: &Utf8Path,
    attributes: &[String],
) -> anyhow::Result<System> {
    let folder = checkout.join(FOLDER);
    let cache = cache.join("nixos-payload");
    fs::create_dir_all(&cache)?;
    let text = fs::read_to_string(folder.join("replacements.txt"))?;
    let table = Table::parse(&text)?;
    let lock_file = folder.join("payload.lock");
    if env::var("XTASK_NIXOS_PAYLOAD").is_ok_and(|value| value == "update") || !lock_file.exists() {
        let lock = payload::resolve(SUITE, &table.packages(), &cache, log)?;
        fs::write(&lock_file, lock.render())?;
    }
    let lock = Lock::parse(&fs::read_to_string(&lock_file)?)?;
    let payload = payload::prepare(&lock, &cache, log)?;
    let mut hasher = Hasher::default();
    hasher.field("payload", payload.path.as_bytes()).field("table", text.as_bytes());
    let store = OwnStore::kept(&cache.join("store-dev"), &payload.layer, log)?;

    let file = checkout.join("default.nix");
    let mut arguments = vec!["--argstr", "nixpkgs", nixpkgs, file.as_str()];
    arguments.extend(attributes.iter().flat_map(|attribute| ["-A", attribute.as_str()]));
    let said = store.nix("nix-instantiate", &arguments)?;
    let roots: Vec<&str> = said.lines().map(|line| line.trim().split('!').next().unwrap_or_default()).collect();
    let show = [&["derivation", "show", "--recursive"], &roots[..]].concat();
    let derivations = Derivations::read(&store.nix("nix", &show)?)?;
    let wanted = derivations.wanted(&roots, &table)?;
    let filler = Filler { store: &store, payload: &payload, checkout, nixpkgs: Utf8Path::new(nixpkgs), cache: &cache, log };
    filler.fill(&wanted)?;
    let realise: Vec<&str> = [&["--realise"], &roots[..]].concat();
    let realised = store.run("nix-store", &realised_arguments(&realise))?;
    let built: BTreeSet<&str> = realised.lines().filter_map(|line| line.strip_prefix("building '")).collect();
    let outputs = realised.lines().filter(|line| line.starts_with("/nix/store/")).map(str::to_owned).collect();
    Ok(System { built: built.len(), filled: wanted.len(), outputs })
}

fn realised_arguments<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    arguments.to_vec()
}
