//! Which packages a root file system is made of: those of the lock, or what apt finds where the lock does not say.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::progress::Event;
use serde::{Deserialize, Serialize};

use super::archive::{self, Archive, Asked, Found};
use super::debs::Debs;
use super::lock::{Lock, Locked};
use crate::digest::Hasher;
use crate::error::{Error, Gone};
use crate::stages::Stages;
use crate::store::write_whole;

/// What decides on the packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packages<'a> {
    /// `debian.lock`; what it does not have, and what the archive has no more, as the archive has it.
    Lock,
    /// `debian.lock`; what it has and cannot be had is an error.
    Frozen,
    /// Just these.
    Exactly(&'a [Locked]),
}

/// Where packages may come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The cache, else the archive.
    Allowed,
    /// The cache alone.
    Off,
}

/// All that decides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice<'a> {
    pub(crate) lock: &'a Lock,
    pub(crate) packages: Packages<'a>,
    pub(crate) network: Network,
    /// Ask the archive again about what the lock does not say.
    pub(crate) refresh: bool,
    pub(crate) cache_dir: &'a Utf8Path,
}

/// The packages of a root file system, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// All of them, sorted.
    pub packages: Vec<Locked>,
    /// Names of those that the lock does not have.
    pub outside: Vec<String>,
    /// Those that the lock has otherwise.
    pub differs: Vec<Difference>,
}

/// A locked package that is not in the image as the lock has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Its name.
    pub name: String,
    /// The locked version.
    pub locked: String,
    /// The version in the image.
    pub built: String,
}

impl Held {
    fn exactly(packages: Vec<Locked>) -> Self {
        let mut packages = packages;
        packages.sort();
        Self { packages, outside: Vec::new(), differs: Vec::new() }
    }

    /// Compares with the lock.
    fn of(packages: Vec<Locked>, lock: &Lock) -> Self {
        let mut held = Self::exactly(packages);
        for package in &held.packages {
            match lock.packages.get(&package.name) {
                None => held.outside.push(package.name.clone()),
                Some((locked, _)) if locked.version != package.version => held.differs.push(Difference {
                    name: package.name.clone(),
                    locked: locked.version.clone(),
                    built: package.version.clone(),
                }),
                Some(_) => {}
            }
        }
        held
    }
}

/// What is known without asking the archive.
pub(crate) fn known(choice: &Choice<'_>, suite: &str, asked: Asked<'_>) -> Option<Held> {
    if let Packages::Exactly(packages) = choice.packages {
        return Some(Held::exactly(packages.to_vec()));
    }
    let noted = || {
        let text = fs::read(note(choice, suite, asked)).ok()?;
        serde_json::from_slice::<Held>(&text).ok()
    };
    let usable = |held: &Held| {
        let may_ask = choice.refresh && choice.network == Network::Allowed;
        !may_ask && (choice.packages == Packages::Lock || held.differs.is_empty())
    };
    let covered = || {
        if asked.recommends { None } else { choice.lock.covering(suite, asked.packages).map(Held::exactly) }
    };
    noted().filter(usable).or_else(covered)
}

/// Where the archive's answer is kept: under all that the question depends on.
fn note(choice: &Choice<'_>, suite: &str, asked: Asked<'_>) -> Utf8PathBuf {
    let mut hasher = Hasher::default();
    hasher.field("lock", choice.lock.digest().bytes());
    hasher.field("suite", suite.as_bytes());
    hasher.field("recommends", &[u8::from(asked.recommends)]);
    for package in asked.packages {
        hasher.field("package", package.as_bytes());
    }
    choice.cache_dir.join(format!("debs/resolved-{}.json", hasher.finish().short()))
}

/// Brings every package into the cache, and says which they are in the end.
pub(crate) fn fetch(
    stages: &Stages<'_>,
    choice: &Choice<'_>,
    suite: &str,
    asked: Asked<'_>,
    known: Option<Held>,
) -> Result<(Debs, Held), Error> {
    let debs = Debs::open(choice.cache_dir)?;
    let held = match known {
        Some(held) if debs.missing(&held.packages).is_empty() => held,
        held => {
            refuse_offline(choice, &debs, asked, held.as_ref())?;
            stages
                .timed(archive::STAGE, || from_archive(stages, choice, &debs, suite, asked, held.as_ref()))?
        }
    };
    tell(stages, &held);
    Ok((debs, held))
}

