//! The downloads of a build, as files: Debian packages with the archive's description of each, npm tarballs, crates.
//! Collected from the caches into a release, and placed from a release into the caches of a build without network
//! access.

mod npm;
mod types;

use std::collections::BTreeMap;
use std::fs::{self, File};

use camino::{Utf8Path, Utf8PathBuf};
use flate2::bufread::MultiGzDecoder;

use crate::digest::Digest;
use crate::error::{Error, IoContext as _};
use crate::manifest::Manifest;
use crate::npm_tools;
pub use types::{Caches, Input, Kind};

/// A package of Cargo.lock from a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedCrate {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its file's SHA-256.
    pub sha256: Digest,
}

/// All inputs of these builds, sorted by path. An input that is no longer cached is an error.
pub fn collect(
    caches: Caches<'_>,
    builds: &[&Manifest],
    crates: &[LockedCrate],
) -> Result<Vec<Input>, Error> {
    let mut found = BTreeMap::new();
    let mut missing = Vec::new();
    let mut add = |input: Input| {
        if input.file.is_file() {
            found.insert(input.path.clone(), input);
        } else {
            missing.push(format!("{} {}", input.name, input.version));
        }
    };
    let origins = builds.iter().filter_map(|build| build.origin.debian());
    for package in origins.flat_map(|origin| &origin.packages) {
        for (kind, ending) in [(Kind::Deb, "deb"), (Kind::Stanza, "stanza")] {
            let path = format!("debs/{}.{ending}", package.sha256);
            add(Input {
                kind,
                name: package.name.clone(),
                version: package.version.clone(),
                integrity: None,
                locked: (kind == Kind::Deb).then_some(package.sha256),
                file: caches.builds.join(&path),
                path,
            });
        }
    }
    for package in npm_tools::fetched()? {
        add(npm::input(caches, &package)?);
    }
    let registries = registries(caches.cargo);
    for LockedCrate { name, version, sha256 } in crates {
        let file = format!("{name}-{version}.crate");
        let places = registries.iter().map(|folder| folder.join(&file));
        add(Input {
            kind: Kind::Crate,
            name: name.clone(),
            version: version.clone(),
            integrity: None,
            locked: Some(*sha256),
            path: format!("crates/{file}"),
            file: places.clone().find(|place| place.is_file()).unwrap_or_default(),
        });
    }
    if missing.is_empty() { Ok(found.into_values().collect()) } else { Err(Error::InputsGone { missing }) }
}

/// Where Cargo keeps downloaded crate files: a folder for each registry (Cargo's book, "Cargo Home").
fn registries(cargo: &Utf8Path) -> Vec<Utf8PathBuf> {
    let entries = cargo.join("registry/cache").read_dir_utf8();
    let mut folders: Vec<_> =
        entries.into_iter().flatten().flatten().map(|entry| entry.path().to_owned()).collect();
    folders.sort();
    folders
}

/// The name of the source folder that replaces a registry for Cargo.
const SOURCE: &str = "inputs";

/// Configures Cargo to take crates from the files written by [`put`]. `cargo` is a separate `CARGO_HOME`.
pub fn prepare_cargo(cargo: &Utf8Path) -> Result<(), Error> {
    let folder = sources(cargo);
    fs::create_dir_all(&folder).at("create", &folder)?;
    // A JSON string is also a valid TOML string.
    let folder = serde_json::Value::from(folder.as_str());
    let text = format!(
        "[source.crates-io]\nreplace-with = \"{SOURCE}\"\n\n[source.{SOURCE}]\ndirectory = {folder}\n\n[net]\noffline = true\n"
    );
    let path = cargo.join("config.toml");
    fs::write(&path, text).at("write", &path)
}

/// Beside the registries: the guest's program is compiled so that the names of these folders do not appear in it.
fn sources(cargo: &Utf8Path) -> Utf8PathBuf {
    cargo.join("registry/src").join(SOURCE)
}

/// Places a verified input, in `file`, where a build looks for it.
pub fn put(caches: Caches<'_>, input: &Input) -> Result<(), Error> {
    let place = match input.kind {
        Kind::Deb | Kind::Stanza => caches.builds.join(&input.path),
        Kind::Npm => npm::place(caches, input.integrity.as_deref().unwrap_or_default())?,
        Kind::Crate => return unpack_crate(&sources(caches.cargo), input),
    };
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder).at("create", folder)?;
    }
    fs::copy(&input.file, &place).map(drop).at("copy to", &place)
}

/// Unpacks it as `cargo vendor --versioned-dirs` does; the digest of the whole crate covers each file.
fn unpack_crate(sources: &Utf8Path, input: &Input) -> Result<(), Error> {
    let file = std::io::BufReader::new(File::open(&input.file).at("open", &input.file)?);
    let mut archive = tar::Archive::new(MultiGzDecoder::new(file));
    // Refuses entries outside the folder (documented at `unpack_in`).
    archive.unpack(sources).at("unpack", &input.file)?;
    let sha256 = Digest::of_file(&input.file).at("read", &input.file)?;
    let path = sources.join(format!("{}-{}", input.name, input.version)).join(".cargo-checksum.json");
    let text = serde_json::json!({ "files": {}, "package": sha256 }).to_string();
    fs::write(&path, text).at("write", &path)
}
