//! `debian.lock`: the exact packages that the checkout's profiles are built from.
//! One fact per line, so that an update is readable as a diff. Text becomes lines, lines become a checked [`Lock`].

mod read;
mod types;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use camino::Utf8Path;
use rave_fs::Replace;

use super::date;
use crate::digest::Digest;
use crate::error::{Error, IoContext as _};

pub use types::{Lock, LockError, LockedPackage, Release};
use types::{MARK, VERSION};

/// The file's name, at the top of the checkout.
pub const FILE: &str = "debian.lock";

const HEAD: &str =
    "# The exact packages of the Debian base, by `cargo xtask update`; not to be edited by hand.\n";

impl Lock {
    /// Reads the lock of a checkout.
    pub fn read(root: &Utf8Path) -> Result<Self, Error> {
        let path = root.join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Error::NoLock { path }),
            other => other.at("read", &path)?,
        };
        Self::parse(&text).map_err(|problem| Error::BadLock { path, problem })
    }

    /// Reads a lock's text.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        read::validate(&read::lines(text)?)
    }

    /// The file's text; [`Lock::parse`] returns the same lock.
    pub fn render(&self) -> String {
        let mut text = format!("{HEAD}{MARK} {VERSION}\nsuite {}\n", self.suite);
        let mut line = |line: std::fmt::Arguments<'_>| {
            let _ = writeln!(text, "{line}");
        };
        for Release { codename, date, sha256 } in &self.releases {
            line(format_args!("release {codename} {} {sha256}", date::show(*date)));
        }
        for (profile, asked) in &self.profiles {
            line(format_args!("profile {profile} {}", joined(asked)));
        }
        for (LockedPackage { name, version, architecture, size, sha256 }, profiles) in self.packages.values()
        {
            let profiles = joined(profiles);
            line(format_args!("package {name} {version} {architecture} {size} {sha256} {profiles}"));
        }
        text
    }

    /// Writes the file, whole or not at all.
    pub fn write(&self, root: &Utf8Path) -> Result<(), Error> {
        let path = root.join(FILE);
        Replace::new(&path).write(self.render()).at("write", &path)
    }

    /// The date of the newest index, in seconds since 1970: the `SOURCE_DATE_EPOCH` if the environment sets none.
    pub fn date(&self) -> u64 {
        self.releases.iter().map(|release| release.date).max().unwrap_or_default()
    }

    /// SHA-256 of the file's text.
    pub fn digest(&self) -> Digest {
        Digest::of_bytes(self.render().as_bytes())
    }

    /// Every package of a guest with exactly these requested packages, if the lock was made for them.
    pub fn covering(&self, suite: &str, asked: &BTreeSet<String>) -> Option<Vec<LockedPackage>> {
        let (profile, _) = self.profiles.iter().find(|(_, known)| self.suite == suite && *known == asked)?;
        let needed = self.packages.values().filter(|(_, profiles)| profiles.contains(profile));
        Some(needed.map(|(package, _)| package.clone()).collect())
    }
}

fn joined(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
