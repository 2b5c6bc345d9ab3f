//! A whole system of the flake: outputs that would need a download are filled from a payload of Debian's packages, nix builds
//! everything else, and the smoke suite runs on the result.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Context as _, bail};
use camino::{Utf8Path, Utf8PathBuf};
use rave::command_error::CommandError;
use rave_image::digest::Hasher;
use rave_process::{Cmd, find_program};
use rave_smoke::matrix::{self, MatrixRow};
use rave_spec::Format;

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

/// The rows of the matrix that are booted, if nobody names others.
const ROWS: [&str; 2] = ["qemu-bios", "qemu-uefi"];
/// Values of `--rows` that stand alone.
const ALL: &str = "all";
const NONE: &str = "none";

/// What the suite needs of nix besides [`OwnStore`]'s settings.
const FLAKES: &str = "experimental-features = nix-command flakes\nflake-registry =\nwarn-dirty = false\n";

/// A system that was built.
pub(in super::super) struct System {
    store: OwnStore,
    checkout: Utf8PathBuf,
    /// The tree as an input of the flake.
    input: String,
    cache: Utf8PathBuf,
    rows: Vec<MatrixRow>,
    /// The derivations that were built.
    roots: Vec<String>,
    built: usize,
    filled: usize,
}

/// The rows with these names; none: nothing is booted.
pub(in super::super) fn rows(names: &[String]) -> Result<Vec<MatrixRow>, CommandError> {
    match names.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => rows(&ROWS.map(str::to_owned)),
        [ALL] => Ok(matrix::ROWS.to_vec()),
        [NONE] => Ok(Vec::new()),
        _ => matrix::named(names).map_err(|error| {
            let list = "`cargo xtask smoke --list-rows` shows them all; `all` and `none` stand alone";
            let remedy = match error.nearest {
                Some(nearest) => format!("did you mean {nearest}? {list}"),
                None => list.to_owned(),
            };
            CommandError::usage(error.to_string()).remedy(remedy)
        }),
    }
}

/// The formats of the artifacts that rows boot; every format if there is no row.
fn formats(rows: &[MatrixRow]) -> Vec<Format> {
    let wanted = |format: &&Format| rows.is_empty() || rows.iter().any(|row| row.format == **format);
    Format::ALL.iter().filter(wanted).copied().collect()
}

/// Builds the disk of a profile and the artifacts that the rows boot.
pub(in super::super) fn system(
    checkout: &Utf8Path,
    nixpkgs: &str,
    cache: &Utf8Path,
    log: &Utf8Path,
    rows: Vec<MatrixRow>,
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
    // What fills outputs in, beside the table.
    for code in [include_str!("fill.rs"), include_str!("outputs.rs"), include_str!("programs.rs")] {
        hasher.field("code", code.as_bytes());
    }
    for name in ["stubs", "scripts"] {
        contents(&mut hasher, &folder.join(name))?;
    }
    let folder = cache.join(format!("store-{}", hasher.finish().short()));
    let store = OwnStore::kept(&folder, &payload.layer, log)?;

    let input = input(nixpkgs);
    let roots = roots(&store, checkout, &input, &rows)?;
    let roots: Vec<&str> = roots.iter().map(String::as_str).collect();
    let show = [&["derivation", "show", "--recursive"], &roots[..]].concat();
    let derivations = Derivations::read(&store.nix("nix", &show)?)?;
    let wanted = derivations.wanted(&roots, &table)?;
    let filler = Filler {
        store: &store,
        payload: &payload,
        checkout,
        nixpkgs: Utf8Path::new(nixpkgs),
        cache: &cache,
        log,
    };
    filler.fill(&wanted)?;
    let output = store.run("nix-store", &[&["--realise"], &roots[..]].concat())?;
    let built: BTreeSet<&str> = output.lines().filter_map(|line| line.strip_prefix("building '")).collect();
    let built = built.len();
    let roots = roots.into_iter().map(str::to_owned).collect();
    Ok(System {
        store,
        checkout: checkout.to_owned(),
        input,
        cache,
        rows,
        roots,
        built,
        filled: wanted.len(),
    })
}