fn refuse_offline(
    choice: &Choice<'_>,
    debs: &Debs,
    asked: Asked<'_>,
    held: Option<&Held>,
) -> Result<(), Error> {
    if choice.network == Network::Allowed {
        return Ok(());
    }
    let named = |package: &&Locked| format!("{} {}", package.name, package.version);
    let missing = match held {
        Some(held) => debs.missing(&held.packages).iter().map(named).collect(),
        // Never asked about: what of it is in the lock says nothing.
        None => {
            asked.packages.iter().filter(|name| !choice.lock.packages.contains_key(*name)).cloned().collect()
        }
    };
    Err(Error::Offline { missing })
}

fn from_archive(
    stages: &Stages<'_>,
    choice: &Choice<'_>,
    debs: &Debs,
    suite: &str,
    asked: Asked<'_>,
    held: Option<&Held>,
) -> Result<Held, Error> {
    let locked: Vec<&Locked> = choice.lock.packages.values().map(|(package, _)| package).collect();
    let archive = Archive::open(stages, suite)?;
    let mut gone: BTreeSet<&str> = BTreeSet::new();
    if let Some(held) = held {
        let missing = debs.missing(&held.packages);
        let available = archive.available(&missing)?;
        if available.len() == missing.len() {
            archive.download(&available, debs)?;
            return Ok(held.clone());
        }
        let had: BTreeSet<&Locked> = available.iter().map(|found| &found.package).collect();
        let lost = missing.into_iter().filter(|package| !had.contains(package)).collect::<Vec<_>>();
        gone.extend(lost.iter().map(|package| package.name.as_str()));
        if choice.packages != Packages::Lock {
            let newest = archive.newest(&gone)?;
            let packages = lost.iter().map(|package| Gone {
                name: package.name.clone(),
                locked: package.version.clone(),
                archive: newest.get(&package.name).cloned(),
            });
            return Err(Error::Gone { packages: packages.collect() });
        }
    }
    let kept = locked.iter().filter(|package| debs.has(package)).map(|package| (*package).clone());
    archive.keep(debs, &kept.collect::<Vec<_>>())?;
    let pins: Vec<&Locked> =
        locked.into_iter().filter(|package| !gone.contains(package.name.as_str())).collect();
    resolve(&archive, choice, debs, suite, asked, &pins)
}

/// Asks apt, keeping to the locked versions as far as that goes, and notes the answer.
fn resolve(
    archive: &Archive<'_>,
    choice: &Choice<'_>,
    debs: &Debs,
    suite: &str,
    asked: Asked<'_>,
    pins: &[&Locked],
) -> Result<Held, Error> {
    let found = match archive.resolve(asked, pins) {
        // A package from outside the lock may want a newer one of it than is locked.
        Err(Error::Command { .. }) if choice.packages == Packages::Lock => archive.resolve(asked, &[])?,
        other => other?,
    };
    let wanted: Vec<Found> = found.iter().filter(|found| !debs.has(&found.package)).cloned().collect();
    archive.download(&wanted, debs)?;
    let held = Held::of(found.into_iter().map(|found| found.package).collect(), choice.lock);
    if choice.packages == Packages::Frozen && !held.differs.is_empty() {
        let gone = held.differs.iter().map(|difference| Gone {
            name: difference.name.clone(),
            locked: difference.locked.clone(),
            archive: Some(difference.built.clone()),
        });
        return Err(Error::Gone { packages: gone.collect() });
    }
    let text = serde_json::to_vec(&held).expect("plain data");
    write_whole(&note(choice, suite, asked), &text)?;
    Ok(held)
}

/// How many names a line shows.
const SHOWN: usize = 8;

fn tell(stages: &Stages<'_>, held: &Held) {
    for Difference { name, locked, built } in &held.differs {
        let text =
            format!("{name}: debian.lock has {locked}, which cannot be had any more; taken is {built}");
        stages.report(Event::Warning { text: &text });
    }
    if !held.differs.is_empty() {
        let text = "this image differs from debian.lock; `cargo xtask update` renews the lock";
        stages.report(Event::Warning { text });
    }
    if !held.outside.is_empty() {
        let versions: BTreeMap<&str, &str> =
            held.packages.iter().map(|package| (package.name.as_str(), package.version.as_str())).collect();
        let name = |name: &String| format!("{name} {}", versions.get(name.as_str()).unwrap_or(&""));
        let mut names: Vec<String> = held.outside.iter().take(SHOWN).map(name).collect();
        if let Some(more) = held.outside.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            names.push(format!("{more} more"));
        }
        let text = format!("not in debian.lock, taken as the archive has them: {}", names.join(", "));
        stages.report(Event::Note { text: &text });
    }
}
