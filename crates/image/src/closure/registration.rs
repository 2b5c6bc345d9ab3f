//! Nix's registration of a closure's paths: the lines that `nix-store --dump-db` and nixpkgs' `closureInfo` write
//! (libstore/store-api.cc, `decodeValidPathInfo`, with hashes given).

use std::collections::BTreeMap;
use std::str::Lines;

use camino::Utf8Path;

use super::store_path::{StorePath, parse_sha256};
use crate::digest::Digest;
use crate::error::{Error, IoContext as _};

/// The sorted paths of a closure, including everything that each of them refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    paths: Vec<ValidPath>,
}

/// One path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidPath {
    /// The path.
    pub path: StorePath,
    /// The SHA-256 of its archive ([`super::nar`]).
    pub nar_hash: Digest,
    /// Bytes of that archive.
    pub nar_size: u64,
    /// The derivation that it was built from, if known.
    pub deriver: Option<StorePath>,
    /// Its references: sorted indexes into [`Registration::paths`].
    pub references: Vec<usize>,
}

/// The unparsed lines of one path.
struct Written<'a> {
    path: &'a str,
    hash: &'a str,
    size: &'a str,
    deriver: &'a str,
    references: Vec<&'a str>,
}

impl Registration {
    /// Reads a file.
    pub fn read(file: &Utf8Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(file).at("read", file)?;
        Self::parse(&text).map_err(|detail| Error::Input { what: file.to_string(), detail })
    }

    /// Reads the text of a file.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let mut written = Vec::new();
        while let Some(one) = written_path(&mut lines)? {
            written.push(one);
        }
        Self::validated(&written)
    }

    fn validated(written: &[Written<'_>]) -> Result<Self, String> {
        let mut found = BTreeMap::new();
        for one in written {
            if found.insert(StorePath::parse(one.path)?, one).is_some() {
                return Err(format!("{} is registered twice", one.path));
            }
        }
        if found.is_empty() {
            return Err("it registers no path".into());
        }
        let places: BTreeMap<&str, usize> =
            found.keys().enumerate().map(|(place, path)| (path.as_str(), place)).collect();
        let of = |(path, one): (&StorePath, &&Written<'_>)| ValidPath::validated(path, one, &places);
        Ok(Self { paths: found.iter().map(of).collect::<Result<_, _>>()? })
    }

    /// The paths, sorted.
    pub fn paths(&self) -> &[ValidPath] {
        &self.paths
    }

    /// The path with this name in the store's folder.
    pub fn of_base(&self, base: &str) -> Option<&ValidPath> {
        let place = self.paths.binary_search_by(|path| path.path.base().cmp(base)).ok()?;
        Some(&self.paths[place])
    }
}

impl ValidPath {
    fn validated(
        path: &StorePath,
        one: &Written<'_>,
        places: &BTreeMap<&str, usize>,
    ) -> Result<Self, String> {
        let message =
            |what: &str, value: &str| format!("{}: `{}` is not {what}", one.path, value.escape_debug());
        let nar_hash = parse_sha256(one.hash).ok_or_else(|| message("a SHA-256 of nix", one.hash))?;
        let nar_size = one.size.parse().map_err(|_| message("a size in bytes", one.size))?;
        let deriver = (!one.deriver.is_empty()).then(|| StorePath::parse(one.deriver)).transpose()?;
        let reference = |name: &&str| {
            places.get(name).copied().ok_or_else(|| {
                format!("{} refers to {}, which is not registered", one.path, name.escape_debug())
            })
        };
        let mut references = one.references.iter().map(reference).collect::<Result<Vec<_>, _>>()?;
        references.sort_unstable();
        references.dedup();
        Ok(Self { path: path.clone(), nar_hash, nar_size, deriver, references })
    }
}

/// The lines of the next path; none at the end, where empty lines are allowed.
fn written_path<'a>(lines: &mut Lines<'a>) -> Result<Option<Written<'a>>, String> {
    let Some(path) = lines.find(|line| !line.is_empty()) else { return Ok(None) };
    let mut line = |what: &str| lines.next().ok_or_else(|| format!("it ends before the {what} of {path}"));
    let (hash, size, deriver) = (line("hash")?, line("size")?, line("deriver")?);
    let count = line("number of references")?;
    let count: usize = count
        .parse()
        .map_err(|_| format!("{path}: `{}` is not a number of references", count.escape_debug()))?;
    let references = (0..count).map(|_| line("references")).collect::<Result<_, _>>()?;
    Ok(Some(Written { path, hash, size, deriver, references }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "/nix/store/0mdqa9w1p6cmli6976v4wi0sw9r4p5pr-a";
    const B: &str = "/nix/store/1mdqa9w1p6cmli6976v4wi0sw9r4p5pr-b";
    const HASH: &str = "sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73";

    #[test]
    fn paths_are_sorted_and_references_are_indices() {
        let text = format!("{B}\n{HASH}\n9\n{A}\n2\n{B}\n{A}\n{A}\n{HASH}\n8\n\n0\n\n");
        let read = Registration::parse(&text).unwrap();
        let names: Vec<_> = read.paths().iter().map(|path| path.path.as_str()).collect();
        assert_eq!(names, [A, B]);
        assert_eq!(read.paths()[1].references, [0, 1]);
        assert_eq!((read.paths()[0].deriver.as_ref(), read.paths()[0].nar_size), (None, 8));
        assert_eq!(read.paths()[1].deriver.as_ref().unwrap().as_str(), A);
        assert!(read.of_base("1mdqa9w1p6cmli6976v4wi0sw9r4p5pr-b").is_some());
        assert!(read.of_base("b").is_none());
    }

    #[test]
    fn incomplete_registrations_are_refused_with_the_path() {
        let cases = [
            (String::new(), "it registers no path".to_owned()),
            (format!("{A}\n{HASH}\n8\n"), format!("it ends before the deriver of {A}")),
            (format!("{A}\n{HASH}\n8\n\n1\n"), format!("it ends before the references of {A}")),
            (format!("{A}\n{HASH}\n8\n\n1\n{B}\n"), format!("{A} refers to {B}, which is not registered")),
            (format!("{A}\n{HASH}\n-8\n\n0\n"), format!("{A}: `-8` is not a size in bytes")),
            (format!("{A}\nmd5:0\n8\n\n0\n"), format!("{A}: `md5:0` is not a SHA-256 of nix")),
            (format!("{A}\n{HASH}\n8\n\n0\n{A}\n{HASH}\n8\n\n0\n"), format!("{A} is registered twice")),
        ];
        for (text, why) in cases {
            assert_eq!(Registration::parse(&text).unwrap_err(), why);
        }
    }
}