/// The derivations of the artifacts that the rows boot.
fn roots(
    store: &OwnStore,
    checkout: &Utf8Path,
    input: &str,
    rows: &[MatrixRow],
) -> anyhow::Result<Vec<String>> {
    let attributes: Vec<String> =
        formats(rows).iter().map(|format| format!(".#{format}-{}", super::PROFILE)).collect();
    let mut evaluate = vec!["path-info", "--derivation", "--override-input", "nixpkgs", input];
    evaluate.extend(attributes.iter().map(String::as_str));
    let said = store.nix_in(checkout, FLAKES, &evaluate)?;
    let paths = said.lines().map(str::trim).filter(|line| line.starts_with("/nix/store/"));
    let roots: Vec<String> = paths.map(str::to_owned).collect();
    if roots.len() != attributes.len() {
        bail!("nix printed {} derivations of {}: {said:?}", roots.len(), attributes.len());
    }
    Ok(roots)
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

    /// Writes a program that runs any command with this store and this tree.
    pub(in super::super) fn write_enter(&self) -> anyhow::Result<Utf8PathBuf> {
        let program = self.cache.join("enter");
        write_program(&program, &self.store.script(FLAKES, &self.environment()?))?;
        Ok(program)
    }

    /// What a command needs besides the store: a `nix` that has this tree, and folders of its own.
    fn environment(&self) -> anyhow::Result<Vec<(&'static str, String)>> {
        let bin = self.cache.join("bin");
        fs::create_dir_all(&bin)?;
        let nix = find_program("nix").context("nix was not found")?;
        write_program(&bin.join("nix"), &script(nix.as_str(), &self.input))?;
        let path = format!("{bin}:{}", env::var("PATH").unwrap_or_default());
        Ok(vec![
            ("PATH", path),
            ("RAVE_STATE", self.cache.join("state").into_string()),
            // Its own lock: no build of the user's waits for it.
            ("RAVE_CACHE", self.cache.join("cache").into_string()),
            ("RAVE_HOME", self.checkout.clone().into_string()),
        ])
    }

    /// The smoke suite on it, as anybody calls it, with a `nix` that has this store and this tree; none without a row.
    pub(in super::super) fn smoke(&self) -> anyhow::Result<Option<Cmd>> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        // The suite would build what nothing was filled for, and fail at its first download.
        if roots(&self.store, &self.checkout, &self.input, &self.rows)? != self.roots {
            let error = CommandError::host_not_ready("the checkout was changed while its system was built");
            return Err(error.remedy("run the step again, and change nothing meanwhile").into());
        }
        let own = Utf8PathBuf::try_from(env::current_exe()?)?;
        let (out, report) = (self.cache.join("out"), self.cache.join("report"));
        let rows = self.rows.iter().map(|row| row.name).collect::<Vec<_>>().join(",");
        let arguments = [
            "smoke",
            "--base",
            "nixos",
            "--profile",
            super::PROFILE,
            "--rows",
            &rows,
            "--out",
            out.as_str(),
            "--report",
            report.as_str(),
        ];
        let smoke = self.store.enter(own.as_str(), &arguments, FLAKES);
        let smoke =
            self.environment()?.into_iter().fold(smoke, |smoke, (name, value)| smoke.env(name, value));
        Ok(Some(smoke))
    }
}

/// With its digest, if that is known, for otherwise nix reads the whole tree each time.
fn input(nixpkgs: &str) -> String {
    let named = env::var("RAVE_NIXPKGS").unwrap_or_default();
    if named.starts_with("path:") { named } else { format!("path:{nixpkgs}") }
}

fn write_program(path: &Utf8Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o755))?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_names_and_decide_which_formats_are_built() {
        let chosen = |names: &[&str]| rows(&names.iter().map(ToString::to_string).collect::<Vec<_>>());
        let of = |names: &[&str]| {
            let rows = chosen(names).unwrap();
            (rows.iter().map(|row| row.name).collect::<Vec<_>>(), formats(&rows))
        };
        assert_eq!(of(&[]), (vec!["qemu-bios", "qemu-uefi"], vec![Format::Qemu]));
        assert_eq!(of(&["iso-cd-bios"]), (vec!["iso-cd-bios"], vec![Format::Iso]));
        assert_eq!(of(&["none"]), (Vec::new(), Format::ALL.to_vec()));
        assert_eq!(chosen(&["all"]).unwrap().len(), matrix::ROWS.len());
        let error = chosen(&["qemu-efi"]).unwrap_err();
        assert!(format!("{error:?}").contains("did you mean qemu-uefi"), "{error:?}");
    }
}
