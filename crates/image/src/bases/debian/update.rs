//! Updates `debian.lock` to the archive's current packages, for every profile of the checkout.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use camino::Utf8Path;
use rave_process::progress::Sink;
use rave_spec::Spec;

use super::apt::{self, Apt, PackageRequest};
use super::lock::Lock;
use super::sources::Mirrors;
use super::version;
use crate::error::{Error, IoContext as _};
use crate::stage_cache::StageCache;
use crate::stage_runner::StageRunner;

/// What to update, and where to work.
#[derive(Debug, Clone, Copy)]
pub struct UpdateRequest<'a> {
    /// The checkout's own settings, without the user's.
    pub spec: &'a Spec,
    /// Where finished stages are kept.
    pub cache_dir: &'a Utf8Path,
    /// Where the logs of programs go.
    pub log_dir: &'a Utf8Path,
}

/// The lock for the archive's current state.
#[derive(Debug, Clone)]
pub struct UpdatedLock {
    /// The new lock; not yet written.
    pub lock: Lock,
    /// Names of packages whose version comes from the suite of security fixes.
    pub security: BTreeSet<String>,
}

/// Queries the archive; does not change the checkout.
pub fn renew(request: &UpdateRequest<'_>, sink: Sink<'_>) -> Result<UpdatedLock, Error> {
    for folder in [request.cache_dir, request.log_dir] {
        fs::create_dir_all(folder).at("create", folder)?;
    }
    let _lock = crate::build::lock(request.cache_dir, sink)?;
    crate::tempdir::sweep(request.cache_dir)?;
    let store = StageCache::open(request.cache_dir)?;
    let stages = StageRunner::new(store, request.cache_dir, request.log_dir, false, sink);
    stages.timed(apt::STAGE, || ask(&stages, request.spec))
}

fn ask(stages: &StageRunner<'_>, spec: &Spec) -> Result<UpdatedLock, Error> {
    let apt = Apt::open(stages, spec.debian.suite.as_str(), Mirrors::of(spec))?;
    let mut lock = Lock {
        suite: spec.debian.suite.to_string(),
        releases: apt.releases()?,
        profiles: BTreeMap::new(),
        packages: BTreeMap::new(),
    };
    let mut security = BTreeSet::new();
    for (name, profile) in &spec.profiles {
        let packages = spec.debian_packages(profile);
        for found in apt.resolve(PackageRequest { packages: &packages, recommends: false }, &[])? {
            if found.is_security {
                security.insert(found.package.name.clone());
            }
            let entry = lock.packages.entry(found.package.name.clone());
            let (_, profiles) = entry.or_insert_with(|| (found.package, BTreeSet::new()));
            profiles.insert(name.to_string());
        }
        lock.profiles.insert(name.to_string(), packages);
    }
    Ok(UpdatedLock { lock, security })
}

/// A package changed by an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageChange {
    /// Its name.
    pub name: String,
    /// The locked version; `None` if it is new.
    pub old: Option<String>,
    /// The archive's version; `None` if it is no longer needed.
    pub new: Option<String>,
    /// The kind of the change.
    pub kind: ChangeKind,
}

/// The kind of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// A newer version, from the suite of security fixes.
    Security,
    /// A newer version.
    Newer,
    /// An older version.
    Older,
    /// The same version with different bytes.
    Rebuilt,
    /// It was not needed before.
    Added,
    /// It is no longer needed.
    Removed,
}

/// The changes from one lock to the other: security fixes first, then by name.
pub fn changes(old: Option<&Lock>, renewed: &UpdatedLock) -> Vec<PackageChange> {
    let none = BTreeMap::new();
    let old = old.map_or(&none, |lock| &lock.packages);
    let new = &renewed.lock.packages;
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let change = |name: &String| {
        let (old, new) = (old.get(name).map(|(old, _)| old), new.get(name).map(|(new, _)| new));
        let kind = match (old, new) {
            (Some(old), Some(new)) => match version::compare(&old.version, &new.version) {
                std::cmp::Ordering::Less if renewed.security.contains(name) => ChangeKind::Security,
                std::cmp::Ordering::Less => ChangeKind::Newer,
                std::cmp::Ordering::Greater => ChangeKind::Older,
                std::cmp::Ordering::Equal if old.sha256 != new.sha256 => ChangeKind::Rebuilt,
                std::cmp::Ordering::Equal => return None,
            },
            (None, _) => ChangeKind::Added,
            (_, None) => ChangeKind::Removed,
        };
        let version = |package: &super::lock::LockedPackage| package.version.clone();
        Some(PackageChange { name: name.clone(), old: old.map(version), new: new.map(version), kind })
    };
    let mut changes: Vec<PackageChange> = names.into_iter().filter_map(change).collect();
    changes.sort_by_key(|change| change.kind);
    changes
}

#[cfg(test)]
mod tests {
    use super::super::lock::LockedPackage;
    use super::*;
    use crate::digest::Digest;

    fn lock(packages: &[(&str, &str)]) -> Lock {
        let package = |(name, version): &(&str, &str)| {
            let sha256 = Digest::of_bytes(version.as_bytes());
            let (name, version) = ((*name).to_owned(), version.trim_end_matches('!').to_owned());
            let package =
                LockedPackage { name: name.clone(), version, architecture: "all".into(), size: 1, sha256 };
            (name, (package, BTreeSet::new()))
        };
        let packages = packages.iter().map(package).collect();
        Lock { suite: "trixie".into(), releases: Vec::new(), profiles: BTreeMap::new(), packages }
    }

    #[test]
    fn security_fixes_are_listed_first() {
        let old = lock(&[("a", "1.9"), ("b", "2"), ("c", "1"), ("d", "2"), ("e", "1"), ("same", "1")]);
        let new =
            lock(&[("a", "1.10"), ("b", "2+deb13u1"), ("c", "1!"), ("d", "2~1"), ("f", "3"), ("same", "1")]);
        let renewed = UpdatedLock { lock: new, security: ["b", "same"].map(String::from).into() };
        let lines: Vec<String> = changes(Some(&old), &renewed)
            .into_iter()
            .map(|PackageChange { name, old, new, kind }| {
                let text = |version: Option<String>| version.unwrap_or_else(|| "-".into());
                format!("{name} {} {} {kind:?}", text(old), text(new))
            })
            .collect();
        let expected = [
            "b 2 2+deb13u1 Security",
            "a 1.9 1.10 Newer",
            "d 2 2~1 Older",
            "c 1 1 Rebuilt",
            "f - 3 Added",
            "e 1 - Removed",
        ];
        assert_eq!(lines, expected);
        assert_eq!(changes(Some(&renewed.lock), &renewed), []);
        assert_eq!(changes(None, &renewed).len(), 6);
    }
}
