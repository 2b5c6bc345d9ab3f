//! The packages of a root file system: those of the lock, or apt's resolution if the lock does not cover them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use rave_process::progress::Event;
use serde::{Deserialize, Serialize};

use super::apt::{self, Apt, ArchivePackage, PackageRequest};
use super::deb_cache::DebCache;
use super::lock::{Lock, LockedPackage};
use super::sources::Mirrors;
use crate::digest::Hasher;
use crate::error::{Error, IoContext as _, UnavailablePackage};
use crate::stage_runner::StageRunner;

/// How packages are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackagePolicy<'a> {
    /// `debian.lock`; packages that it does not have, or that are no longer available, at the archive's versions.
    Lock,
    /// `debian.lock`; a locked package that is not available is an error.
    Frozen,
    /// Exactly these.
    Exactly(&'a [LockedPackage]),
}

/// Where packages may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkAccess {
    /// The cache, otherwise the archive.
    Allowed,
    /// Only the cache.
    Off,
}

/// Everything that the resolution depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResolveOptions<'a> {
    pub(crate) lock: &'a Lock,
    /// Where packages are fetched from instead of mmdebstrap's default archive.
    pub(crate) mirrors: Mirrors<'a>,
    pub(crate) packages: PackagePolicy<'a>,
    pub(crate) network: NetworkAccess,
    /// Query the archive again about packages that the lock does not cover.
    pub(crate) refresh: bool,
    pub(crate) cache_dir: &'a Utf8Path,
}

/// The exact packages of a root file system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// All of them, sorted.
    pub packages: Vec<LockedPackage>,
    /// Names of packages that are not in the lock.
    pub outside: Vec<String>,
    /// Packages whose version differs from the lock.
    pub differs: Vec<VersionDifference>,
}

/// A package whose version in the image differs from the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionDifference {
    /// Its name.
    pub name: String,
    /// The locked version.
    pub locked: String,
    /// The version in the image.
    pub built: String,
}

impl Resolution {
    fn exactly(packages: Vec<LockedPackage>) -> Self {
        let mut packages = packages;
        packages.sort();
        Self { packages, outside: Vec::new(), differs: Vec::new() }
    }

    /// Compares with the lock.
    fn of(packages: Vec<LockedPackage>, lock: &Lock) -> Self {
        let mut resolution = Self::exactly(packages);
        for package in &resolution.packages {
            match lock.packages.get(&package.name) {
                None => resolution.outside.push(package.name.clone()),
                Some((locked, _)) if locked.version != package.version => {
                    resolution.differs.push(VersionDifference {
                        name: package.name.clone(),
                        locked: locked.version.clone(),
                        built: package.version.clone(),
                    });
                }
                Some(_) => {}
            }
        }
        resolution
    }
}

/// The resolution, if it is known without querying the archive.
pub(crate) fn known_resolution(
    options: &ResolveOptions<'_>,
    suite: &str,
    asked: PackageRequest<'_>,
) -> Option<Resolution> {
    if let PackagePolicy::Exactly(packages) = options.packages {
        return Some(Resolution::exactly(packages.to_vec()));
    }
    let noted = || {
        let text = fs::read(note(options, suite, asked)).ok()?;
        serde_json::from_slice::<Resolution>(&text).ok()
    };
    let usable = |resolution: &Resolution| {
        let may_ask = options.refresh && options.network == NetworkAccess::Allowed;
        !may_ask && (options.packages == PackagePolicy::Lock || resolution.differs.is_empty())
    };
    let covered = || {
        if asked.recommends {
            None
        } else {
            options.lock.covering(suite, asked.packages).map(Resolution::exactly)
        }
    };
    noted().filter(usable).or_else(covered)
}

/// The file that caches the archive's answer, keyed by everything that the query depends on.
fn note(options: &ResolveOptions<'_>, suite: &str, asked: PackageRequest<'_>) -> Utf8PathBuf {
    let mut hasher = Hasher::default();
    hasher.field("lock", options.lock.digest().bytes());
    hasher.field("suite", suite.as_bytes());
    hasher.field("recommends", &[u8::from(asked.recommends)]);
    for package in asked.packages {
        hasher.field("package", package.as_bytes());
    }
    options.cache_dir.join(format!("debs/resolved-{}.json", hasher.finish().short()))
}

/// Fetches every package into the cache, and returns the final resolution.
pub(crate) fn fetch(
    stages: &StageRunner<'_>,
    options: &ResolveOptions<'_>,
    suite: &str,
    asked: PackageRequest<'_>,
    known: Option<Resolution>,
) -> Result<(DebCache, Resolution), Error> {
    let deb_cache = DebCache::open(options.cache_dir)?;
    let resolution = match known {
        Some(resolution) if deb_cache.missing(&resolution.packages).is_empty() => resolution,
        resolution => {
            refuse_offline(options, &deb_cache, asked, resolution.as_ref())?;
            stages.timed(apt::STAGE, || {
                from_archive(stages, options, &deb_cache, suite, asked, resolution.as_ref())
            })?
        }
    };
    report_differences(stages, &resolution);
    Ok((deb_cache, resolution))
}

