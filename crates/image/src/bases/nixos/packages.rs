//! The packages of a guest, by the names of its closure's store paths: nothing else in a store says what a path is.

use crate::closure::registration::{Registration, ValidPath};
use crate::manifest::NixPackage;

/// Outputs of packages in nixpkgs, whose names are appended to the package's (pkgs/stdenv/generic/make-derivation.nix).
const OUTPUTS: [&str; 16] = [
    "bin", "data", "debug", "dev", "dist", "doc", "getent", "info", "lib", "libgcc", "locale", "man",
    "mount", "sqlite", "static", "terminfo",
];

/// Endings of generated files: their names have no version.
const FILES: [&str; 10] =
    [".conf", ".json", ".mount", ".nix", ".patch", ".rules", ".service", ".sh", ".socket", ".target"];

/// The packages of a closure, sorted by path.
pub(super) fn of(closure: &Registration) -> Vec<NixPackage> {
    let package = |path: &ValidPath| {
        let (_, name) = path.path.base().split_once('-')?;
        let (name, version, output) = named(name)?;
        Some(NixPackage {
            name: name.to_owned(),
            version: version.to_owned(),
            output: output.map(str::to_owned),
            nar_sha256: path.nar_hash,
        })
    };
    closure.paths().iter().filter_map(package).collect()
}

/// A package's name, version and output. The name ends before the first dash that no letter follows
/// (`builtins.parseDrvName`); without a version it is not a package's.
fn named(text: &str) -> Option<(&str, &str, Option<&str>)> {
    if FILES.iter().any(|ending| text.ends_with(ending)) {
        return None;
    }
    let dashes = text.match_indices('-').map(|(at, _)| at);
    let begins_version =
        |at: &usize| text[at + 1..].starts_with(|letter: char| !letter.is_ascii_alphabetic());
    let (name, rest) = text.split_at(dashes.into_iter().find(begins_version)?);
    let version = rest[1..].starts_with(|letter: char| letter.is_ascii_digit()).then_some(&rest[1..])?;
    match version.rsplit_once('-') {
        Some((version, output)) if OUTPUTS.contains(&output) => Some((name, version, Some(output))),
        _ => Some((name, version, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_told_by_the_names_of_their_paths() {
        for (text, expected) in [
            ("bash-interactive-5.3p9", Some(("bash-interactive", "5.3p9", None))),
            ("e2fsprogs-1.47.4-bin", Some(("e2fsprogs", "1.47.4", Some("bin")))),
            ("linux-6.18.1-modules", Some(("linux", "6.18.1-modules", None))),
            ("python3.13-pip-25.1.1", Some(("python3.13-pip", "25.1.1", None))),
            ("gcc-14-20260101-lib", Some(("gcc", "14-20260101", Some("lib")))),
            ("system-path", None),
            ("unit-dbus-1.service", None),
            ("a--1", None),
            ("etc", None),
        ] {
            assert_eq!(named(text), expected, "{text}");
        }
    }
}
