//! A lock as a value.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;

/// The first word and the version of the file format.
pub(super) const MARK: &str = "rave-debian-lock";
pub(super) const VERSION: &str = "1";

/// An exact package of the archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version in the archive's notation (deb-version(7)).
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// Bytes of its file.
    pub size: u64,
    /// SHA-256 of its file.
    pub sha256: Digest,
}

/// A signed index of the archive, as it was when the lock was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// Its code name, such as `trixie-security`.
    pub codename: String,
    /// Its `Date`, in seconds since 1970.
    pub date: u64,
    /// SHA-256 of the `InRelease` file, including its signature.
    pub sha256: Digest,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The suite of rave.toml.
    pub suite: String,
    /// The indexes that the packages were taken from, sorted by code name; at least one.
    pub releases: Vec<Release>,
    /// The packages that each profile requests.
    pub profiles: BTreeMap<String, BTreeSet<String>>,
    /// Every package that any profile needs, by name, with the profiles that need it.
    pub packages: BTreeMap<String, (LockedPackage, BTreeSet<String>)>,
}

/// Why a text is not a valid lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {detail}")]
pub struct LockError {
    /// Counted from 1; the line after the last one if something is missing.
    pub line: usize,
    /// What is wrong there.
    pub detail: String,
}
