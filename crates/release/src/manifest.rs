//! `manifest.json` of a release: its content by profile and format. `docs/release-manifest.schema.json` describes its
//! JSON.
//! Two builds of one commit write the same bytes: nothing depends on the host, and the only time is that of the
//! sources.

use std::collections::BTreeSet;

use camino::Utf8Path;
use rave_image::digest::Digest;
use rave_spec::{Base, Format};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::relative_path::RelativePath;
use crate::strict_json;

/// The schema version.
pub const SCHEMA: u32 = 1;

/// Maximum size of the file, bytes.
pub const LIMIT: u64 = 4 << 20;

/// Maximum number of files in a release.
const MAX_FILES: usize = 5000;

/// Maximum number of profiles in a release.
const MAX_PROFILES: usize = 100;

/// Whether a word can be printed, and be part of a file name.
fn is_plain(word: &str) -> bool {
    (1..=100).contains(&word.len())
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Always `rave`.
    pub name: String,
    /// The release's version.
    pub version: Version,
    /// What built the disks.
    pub base: Base,
    /// The commit, in hexadecimal digits.
    pub commit: String,
    /// Timestamp of the built files, seconds since 1970.
    pub source_date_epoch: u64,
    /// Whether it is for tests alone: its packages are not those of its base.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub payload: bool,
    /// The profiles, in the requested order.
    pub profiles: Vec<ProfileRelease>,
    /// The archive of the builds' downloads; none if the release omits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<ReleaseFile>,
}

/// A released profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileRelease {
    /// Its name.
    pub profile: String,
    /// The guest's architecture: `x86_64`.
    pub arch: String,
    /// The digest of the guest's files, the same in every format (docs/reproducible.md). None on the NixOS base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Digest>,
    /// Whether the user has the password of the sources, which everybody knows.
    pub default_password: bool,
    /// One of each format.
    pub artifacts: Vec<Artifact>,
    /// The bills of materials.
    pub bills: Vec<Bill>,
}

/// An artifact: one file or more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// Its format.
    pub format: Format,
    /// Its files, the bootable one first.
    pub files: Vec<ReleaseFile>,
}

/// A file of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseFile {
    /// Its name in the release's folder.
    pub name: RelativePath,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// Its unpacked content, if it is compressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unpacked: Option<Content>,
    /// The parts that it is split into; empty if it is not split.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Part>,
}

/// Some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Content {
    /// How many.
    pub size: u64,
    /// Their SHA-256.
    pub sha256: Digest,
}

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name in the release's folder.
    pub name: RelativePath,
    /// Bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

/// A bill of materials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bill {
    /// `cyclonedx-1.6` or `spdx-2.3`.
    pub kind: String,
    /// Its name in the release's folder.
    pub name: RelativePath,
    /// Bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Digest,
}

impl Manifest {
    /// Reads the file in the folder of a release.
    pub fn read(folder: &Utf8Path) -> Result<Self, Error> {
        let bytes = crate::folder::read(folder, crate::names::MANIFEST, LIMIT)?;
        Self::parse(&bytes).map_err(|why| Error::damaged(folder.join(crate::names::MANIFEST), why))
    }

    /// Parses the file's bytes and refuses invalid values.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value = strict_json::value(bytes, LIMIT)?;
        // The schema first: errors about fields of another schema would be confusing.
        match value.get("schema").and_then(serde_json::Value::as_u64) {
            Some(schema) if schema == u64::from(SCHEMA) => {}
            Some(schema) => return Err(format!("its schema is {schema}, this version reads {SCHEMA}")),
            None => return Err("it has no schema".into()),
        }
        let manifest: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<(), String> {
        if self.name != crate::names::PRODUCT {
            return Err(format!("it describes {:?}, not {}", self.name, crate::names::PRODUCT));
        }
        if self.profiles.len() > MAX_PROFILES {
            return Err(format!(
                "it has {} profiles, at most {MAX_PROFILES} are allowed",
                self.profiles.len()
            ));
        }
        let words = self.profiles.iter().flat_map(|profile| [&profile.profile, &profile.arch]);
        let mut words = words.chain(self.bills().map(|bill| &bill.kind)).chain([&self.commit]);
        if let Some(word) = words.find(|word| !is_plain(word)) {
            return Err(format!("{word:?} contains characters other than letters, digits and ._-"));
        }
        let mut names = BTreeSet::new();
        for name in self.listed() {
            if !names.insert(name) {
                return Err(format!("{name} occurs twice"));
            }
        }
        if names.len() > MAX_FILES {
            return Err(format!("it has {} files, at most {MAX_FILES} are allowed", names.len()));
        }
        for file in self.files() {
            let sizes = file.parts.iter().try_fold(0_u64, |sum, part| sum.checked_add(part.size));
            if !file.parts.is_empty() && sizes != Some(file.size) {
                return Err(format!("the parts of {} are not as long as it is", file.name));
            }
            if !file.parts.is_sorted_by(|a, b| a.name < b.name) {
                return Err(format!("the parts of {} are not in the order of their names", file.name));
            }
        }
        if self.profiles.iter().any(|profile| profile.artifacts.iter().any(|one| one.files.is_empty())) {
            return Err("an artifact has no file".into());
        }
        Ok(())
    }

    /// Every file of every artifact, and the archive of inputs.
    pub fn files(&self) -> impl Iterator<Item = &ReleaseFile> {
        let artifacts = self.profiles.iter().flat_map(|profile| &profile.artifacts);
        artifacts.flat_map(|artifact| &artifact.files).chain(&self.inputs)
    }

    /// Every bill of materials.
    pub fn bills(&self) -> impl Iterator<Item = &Bill> {
        self.profiles.iter().flat_map(|profile| &profile.bills)
    }

    /// All names in it: whole files, parts and bills.
    fn listed(&self) -> impl Iterator<Item = &RelativePath> {
        let parts = self.files().flat_map(|file| &file.parts).map(|part| &part.name);
        let bills = self.bills().map(|bill| &bill.name);
        self.files().map(|file| &file.name).chain(parts).chain(bills)
    }

    /// The file's text.
    #[expect(clippy::missing_panics_doc, reason = "plain data always serialises")]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("plain data") + "\n"
    }
}
