//! An input, and where inputs are stored.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The kind of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A package of Debian.
    Deb,
    /// The archive's description of a package.
    Stanza,
    /// A package of npm.
    Npm,
    /// A crate.
    Crate,
}

/// An input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its kind.
    pub kind: Kind,
    /// Its name in its archive or registry.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its path among all inputs: relative, with plain characters.
    pub path: String,
    /// Its Subresource Integrity string; only for npm packages.
    pub integrity: Option<String>,
    /// Its SHA-256 in the lock, if the lock has one.
    pub locked: Option<Digest>,
    /// The file on this host.
    pub file: Utf8PathBuf,
}

/// Where inputs are stored on this host.
#[derive(Debug, Clone, Copy)]
pub struct Caches<'a> {
    /// The cache of builds.
    pub builds: &'a Utf8Path,
    /// `CARGO_HOME`.
    pub cargo: &'a Utf8Path,
}
