//! The table of replacements: `replacements.txt`.

use std::collections::BTreeSet;

use anyhow::bail;

/// A row.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    /// The derivation's name without its version, `*` for anything but `-`.
    pub(super) name: String,
    /// The output; none: all.
    pub(super) output: Option<String>,
    pub(super) by: By,
    /// Files of the output that are links to others of the payload: `bin/a=bin/b`.
    pub(super) links: Vec<(String, String)>,
    pub(super) reason: String,
}

/// What outputs become.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    /// Links to the files of packages.
    Debian(Vec<String>),
    /// A link to one file of the payload.
    File(String),
    /// What lies in a folder of `stubs`.
    Stub(String),
    /// Nothing.
    Empty,
    /// `bin` is this folder of the host.
    Host(String),
    /// A program of the tree, compiled by the host: its folder.
    Cargo(String),
    /// The same, with the payload's headers and libraries.
    CargoInStore(String),
    /// A package of Python of the tree: its folder.
    Python(String),
    Systemd(Vec<String>),
    Kernel,
    Setup,
    Compiler,
    Binutils,
    Npm,
    Rave,
    RaveGuest,
}

pub(super) struct Table(Vec<Row>);

/// How a reason begins if the output is not what its name says.
#[cfg(test)]
const STUB: &str = "STUB";

impl Table {
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut rows = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match row(line) {
                Some(row) => rows.push(row),
                None => bail!("replacements.txt, line {}: not a row: {line:?}", number + 1),
            }
        }
        Ok(Self(rows))
    }

    /// The row of a derivation.
    pub(super) fn of(&self, derivation: &str, output: &str) -> Option<&Row> {
        let fits = |row: &&Row| matches(&row.name, derivation);
        let mut rows = self.0.iter().filter(fits);
        let of_output = rows.clone().find(|row| row.output.as_deref() == Some(output));
        of_output.or_else(|| rows.find(|row| row.output.is_none()))
    }

    /// All packages that it names.
    pub(super) fn packages(&self) -> Vec<&str> {
        let all: BTreeSet<&str> = self
            .0
            .iter()
            .flat_map(|row| match &row.by {
                By::Debian(packages) | By::Systemd(packages) => packages.as_slice(),
                _ => &[],
            })
            .map(String::as_str)
            .collect();
        all.into_iter().collect()
    }
}

/// `NAME[:OUTPUT] KIND [WORD...] [LINK=FILE...] [; REASON]`
fn row(line: &str) -> Option<Row> {
    let (line, reason) = line.split_once(';').unwrap_or((line, ""));
    let mut words = line.split_whitespace();
    let (name, kind) = (words.next()?, words.next()?);
    let (name, output) = match name.split_once(':') {
        Some((name, output)) => (name, Some(output.to_owned())),
        None => (name, None),
    };
    let (links, rest): (Vec<&str>, Vec<&str>) = words.partition(|word| word.contains('='));
    let one = || rest.first().map(|word| (*word).to_owned());
    let all = || rest.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let by = match kind {
        "debian" if !rest.is_empty() => By::Debian(all()),
        "systemd" => By::Systemd(all()),
        "file" => By::File(one()?),
        "stub" => By::Stub(one()?),
        "empty" => By::Empty,
        "host" => By::Host(one()?),
        "cargo" => By::Cargo(one()?),
        "cargo-in-store" => By::CargoInStore(one()?),
        "python" => By::Python(one()?),
        "kernel" => By::Kernel,
        "setup" => By::Setup,
        "compiler" => By::Compiler,
        "binutils" => By::Binutils,
        "npm" => By::Npm,
        "rave" => By::Rave,
        "rave-guest" => By::RaveGuest,
        _ => return None,
    };
    let links =
        links.iter().filter_map(|word| word.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned()));
    Some(Row { name: name.to_owned(), output, by, links: links.collect(), reason: reason.trim().to_owned() })
}

/// A name, followed by nothing or by `-` and a digit.
fn matches(name: &str, derivation: &str) -> bool {
    let rest = match name.split_once('*') {
        Some((start, end)) => derivation.strip_prefix(start).and_then(|rest| {
            let stop = rest.find('-').unwrap_or(rest.len());
            rest[stop..].strip_prefix(end)
        }),
        None => derivation.strip_prefix(name),
    };
    rest.is_some_and(|rest| {
        let is_version = |part: &str| part == "unstable" || part.starts_with(|c: char| c.is_ascii_digit());
        rest.is_empty() || rest.strip_prefix('-').is_some_and(|rest| rest.split('-').all(is_version))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many rows stand in for what they are not.
    const MOST_STUBS: usize = 6;
    /// How many units of systemd that Debian does not build, or that the payload has not, do nothing.
    const MOST_STUB_UNITS: usize = 2;

    #[test]
    fn stubs_have_reasons_and_only_become_fewer() {
        let table = Table::parse(include_str!("replacements.txt")).unwrap();
        let wants_a_reason = |row: &Row| matches!(row.by, By::Stub(_) | By::Empty | By::Host(_));
        for row in table.0.iter().filter(|row| wants_a_reason(row)) {
            assert!(!row.reason.is_empty(), "{row:?}");
        }
        let stubs = table.0.iter().filter(|row| row.reason.starts_with(STUB)).count();
        assert_eq!(stubs, MOST_STUBS, "lower the bound with the table");
        let units = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cmd/test/nixos/stubs/example/systemd/system");
        let units = std::fs::read_dir(units).unwrap().count();
        assert_eq!(units, MOST_STUB_UNITS, "lower the bound with the folder");
    }

    #[test]
    fn a_line_is_a_row_and_anything_else_is_refused() {
        let table =
            Table::parse("# a\nvim:xxd debian vim xxd bin/vi=bin/vim ; why\nvim debian vim\n").unwrap();
        let of = |output| table.of("vim-9.2", output).unwrap();
        assert_eq!(of("xxd").by, By::Debian(vec!["vim".into(), "xxd".into()]));
        assert_eq!((of("xxd").links.len(), of("xxd").reason.as_str()), (1, "why"));
        assert_eq!(of("out").by, By::Debian(vec!["vim".into()]));
        assert_eq!(table.packages(), ["vim", "xxd"]);
        for line in ["vim", "vim apt vim", "vim debian", "vim file"] {
            assert!(Table::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_name_is_followed_by_a_version_or_nothing() {
        assert!(matches("bash", "bash-5.3p9"));
        assert!(matches("stdenv-linux", "stdenv-linux"));
        assert!(!matches("bash", "bash-completion-2.17"));
        assert!(matches("python3*-pip", "python3.13-pip-25.3"));
        assert!(!matches("linux", "linux-6.18.37-modules"));
        assert!(matches("libsodium", "libsodium-1.0.22-unstable-2026-04-09"));
        assert!(!matches("python3*-pip", "python3.13-pipx-25.3"));
    }
}
