//! The components of a guest that are known from its build: the packages of the base, the npm lock, and the crates of
//! its program.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rave_image::Manifest;
use rave_image::inputs::LockedCrate;
use rave_image::licences;
use rave_image::manifest::{NixPackage, Origin};
use rave_image::npm_tools::NpmPackage;
use rave_image::tree::root_tar::InstalledPackage;
use serde::Deserialize;

use super::{Algorithm, Component, Hash, purl};

/// The guest's program.
const PROGRAM: &str = "rave-guest";

/// The texts that list the crates of the guest's program.
#[derive(Debug, Clone, Copy)]
pub struct Crates<'a> {
    /// `Cargo.lock` of the workspace.
    pub lock: &'a str,
    /// `Cargo.toml` of the program: its own dependencies without those of its tests.
    pub program: &'a str,
    /// The version of the workspace, which is the program's.
    pub version: &'a str,
    /// The output of `cargo metadata --format-version 1`, for the licences; none if it failed.
    pub metadata: Option<&'a str>,
}

/// Everything that is known to be in a guest from its build. `suite` is Debian's.
pub fn components(image: &Manifest, suite: &str, crates: &Crates<'_>) -> Result<Vec<Component>, String> {
    let mut components = packages(image, suite)?;
    components.extend(cargo(crates)?);
    Ok(components)
}

/// Only the packages of the base and of npm.
pub fn packages(image: &Manifest, suite: &str) -> Result<Vec<Component>, String> {
    let mut components: Vec<Component> = match &image.origin {
        Origin::Debian(origin) => origin.packages.iter().map(|package| debian(package, suite)).collect(),
        Origin::Nixos(origin) if origin.packages.is_empty() => {
            return Err("its build does not know the packages of its closure: build it again".into());
        }
        Origin::Nixos(origin) => origin.packages.iter().map(nixpkgs).collect(),
    };
    for package in &image.npm_packages {
        components.push(npm(package)?);
    }
    Ok(components)
}

fn debian(package: &InstalledPackage, suite: &str) -> Component {
    let InstalledPackage { name, version, architecture, sha256, licence, .. } = package;
    Component {
        purl: purl::deb(name, version, architecture, suite),
        name: name.clone(),
        version: version.clone(),
        hashes: vec![Hash { algorithm: Algorithm::Sha256, value: sha256.to_string() }],
        licence: licence.clone(),
    }
}

fn nixpkgs(package: &NixPackage) -> Component {
    let NixPackage { name, version, output, nar_sha256 } = package;
    Component {
        purl: purl::nix(name, version, output.as_deref()),
        name: name.clone(),
        version: version.clone(),
        hashes: vec![Hash { algorithm: Algorithm::Sha256, value: nar_sha256.to_string() }],
        // Only nixpkgs' expressions have it, which a closure does not contain.
        licence: None,
    }
}

fn npm(package: &NpmPackage) -> Result<Component, String> {
    let NpmPackage { name, version, integrity, licence } = package;
    Ok(Component {
        purl: purl::npm(name, version),
        name: name.clone(),
        version: version.clone(),
        hashes: vec![hash(integrity).map_err(|why| format!("npm package {name}: {why}"))?],
        licence: licence.clone(),
    })
}

/// A Subresource Integrity string as a digest.
fn hash(integrity: &str) -> Result<Hash, String> {
    let (algorithm, value) = integrity.split_once('-').ok_or("its integrity has no algorithm")?;
    let (algorithm, length) = match algorithm {
        "sha512" => (Algorithm::Sha512, 64),
        "sha256" => (Algorithm::Sha256, 32),
        "sha1" => (Algorithm::Sha1, 20),
        other => return Err(format!("its integrity is of {other}")),
    };
    let bytes = STANDARD.decode(value).map_err(|error| format!("its integrity is not Base64: {error}"))?;
    if bytes.len() != length {
        return Err(format!("its integrity has {} bytes, not {length}", bytes.len()));
    }
    let value = bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}"); // a String takes all
        digits
    });
    Ok(Hash { algorithm, value })
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<LockPackage>,
}

#[derive(Deserialize, Clone)]
struct LockPackage {
    name: String,
    version: String,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

/// A package in Cargo's metadata (`cargo metadata`, doc.rust-lang.org/cargo/commands/cargo-metadata.html).
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
}

#[derive(Deserialize)]
struct MetadataPackage {
    name: String,
    version: String,
    license: Option<String>,
}

/// Licences by name and version.
fn crate_licences(metadata: Option<&str>) -> Result<BTreeMap<(String, String), String>, String> {
    let Some(text) = metadata else { return Ok(BTreeMap::new()) };
    let metadata: Metadata =
        serde_json::from_str(text).map_err(|error| format!("cargo metadata: {error}"))?;
    let licence = |package: MetadataPackage| {
        let licence = licences::of_spdx(&package.license?)?;
        Some(((package.name, package.version), licence))
    };
    Ok(metadata.packages.into_iter().filter_map(licence).collect())
}

