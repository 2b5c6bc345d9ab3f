//! A tar of a root file system, and its description.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Read as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::bases::debian::lock::LockedPackage;
use crate::digest::Digest;
use crate::error::{Error, IoContext as _};
use crate::stage_cache::{CachedStage, PendingStage};
use crate::tree::copyright_files::CopyrightFiles;

/// The tar's name in its stage's folder.
pub const TAR: &str = "root.tar";
const DESCRIPTION: &str = "root.json";

/// The block size of the ext4 file system that will contain the files, in bytes.
pub const BLOCK: u64 = 4096;

/// An installed package of the base.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstalledPackage {
    /// Its name in the base's archive.
    pub name: String,
    /// Its version in the archive's own notation.
    pub version: String,
    /// `amd64` or `all`.
    pub architecture: String,
    /// Its installed size according to its maintainer, KiB (deb-control(5), `Installed-Size`).
    #[serde(default)]
    pub installed_kib: u64,
    /// Bytes of its file in the archive.
    pub size: u64,
    /// SHA-256 of its file in the archive.
    pub sha256: Digest,
    /// The licences of its source package as an SPDX expression, if its copyright file is machine-readable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
}

/// The space that a tree needs on a disk.
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
    pub packages: Vec<InstalledPackage>,
    /// URLs of the archives that its apt is configured with, sorted.
    pub archives: Vec<String>,
    /// Its size on a disk.
    pub extent: Extent,
}

#[derive(Serialize, Deserialize)]
struct Description {
    packages: Vec<InstalledPackage>,
    archives: Vec<String>,
    extent: Extent,
}

/// Reads the tar in a stage's folder once and writes its description beside it.
/// Every installed package must be in `files`, which the tar was made from.
pub(crate) fn describe(pending: &PendingStage, files: &[LockedPackage]) -> Result<(), Error> {
    let tar = pending.file(TAR);
    let description = scan(&tar, files)?;
    let place = pending.file(DESCRIPTION);
    let text = serde_json::to_vec(&description).expect("plain data");
    std::fs::write(&place, text).at("write", &place)
}

impl RootTar {
    /// Opens a finished stage's result.
    pub(crate) fn open(entry: &CachedStage) -> Result<Self, Error> {
        let place = entry.file(DESCRIPTION);
        let text = std::fs::read(&place).at("read", &place)?;
        let description: Description = serde_json::from_slice(&text)
            .map_err(|error| Error::Damaged { path: place, detail: error.to_string() })?;
        let Description { packages, archives, extent } = description;
        Ok(Self { path: entry.file(TAR), packages, archives, extent })
    }
}

fn scan(tar: &Utf8Path, files: &[LockedPackage]) -> Result<Description, Error> {
    let file = File::open(tar).at("open", tar)?;
    let mut archive = tar::Archive::new(file);
    let mut extent = Extent::default();
    let (mut status, mut sources) = (String::new(), String::new());
    let mut copyright_files = CopyrightFiles::default();
    for entry in archive.entries_with_seek().at("read", tar)? {
        let mut entry = entry.at("read", tar)?;
        extent.add(entry.size());
        copyright_files.record(&mut entry).at("read a copyright file of", tar)?;
        if entry.path_bytes().ends_with(b"var/lib/dpkg/status") {
            entry.read_to_string(&mut status).at("read the package list of", tar)?;
        } else if entry.path_bytes().ends_with(b"etc/apt/sources.list") {
            entry.read_to_string(&mut sources).at("read apt's sources of", tar)?;
        }
    }
    let mut packages =
        installed(&status, files).map_err(|detail| Error::Damaged { path: tar.to_owned(), detail })?;
    for package in &mut packages {
        package.licence = copyright_files.licence(&package.name);
    }
    Ok(Description { packages, archives: archives(&sources), extent })
}

/// The URLs of sources.list(5): `deb [OPTION...] URL SUITE COMPONENT...`.
fn archives(sources: &str) -> Vec<String> {
    let url = |line: &str| {
        let rest = line.strip_prefix("deb ")?.trim_start();
        let rest = if rest.starts_with('[') { rest.split_once(']')?.1 } else { rest };
        rest.split_whitespace().next().map(str::to_owned)
    };
    let urls: BTreeSet<String> = sources.lines().filter_map(url).collect();
    urls.into_iter().collect()
}

/// Installed packages in dpkg's status file (deb822(5); `Status: install ok installed`). They must equal the packages
/// in `files`: the key covers the latter, the manifest lists the former.
fn installed(status: &str, files: &[LockedPackage]) -> Result<Vec<InstalledPackage>, String> {
    fn field<'a>(stanza: &'a str, name: &str) -> &'a str {
        stanza.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
    }
    let mut files: HashMap<(&str, &str), &LockedPackage> =
        files.iter().map(|file| ((file.name.as_str(), file.version.as_str()), file)).collect();
    let mut packages = Vec::new();
    for stanza in status.split("\n\n").filter(|stanza| field(stanza, "Status").ends_with(" installed")) {
        let (name, version) = (field(stanza, "Package"), field(stanza, "Version"));
        let file = files.remove(&(name, version));
        let file = file.ok_or_else(|| format!("{name} {version} is installed, and was not to be"))?;
        packages.push(InstalledPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: field(stanza, "Architecture").to_owned(),
            installed_kib: field(stanza, "Installed-Size").parse().unwrap_or(0),
            size: file.size,
            sha256: file.sha256,
            licence: None,
        });
    }
    if let Some((name, version)) = files.into_keys().min() {
        return Err(format!("{name} {version} was to be installed, and is not"));
    }
    packages.sort();
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_are_listed_in_order() {
        let status = "Package: zsh\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5\nDescription: a\n \
                      Version: no\n\nPackage: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n\
                      Package: adduser\nStatus: install ok installed\nArchitecture: all\nVersion: 3.152\nInstalled-Size: 7\n";
        let file = |name: &str, version: &str, size| LockedPackage {
            name: name.into(),
            version: version.into(),
            architecture: "all".into(),
            size,
            sha256: Digest::of_bytes(name.as_bytes()),
        };
        let files = [file("adduser", "3.152", 9), file("zsh", "5", 8)];
        let found: Vec<_> = installed(status, &files)
            .unwrap()
            .into_iter()
            .map(|p| (p.name, p.version, p.architecture, p.installed_kib, p.size))
            .collect();
        let expected = [("adduser", "3.152", "all", 7, 9), ("zsh", "5", "amd64", 0, 8)];
        let owned =
            |(n, v, a, kib, size): (&str, &str, &str, u64, u64)| (n.into(), v.into(), a.into(), kib, size);
        assert_eq!(found, expected.map(owned));
        assert_eq!(installed(status, &files[..1]).unwrap_err(), "zsh 5 is installed, and was not to be");
        let more = [&files[..], &[file("vim", "9", 1)]].concat();
        assert_eq!(installed(status, &more).unwrap_err(), "vim 9 was to be installed, and is not");
    }

    #[test]
    fn each_archive_of_a_sources_list_is_named_once() {
        let sources = "# deb http://no.example/ x\ndeb http://deb.example/debian trixie main\n\
                       deb [arch=amd64 trusted=yes] https://b.example trixie main\n\
                       deb http://deb.example/debian trixie-updates main\ndeb-src http://no.example/ x\n";
        assert_eq!(archives(sources), ["http://deb.example/debian", "https://b.example"]);
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
