//! An input, and where inputs lie.

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// What an input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A package of Debian.
    Deb,
    /// The archive's words about it.
    Stanza,
    /// A package of npm.
    Npm,
    /// A crate.
    Crate,
}

/// An input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// What it is.
    pub kind: Kind,
    /// Its name where it comes from.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its path among all inputs: relative, of plain characters.
    pub path: String,
    /// Its Subresource Integrity string; of npm's packages.
    pub integrity: Option<String>,
    /// What the lock says that it is, where that is a SHA-256.
    pub locked: Option<Digest>,
    /// The file on this host.
    pub file: Utf8PathBuf,
}

/// Where inputs lie on this host.
#[derive(Debug, Clone, Copy)]
pub struct Caches<'a> {
    /// The cache of builds.
    pub builds: &'a Utf8Path,
    /// `CARGO_HOME`.
    pub cargo: &'a Utf8Path,
}
