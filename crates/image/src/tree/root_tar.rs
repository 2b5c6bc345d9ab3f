//! A tar of a root file system, and what is known about it.

use std::fs::File;
use std::io::Read as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::error::{Error, IoContext as _};
use crate::store::{Entry, Pending};

/// The tar's name in its stage's folder.
pub const TAR: &str = "root.tar";
const DESCRIPTION: &str = "root.json";

/// A block of the ext4 file system that will hold the files, in bytes.
pub const BLOCK: u64 = 4096;

/// An installed package of the base.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// Its name in the base's archive.
    pub name: String,
    /// Its version in the archive's own notation.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// KiB that it takes, as its maker counted (deb-control(5), `Installed-Size`).
    #[serde(default)]
    pub installed_kib: u64,
}

/// What a tree needs on a disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// Bytes of content, each file rounded up to [`BLOCK`].
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
}

impl Extent {
    /// Counts one entry of `size` bytes.
    pub fn add(&mut self, size: u64) {
        self.bytes += size.next_multiple_of(BLOCK);
        self.entries += 1;
    }
}

impl std::ops::Add for Extent {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, entries: self.entries + other.entries }
    }
}

/// A finished root file system.
#[derive(Debug, Clone)]
pub struct RootTar {
    /// The tar.
    pub path: Utf8PathBuf,
    /// Installed packages, sorted by name.
    pub packages: Vec<Package>,
    /// Its size on a disk.
    pub extent: Extent,
}

#[derive(Serialize, Deserialize)]
struct Description {
    packages: Vec<Package>,
    extent: Extent,
}

/// Reads the tar in a stage's folder once and writes its description beside it.
pub(crate) fn describe(pending: &Pending) -> Result<(), Error> {
    let tar = pending.file(TAR);
    let description = scan(&tar)?;
    let place = pending.file(DESCRIPTION);
    let text = serde_json::to_vec(&description).expect("plain data");
    std::fs::write(&place, text).at("write", &place)
}

impl RootTar {
    /// Opens a finished stage's result.
    pub(crate) fn open(entry: &Entry) -> Result<Self, Error> {
        let place = entry.file(DESCRIPTION);
        let text = std::fs::read(&place).at("read", &place)?;
        let description: Description = serde_json::from_slice(&text)
            .map_err(|error| Error::Damaged { path: place, detail: error.to_string() })?;
        Ok(Self { path: entry.file(TAR), packages: description.packages, extent: description.extent })
    }
}

fn scan(tar: &Utf8Path) -> Result<Description, Error> {
    let file = File::open(tar).at("open", tar)?;
    let mut archive = tar::Archive::new(file);
    let mut extent = Extent::default();
    let mut status = String::new();
    for entry in archive.entries_with_seek().at("read", tar)? {
        let mut entry = entry.at("read", tar)?;
        extent.add(entry.size());
        if entry.path_bytes().ends_with(b"var/lib/dpkg/status") {
            entry.read_to_string(&mut status).at("read the package list of", tar)?;
        }
    }
    Ok(Description { packages: installed(&status), extent })
}

/// Installed packages in dpkg's status file (deb822(5); `Status: install ok installed`).
fn installed(status: &str) -> Vec<Package> {
    let field = |stanza: &str, name: &str| {
        let line = stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map(str::to_owned)
    };
    let mut packages: Vec<Package> = status
        .split("\n\n")
        .filter(|stanza| field(stanza, "Status").is_some_and(|status| status.ends_with(" installed")))
        .filter_map(|stanza| {
            Some(Package {
                name: field(stanza, "Package")?,
                version: field(stanza, "Version")?,
                architecture: field(stanza, "Architecture")?,
                installed_kib: field(stanza, "Installed-Size")
                    .and_then(|size| size.parse().ok())
                    .unwrap_or(0),
            })
        })
        .collect();
    packages.sort();
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_are_listed_sorted() {
        let status = "Package: zsh\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5\nDescription: a\n \
                      Version: no\n\nPackage: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n\
                      Package: adduser\nStatus: install ok installed\nArchitecture: all\nVersion: 3.152\nInstalled-Size: 7\n";
        let found: Vec<_> = installed(status)
            .into_iter()
            .map(|p| (p.name, p.version, p.architecture, p.installed_kib))
            .collect();
        let expected = [("adduser", "3.152", "all", 7), ("zsh", "5", "amd64", 0)];
        assert_eq!(found, expected.map(|(n, v, a, size)| (n.to_owned(), v.to_owned(), a.to_owned(), size)));
    }

    #[test]
    fn extents_round_up_to_blocks() {
        let mut extent = Extent::default();
        for size in [0, 1, BLOCK, BLOCK + 1] {
            extent.add(size);
        }
        assert_eq!(extent, Extent { bytes: 4 * BLOCK, entries: 4 });
    }
}
