//! The home: the checkout whose settings, profiles and sources a program works with.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};

use super::dirs::utf8;
use crate::command_error::CommandError;

/// Names the home of the program `rave`.
const VARIABLE: &str = "RAVE_HOME";

/// What a home and the program must agree on: names and limits that Rust shares with Nix, and the schema of reports. A
/// program works with every commit in which they are the same.
const CONTRACT: [(&str, &str); 2] = [
    ("nix/facts.json", include_str!("../../../../nix/facts.json")),
    ("docs/smoke-report.schema.json", include_str!("../../../../docs/smoke-report.schema.json")),
];

/// The checkout that `cargo xtask` runs in: found from xtask's manifest folder as set by `cargo run`, otherwise from
/// the current folder: the nearest folder upwards with a rave.toml.
pub fn checkout() -> anyhow::Result<Utf8PathBuf> {
    let start = match env::var_os("CARGO_MANIFEST_DIR") {
        Some(dir) => PathBuf::from(dir),
        None => current_folder()?,
    };
    Ok(nearest(&utf8(&start)?)?)
}

/// The home of `rave`: `RAVE_HOME`, otherwise the checkout that it was `installed` from, otherwise, for a program that
/// was not installed, the nearest folder with a rave.toml, if the program was built in it: a rave.toml of another
/// project is ignored.
pub fn home(installed: Option<&str>) -> anyhow::Result<Utf8PathBuf> {
    let variable = env::var_os(VARIABLE).filter(|path| !path.is_empty());
    match choose(variable, installed) {
        Choice::Variable(path) => {
            let home = utf8(&std::path::absolute(path)?)?;
            if !home.join("rave.toml").is_file() {
                return Err(CommandError::usage(format!("{VARIABLE}: no rave.toml in {home}"))
                    .remedy("set it to a checkout of RAVE, or unset it")
                    .into());
            }
            Ok(fitting(home)?)
        }
        Choice::Installed(path) => Ok(fitting(still_there(path.into())?)?),
        Choice::Nearest => Ok(own(nearest(&utf8(&current_folder()?)?)?)?),
    }
}

/// `home`, if this program is inside it.
fn own(home: Utf8PathBuf) -> Result<Utf8PathBuf, CommandError> {
    let program = env::current_exe().and_then(fs::canonicalize);
    let is_own = |program: PathBuf| home.canonicalize().is_ok_and(|home| program.starts_with(home));
    if program.is_ok_and(is_own) {
        return Ok(home);
    }
    Err(CommandError::usage(format!("{home} is not the checkout that this program was built in"))
        .detail("its rave.toml is ignored")
        .remedy(format!(
            "set {VARIABLE} to a checkout of RAVE that you trust, or run `cargo xtask install` in one"
        )))
}

fn still_there(home: Utf8PathBuf) -> Result<Utf8PathBuf, CommandError> {
    if home.join("rave.toml").is_file() {
        return Ok(home);
    }
    Err(CommandError::host_not_ready(format!("the home of this program is gone: {home}"))
        .detail("it is the checkout that `cargo xtask install` was run in")
        .remedy(format!("run `cargo xtask install` in a checkout of RAVE, or set {VARIABLE} to one")))
}

#[derive(Debug, PartialEq, Eq)]
enum Choice<'a> {
    Variable(PathBuf),
    Installed(&'a str),
    Nearest,
}

fn choose(variable: Option<OsString>, installed: Option<&str>) -> Choice<'_> {
    match (variable, installed) {
        (Some(path), _) => Choice::Variable(path.into()),
        (None, Some(path)) => Choice::Installed(path),
        (None, None) => Choice::Nearest,
    }
}

fn current_folder() -> anyhow::Result<PathBuf> {
    Ok(env::current_dir().map_err(|error| {
        CommandError::usage("the current folder cannot be read").detail(error.to_string())
    })?)
}

fn nearest(start: &Utf8Path) -> Result<Utf8PathBuf, CommandError> {
    let found = start.ancestors().find(|dir| dir.join("rave.toml").is_file());
    found.map(Utf8Path::to_owned).ok_or_else(|| {
        CommandError::usage(format!("no rave.toml in {start} or a folder above it")).remedy(
            "run this inside a checkout of RAVE, set RAVE_HOME to one, or run `cargo xtask install` in one",
        )
    })
}

/// `home`, if it is compatible with this program.
fn fitting(home: Utf8PathBuf) -> Result<Utf8PathBuf, CommandError> {
    let differs = |(file, own): &(&str, &str)| {
        fs::read_to_string(Path::new(home.as_str()).join(file)).is_ok_and(|text| text == *own)
    };
    match CONTRACT.iter().find(|entry| !differs(entry)) {
        None => Ok(home),
        Some((file, _)) => Err(CommandError::usage(format!("this program does not fit its home {home}"))
            .detail(format!("{file} is not the one that the program was built with"))
            .remedy(format!("run `cargo xtask install` in {home}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_overrides_the_installation_folder() {
        assert_eq!(choose(Some("/a".into()), Some("/b")), Choice::Variable("/a".into()));
        assert_eq!(choose(None, Some("/b")), Choice::Installed("/b"));
        assert_eq!(choose(None, None), Choice::Nearest);
    }

    #[test]
    fn a_missing_home_is_named_with_a_remedy() {
        let error = still_there("/no/such/home".into()).unwrap_err();
        assert_eq!(error.what, "the home of this program is gone: /no/such/home");
        assert!(error.remedy.contains("RAVE_HOME"), "{error:?}");
    }

    #[test]
    fn a_home_with_other_facts_is_incompatible() {
        let folder = tempfile::tempdir().unwrap();
        let home = Utf8Path::from_path(folder.path()).unwrap();
        for (file, text) in CONTRACT {
            let path = home.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(fitting(home.to_owned()).unwrap(), home);
        fs::write(home.join("nix/facts.json"), "{}").unwrap();
        let error = fitting(home.to_owned()).unwrap_err();
        assert!(error.detail[0].contains("nix/facts.json"), "{error:?}");
    }
}
