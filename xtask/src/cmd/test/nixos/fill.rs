//! Fills outputs, and registers them.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::fs::symlink;

use anyhow::Context as _;
use camino::Utf8Path;

use super::derivations::Wanted;
use super::files::copy;
use super::own_store::OwnStore;
use super::replacements::By;

/// The stand-in system: the closure that the tests of the disk's writer use.
const CLOSURE: &str = "crates/image/tests/fixtures/closure/store";

/// Fills every output that is wanted.
pub(super) fn fill(store: &OwnStore, checkout: &Utf8Path, wanted: &[Wanted<'_>]) -> anyhow::Result<()> {
    let mut registered = Vec::new();
    for one in wanted {
        for path in &one.outputs {
            let references = output(store, checkout, path, one)
                .with_context(|| format!("cannot fill {path} ({})", one.row.reason))?;
            registered.push(((*path).to_owned(), references.clone()));
            registered.extend(references.into_iter().map(|reference| (reference, Vec::new())));
        }
    }
    store.register(&registered)
}

/// Fills one output; gives what it refers to.
fn output(
    store: &OwnStore,
    checkout: &Utf8Path,
    path: &str,
    one: &Wanted<'_>,
) -> anyhow::Result<Vec<String>> {
    let place = store.place(path)?;
    if let By::System = one.row.by {
        return system(store, checkout, &place);
    }
    fs::create_dir_all(&place)?;
    match one.row.by {
        By::Programs(folder) => symlink(folder, place.join("bin"))?,
        By::Grub => {
            symlink("/usr/bin", place.join("bin"))?;
            fs::create_dir(place.join("lib"))?;
            symlink("/usr/lib/grub", place.join("lib/grub"))?;
        }
        By::Rave => {
            fs::create_dir(place.join("bin"))?;
            symlink(env::current_exe()?, place.join("bin/rave"))?;
        }
        By::StandardEnvironment => {
            symlink("/usr/bin", place.join("bin"))?;
            fs::write(place.join("setup"), setup(store, path, one.environment)?)?;
        }
        By::System => {}
    }
    Ok(Vec::new())
}

/// What nixpkgs' stdenv/generic/builder.sh writes, with the host's programs on the search path.
fn setup(store: &OwnStore, path: &str, environment: &BTreeMap<String, String>) -> anyhow::Result<String> {
    let of = |name: &str| environment.get(name).map(String::as_str).unwrap_or_default();
    let script = store.text(of("setup"))?;
    Ok(format!(
        "export SHELL=/bin/sh\ninitialPath=\"{path}\"\ndefaultNativeBuildInputs=\"\"\ndefaultBuildInputs=\"\"\n{}\n{script}",
        of("preHook")
    ))
}

/// A system of a few kB, and the paths that it refers to.
fn system(store: &OwnStore, checkout: &Utf8Path, place: &Utf8Path) -> anyhow::Result<Vec<String>> {
    let mut references = Vec::new();
    for entry in checkout.join(CLOSURE).read_dir_utf8()? {
        let entry = entry?;
        let name = entry.file_name();
        if name.ends_with("-system") {
            copy(entry.path(), place)?;
        } else {
            let path = format!("/nix/store/{name}");
            copy(entry.path(), &store.place(&path)?)?;
            references.push(path);
        }
    }
    references.sort();
    Ok(references)
}
