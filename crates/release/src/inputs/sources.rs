//! The corresponding sources, as required by some licences, by source package and version.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use rave_image::bases::debian::version;
use rave_image::inputs::{Input, Kind};

use crate::error::{Error, IoContext as _};

/// The list: source package, version and the packages built from it, one line per source, separated by tabs. The source
/// is named by the archive's description of each package: `Source: NAME (VERSION)`, otherwise it has the package's own
/// name (deb-control(5)).
pub fn sources(inputs: &[Input]) -> Result<String, Error> {
    let mut found: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for input in inputs.iter().filter(|input| input.kind == Kind::Stanza) {
        let stanza = fs::read_to_string(&input.file).at("read", &input.file)?;
        found.entry(source(input, &stanza)).or_default().insert(input.name.clone());
    }
    let mut text = String::from("# source\tversion\tpackages\n");
    for ((name, version), packages) in found {
        let packages = packages.into_iter().collect::<Vec<_>>().join(" ");
        let _ = writeln!(text, "{name}\t{version}\t{packages}"); // a String takes all
    }
    Ok(text)
}

/// The version of the source of each package in a list. Of several, the oldest.
pub(crate) fn versions(list: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let mut fields = line.split('\t');
        let (Some(_), Some(version), Some(packages)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        for package in packages.split(' ') {
            let known: &mut String = found.entry(package.to_owned()).or_insert_with(|| version.to_owned());
            if version::compare(version, known).is_lt() {
                version.clone_into(known);
            }
        }
    }
    found
}

fn source(input: &Input, stanza: &str) -> (String, String) {
    let line = stanza.lines().find_map(|line| line.strip_prefix("Source:"));
    let source = line.map_or(input.name.as_str(), str::trim);
    let (name, version) = source.split_once(' ').unwrap_or((source, ""));
    let version = version.trim().trim_start_matches('(').trim_end_matches(')');
    let version = if version.is_empty() { &input.version } else { version };
    (name.to_owned(), version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_gives_the_version_of_each_packages_source() {
        let list = "# source\tversion\tpackages\nlvm2\t2.03.31-2\tdmsetup libdevmapper1.02.1\n\
                    util-linux\t2.10\tbsdutils\nutil-linux\t2.9\tbsdutils mount\nnoise\n";
        let found = versions(list);
        assert_eq!(found["libdevmapper1.02.1"], "2.03.31-2");
        assert_eq!((found["bsdutils"].as_str(), found["mount"].as_str(), found.len()), ("2.9", "2.9", 4));
    }

    #[test]
    fn a_source_defaults_to_the_packages_name_and_version() {
        let input = Input {
            kind: Kind::Stanza,
            name: "libssl3t64".into(),
            version: "3.5.4-1+b1".into(),
            path: "debs/a.stanza".into(),
            integrity: None,
            locked: None,
            file: "".into(),
        };
        let of = |stanza: &str| source(&input, stanza);
        let own = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(of("Package: libssl3t64\n"), own("libssl3t64", "3.5.4-1+b1"));
        assert_eq!(of("Package: x\nSource: openssl\n"), own("openssl", "3.5.4-1+b1"));
        assert_eq!(of("Source: openssl (3.5.4-1)\nVersion: 1\n"), own("openssl", "3.5.4-1"));
    }
}
