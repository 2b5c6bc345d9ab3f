//! A whole system of the flake: outputs that would need a download are filled from a payload of Debian's packages, nix builds
//! everything else, and the smoke suite runs on the result.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::Context as _;
use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::Hasher;
use rave_process::{Cmd, find_program};

use super::derivations::Derivations;
use super::outputs::Filler;
use super::own_store::OwnStore;
use super::payload::{self, lock::Lock};
use super::table::Table;

/// The table and the lock, in the checkout.
const FOLDER: &str = "xtask/src/cmd/test/nixos";

/// Renews the lock if it is `update`.
const LOCK_VARIABLE: &str = "RAVE_NIXOS_PAYLOAD";

/// Debian's suite that is nearest to the tree's versions.
const SUITE: &str = "forky";

/// The rows of the matrix that are booted.
const ROWS: &str = "qemu-bios,qemu-uefi";

/// What the suite needs of nix besides [`OwnStore`]'s settings.
const FLAKES: &str = "experimental-features = nix-command flakes\nflake-registry =\nwarn-dirty = false\n";

/// A system that was built.
pub(in super::super) struct System {
    store: OwnStore,
    checkout: Utf8PathBuf,
    /// The tree as an input of the flake.
    input: String,
    cache: Utf8PathBuf,
    built: usize,
    filled: usize,
}

/// Builds the disk of a profile and its artifact for QEMU.
pub(in super::super) fn system(
    checkout: &Utf8Path,
    nixpkgs: &str,
    cache: &Utf8Path,
    log: &Utf8Path,
) -> anyhow::Result<System> {
    let folder = checkout.join(FOLDER);
    let cache = cache.join("nixos-payload");
    fs::create_dir_all(&cache)?;
    let text = fs::read_to_string(folder.join("replacements.txt"))?;
    let table = Table::parse(&text)?;
    let lock_file = folder.join("payload.lock");
    if env::var(LOCK_VARIABLE).is_ok_and(|value| value == "update") {
        let lock = payload::resolve(SUITE, &table.packages(), &cache, log)?;
        rave_fs::Replace::new(&lock_file).write(lock.render())?;
    }
    let lock = Lock::parse(&fs::read_to_string(&lock_file)?)?;
    let payload = payload::prepare(&lock, &cache, log)?;
    let mut hasher = Hasher::default();
    hasher.field("payload", payload.path.as_bytes()).field("table", text.as_bytes());
    for name in ["stubs", "scripts"] {
        contents(&mut hasher, &folder.join(name))?;
    }
    let folder = cache.join(format!("store-{}", hasher.finish().short()));
    let store = OwnStore::kept(&folder, &payload.layer, log)?;

    let input = input(nixpkgs);
    let attribute = format!(".#qemu-{}", super::PROFILE);
    let evaluate = ["path-info", "--derivation", &attribute, "--override-input", "nixpkgs", &input];
    let said = store.nix_in(checkout, FLAKES, &evaluate)?;
    let root = said.lines().last().context("nix printed no derivation")?.trim();
    let derivations = Derivations::read(&store.nix("nix", &["derivation", "show", "--recursive", root])?)?;
    let wanted = derivations.wanted(&[root], &table)?;
    let filler = Filler {
        store: &store,
        payload: &payload,
        checkout,
        nixpkgs: Utf8Path::new(nixpkgs),
        cache: &cache,
        log,
    };
    filler.fill(&wanted)?;
    let output = store.run("nix-store", &["--realise", root])?;
    let built: BTreeSet<&str> = output.lines().filter_map(|line| line.strip_prefix("building '")).collect();
    let built = built.len();
    Ok(System { store, checkout: checkout.to_owned(), input, cache, built, filled: wanted.len() })
}

/// Adds what outputs are made of.
fn contents(hasher: &mut Hasher, folder: &Utf8Path) -> anyhow::Result<()> {
    let mut entries = folder.read_dir_utf8()?.collect::<std::io::Result<Vec<_>>>()?;
    entries.sort_by(|a, b| a.path().cmp(b.path()));
    for entry in entries {
        hasher.field("name", entry.file_name().as_bytes());
        if entry.file_type()?.is_dir() {
            contents(hasher, entry.path())?;
        } else {
            hasher.field("content", &fs::read(entry.path())?);
        }
    }
    Ok(())
}

impl System {
    pub(in super::super) fn told(&self) -> String {
        format!("nix built a whole system: {} derivations built now, {} filled", self.built, self.filled)
    }

    /// The smoke suite on it, as anybody calls it, with a `nix` that has this store and this tree.
    pub(in super::super) fn smoke(&self) -> anyhow::Result<Cmd> {
        let bin = self.cache.join("bin");
        fs::create_dir_all(&bin)?;
        let nix = find_program("nix").context("nix was not found")?;
        let program = bin.join("nix");
        fs::write(&program, script(nix.as_str(), &self.input))?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        let own = Utf8PathBuf::try_from(env::current_exe()?)?;
        let (out, report) = (self.cache.join("out"), self.cache.join("report"));
        let arguments = [
            "smoke",
            "--base",
            "nixos",
            "--profile",
            super::PROFILE,
            "--format",
            "qemu",
            "--rows",
            ROWS,
            "--out",
            out.as_str(),
            "--report",
            report.as_str(),
        ];
        let path = format!("{bin}:{}", env::var("PATH").unwrap_or_default());
        Ok(self
            .store
            .enter(own.as_str(), &arguments, FLAKES)
            .env("PATH", path)
            .env("RAVE_STATE", self.cache.join("state").as_str())
            // Its own lock: no build of the user's waits for it.
            .env("RAVE_CACHE", self.cache.join("cache").as_str())
            .env("RAVE_HOME", self.checkout.as_str()))
    }
}

/// With its digest, if that is known, for otherwise nix reads the whole tree each time.
fn input(nixpkgs: &str) -> String {
    let named = env::var("RAVE_NIXPKGS").unwrap_or_default();
    if named.starts_with("path:") { named } else { format!("path:{nixpkgs}") }
}

/// nix, for which the flake's input is the tree at hand.
fn script(nix: &str, input: &str) -> String {
    format!(
        "#!/bin/sh\ncase $1 in\nbuild | eval | flake) exec {nix} \"$@\" --override-input nixpkgs '{input}' ;;\n\
         *) exec {nix} \"$@\" ;;\nesac\n"
    )
}

/// Whether a line of the suite is shown when it ends.
pub(in super::super) fn is_closing(line: &str) -> bool {
    line.contains(" passed") || line.contains("FAILED") || line.starts_with("all ")
}
