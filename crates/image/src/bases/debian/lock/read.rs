//! From text to a checked lock.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::types::{Lock, LockError, LockedPackage, MARK, Release, VERSION};
use crate::bases::debian::date;

/// One parsed line.
pub(super) enum Line {
    Mark,
    Suite(String),
    Release(Release),
    Profile(String, BTreeSet<String>),
    Package(LockedPackage, BTreeSet<String>),
}

/// Parses each line by itself.
pub(super) fn lines(text: &str) -> Result<Vec<Line>, LockError> {
    let meaningful = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    meaningful
        .map(|(index, line)| self::line(line).map_err(|detail| LockError { line: index + 1, detail }))
        .collect()
}

fn line(line: &str) -> Result<Line, String> {
    match line.split(' ').collect::<Vec<_>>()[..] {
        [MARK, VERSION] => Ok(Line::Mark),
        [MARK, other] => Err(format!("its version is {other:?}, this one reads {VERSION}")),
        ["suite", suite] => identifier("suite", suite).map(Line::Suite),
        ["release", codename, date, sha256] => Ok(Line::Release(Release {
            codename: identifier("code name", codename)?,
            date: date::parse(date)
                .ok_or_else(|| format!("{date:?} is not a date such as 2026-11-14T09:53:00Z"))?,
            sha256: sha256.parse()?,
        })),
        ["profile", name, asked] => Ok(Line::Profile(identifier("profile", name)?, names(asked)?)),
        ["package", name, version, architecture, size, sha256, profiles] => {
            let package = LockedPackage {
                name: identifier("package", name)?,
                version: self::version(version)?,
                architecture: self::architecture(architecture)?,
                size: u64::from_str(size).map_err(|_| format!("{size:?} is not a size in bytes"))?,
                sha256: sha256.parse()?,
            };
            Ok(Line::Package(package, names(profiles)?))
        }
        _ => Err("expected suite, release, profile or package with their words, one space between".into()),
    }
}

/// Names end up on command lines and in file names: their characters are restricted so that they cannot be
/// misinterpreted.
fn identifier(what: &str, text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+-._".contains(&byte);
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    if starts_well && text.bytes().all(plain) {
        Ok(text.into())
    } else {
        Err(format!("{text:?} is not a {what}"))
    }
}

fn version(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.:~".contains(&byte);
    let starts_well = text.starts_with(|c: char| c.is_ascii_digit());
    if starts_well && text.bytes().all(plain) {
        Ok(text.into())
    } else {
        Err(format!("{text:?} is not a version"))
    }
}

fn architecture(text: &str) -> Result<String, String> {
    if ["amd64", "all"].contains(&text) {
        Ok(text.into())
    } else {
        Err(format!("{text:?}: expected amd64 or all"))
    }
}

fn names(text: &str) -> Result<BTreeSet<String>, String> {
    text.split(',').map(|name| identifier("name", name)).collect()
}

/// Checks across lines.
pub(super) fn validate(lines: &[Line]) -> Result<Lock, LockError> {
    let mut marks = 0;
    let mut suite = None;
    let mut lock = Lock {
        suite: String::new(),
        releases: Vec::new(),
        profiles: std::collections::BTreeMap::new(),
        packages: std::collections::BTreeMap::new(),
    };
    let whole = |detail: String| LockError { line: lines.len() + 1, detail };
    for line in lines {
        match line {
            Line::Mark => marks += 1,
            Line::Suite(name) if suite.is_none() => suite = Some(name.clone()),
            Line::Suite(_) => return Err(whole("there are two suites".into())),
            Line::Release(release) => lock.releases.push(release.clone()),
            Line::Profile(name, asked) => {
                if lock.profiles.insert(name.clone(), asked.clone()).is_some() {
                    return Err(whole(format!("profile {name} is listed twice")));
                }
            }
            Line::Package(package, profiles) => {
                let entry = (package.clone(), profiles.clone());
                if lock.packages.insert(package.name.clone(), entry).is_some() {
                    return Err(whole(format!("package {} is listed twice", package.name)));
                }
            }
        }
    }
    if marks != 1 {
        return Err(whole(format!("expected one line `{MARK} {VERSION}`")));
    }
    lock.suite = suite.ok_or_else(|| whole("there is no suite".into()))?;
    lock.releases.sort_by(|a, b| a.codename.cmp(&b.codename));
    if lock.releases.is_empty() {
        return Err(whole("there is no release".into()));
    }
    if let Some(twice) = lock.releases.windows(2).find(|pair| pair[0].codename == pair[1].codename) {
        return Err(whole(format!("release {} is listed twice", twice[0].codename)));
    }
    for (package, profiles) in lock.packages.values() {
        if let Some(unknown) = profiles.iter().find(|profile| !lock.profiles.contains_key(*profile)) {
            return Err(whole(format!(
                "package {} names the profile {unknown}, which does not exist",
                package.name
            )));
        }
    }
    for (profile, asked) in &lock.profiles {
        let lacks = |name: &&String| !lock.packages.get(*name).is_some_and(|(_, in_)| in_.contains(profile));
        if let Some(lacking) = asked.iter().find(lacks) {
            return Err(whole(format!("profile {profile} asks for {lacking}, which is not locked for it")));
        }
    }
    Ok(lock)
}