fn refuse_offline(
    options: &ResolveOptions<'_>,
    deb_cache: &DebCache,
    asked: PackageRequest<'_>,
    resolution: Option<&Resolution>,
) -> Result<(), Error> {
    if options.network == NetworkAccess::Allowed {
        return Ok(());
    }
    let named = |package: &&LockedPackage| format!("{} {}", package.name, package.version);
    let missing = match resolution {
        Some(resolution) => deb_cache.missing(&resolution.packages).iter().map(named).collect(),
        // This request was never resolved: its packages in the lock say nothing about the whole.
        None => {
            asked.packages.iter().filter(|name| !options.lock.packages.contains_key(*name)).cloned().collect()
        }
    };
    Err(Error::Offline { missing })
}

fn from_archive(
    stages: &StageRunner<'_>,
    options: &ResolveOptions<'_>,
    deb_cache: &DebCache,
    suite: &str,
    asked: PackageRequest<'_>,
    resolution: Option<&Resolution>,
) -> Result<Resolution, Error> {
    let locked: Vec<&LockedPackage> = options.lock.packages.values().map(|(package, _)| package).collect();
    let apt = Apt::open(stages, suite, options.mirrors)?;
    let mut gone: BTreeSet<&str> = BTreeSet::new();
    if let Some(resolution) = resolution {
        let missing = deb_cache.missing(&resolution.packages);
        let available = apt.available(&missing)?;
        if available.len() == missing.len() {
            apt.download(&available, deb_cache)?;
            return Ok(resolution.clone());
        }
        let had: BTreeSet<&LockedPackage> = available.iter().map(|found| &found.package).collect();
        let lost = missing.into_iter().filter(|package| !had.contains(package)).collect::<Vec<_>>();
        gone.extend(lost.iter().map(|package| package.name.as_str()));
        if options.packages != PackagePolicy::Lock {
            let newest = apt.newest(&gone)?;
            let packages = lost.iter().map(|package| UnavailablePackage {
                name: package.name.clone(),
                locked: package.version.clone(),
                archive: newest.get(&package.name).cloned(),
            });
            return Err(Error::Unavailable { packages: packages.collect() });
        }
    }
    let kept = locked.iter().filter(|package| deb_cache.has(package)).map(|package| (*package).clone());
    apt.keep(deb_cache, &kept.collect::<Vec<_>>())?;
    let pins: Vec<&LockedPackage> =
        locked.into_iter().filter(|package| !gone.contains(package.name.as_str())).collect();
    resolve(&apt, options, deb_cache, suite, asked, &pins)
}

/// Resolves with apt, keeping the locked versions as far as possible, and caches the answer.
fn resolve(
    apt: &Apt<'_>,
    options: &ResolveOptions<'_>,
    deb_cache: &DebCache,
    suite: &str,
    asked: PackageRequest<'_>,
    pins: &[&LockedPackage],
) -> Result<Resolution, Error> {
    let found = match apt.resolve(asked, pins) {
        // A package that is not locked may require a newer version than the locked one.
        Err(Error::Command { .. }) if options.packages == PackagePolicy::Lock => apt.resolve(asked, &[])?,
        other => other?,
    };
    let wanted: Vec<ArchivePackage> =
        found.iter().filter(|found| !deb_cache.has(&found.package)).cloned().collect();
    apt.download(&wanted, deb_cache)?;
    let resolution = Resolution::of(found.into_iter().map(|found| found.package).collect(), options.lock);
    if options.packages == PackagePolicy::Frozen && !resolution.differs.is_empty() {
        let gone = resolution.differs.iter().map(|difference| UnavailablePackage {
            name: difference.name.clone(),
            locked: difference.locked.clone(),
            archive: Some(difference.built.clone()),
        });
        return Err(Error::Unavailable { packages: gone.collect() });
    }
    let text = serde_json::to_vec(&resolution).expect("plain data");
    let note = note(options, suite, asked);
    Replace::new(&note).unsynced().write(text).at("write", &note)?;
    Ok(resolution)
}

/// How many names a line shows.
const SHOWN: usize = 8;

fn report_differences(stages: &StageRunner<'_>, resolution: &Resolution) {
    for VersionDifference { name, locked, built } in &resolution.differs {
        let text = format!("{name}: {locked} of debian.lock is no longer available; using {built}");
        stages.report(Event::Warning { text: &text });
    }
    if !resolution.differs.is_empty() {
        let text = "this image differs from debian.lock; `cargo xtask update` renews the lock";
        stages.report(Event::Warning { text });
    }
    if !resolution.outside.is_empty() {
        let versions: BTreeMap<&str, &str> = resolution
            .packages
            .iter()
            .map(|package| (package.name.as_str(), package.version.as_str()))
            .collect();
        let name = |name: &String| format!("{name} {}", versions.get(name.as_str()).unwrap_or(&""));
        let mut names: Vec<String> = resolution.outside.iter().take(SHOWN).map(name).collect();
        if let Some(more) = resolution.outside.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            names.push(format!("{more} more"));
        }
        let text = format!("not in debian.lock, using the archive's versions: {}", names.join(", "));
        stages.report(Event::Note { text: &text });
    }
}