/// The packages of `Cargo.lock` from a registry.
pub fn locked_crates(lock: &str) -> Result<Vec<LockedCrate>, String> {
    let lock: Lock = toml::from_str(lock).map_err(|error| format!("Cargo.lock: {error}"))?;
    let of_registry = lock.package.into_iter().filter_map(|package| {
        let sha256 = package.checksum?.parse();
        let LockPackage { name, version, .. } = package;
        Some(match sha256 {
            Ok(sha256) => Ok(LockedCrate { name, version, sha256 }),
            Err(_) => Err(format!("Cargo.lock: {name} {version} has a checksum other than SHA-256")),
        })
    });
    of_registry.collect()
}

#[derive(Deserialize)]
struct Program {
    #[serde(default)]
    dependencies: BTreeMap<String, toml::Value>,
}

/// The program and its crates. Crates of unused features and platforms are included: `Cargo.lock` does not distinguish
/// them.
fn cargo(crates: &Crates<'_>) -> Result<Vec<Component>, String> {
    let lock: Lock = toml::from_str(crates.lock).map_err(|error| format!("Cargo.lock: {error}"))?;
    let program: Program = toml::from_str(crates.program).map_err(|error| format!("{PROGRAM}: {error}"))?;
    let licences = crate_licences(crates.metadata)?;
    let mut wanted: Vec<String> = program.dependencies.into_keys().collect();
    let mut seen = BTreeSet::new();
    let own = Component {
        purl: purl::cargo(PROGRAM, crates.version),
        name: PROGRAM.into(),
        version: crates.version.into(),
        hashes: Vec::new(),
        licence: Some("MIT".into()),
    };
    let mut components = vec![own];
    while let Some(dependency) = wanted.pop() {
        if !seen.insert(dependency.clone()) {
            continue;
        }
        // `name`, or `name version` if the lock has several versions.
        let (name, version) = dependency
            .split_once(' ')
            .map_or((dependency.as_str(), None), |(name, rest)| (name, rest.split(' ').next()));
        let fits =
            |one: &&LockPackage| one.name == name && version.is_none_or(|version| one.version == version);
        let package = lock.package.iter().find(fits);
        let package = package.ok_or_else(|| format!("Cargo.lock has no {dependency}"))?;
        let hashes =
            package.checksum.iter().map(|value| Hash { algorithm: Algorithm::Sha256, value: value.clone() });
        components.push(Component {
            purl: purl::cargo(&package.name, &package.version),
            name: package.name.clone(),
            version: package.version.clone(),
            hashes: hashes.collect(),
            licence: licences.get(&(package.name.clone(), package.version.clone())).cloned(),
        });
        wanted.extend(package.dependencies.iter().cloned());
    }
    Ok(components)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_crates_of_the_program_are_found_and_no_dev_dependencies() {
        let crates = Crates {
            lock: include_str!("../../../../Cargo.lock"),
            program: include_str!("../../../guest/Cargo.toml"),
            version: "0.1.0",
            metadata: Some(
                r#"{"packages": [{"name": "serde", "version": "1.0.229", "license": "MIT/Apache-2.0"},
                {"name": "itoa", "version": "0.0.1", "license": "MIT"}]}"#,
            ),
        };
        let found = cargo(&crates).unwrap();
        let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
        for name in ["rave-guest", "serde", "serde_json", "itoa", "memchr"] {
            assert!(names.contains(&name), "{names:?}");
        }
        for name in ["tempfile", "proptest"] {
            assert!(!names.contains(&name), "{names:?}");
        }
        let licence = |name: &str| found.iter().find(|one| one.name == name).unwrap().licence.as_deref();
        assert_eq!((licence("serde"), licence("itoa")), (Some("MIT OR Apache-2.0"), None));
        assert!(found[1..].iter().all(|one| one.hashes[0].value.len() == 64));
    }

    #[test]
    fn an_integrity_string_is_parsed_as_a_digest() {
        let found = hash("sha1-AAECAwQFBgcICQoLDA0ODxAREhM=").unwrap();
        let expected = "000102030405060708090a0b0c0d0e0f10111213";
        assert_eq!((found.algorithm, found.value.as_str()), (Algorithm::Sha1, expected));
        for wrong in ["sha1-AAEC", "sha512-AAECAwQFBgcICQoLDA0ODxAREhM=", "md5-AAEC", "AAEC", "sha1-?"] {
            assert!(hash(wrong).is_err(), "{wrong}");
        }
    }
}
