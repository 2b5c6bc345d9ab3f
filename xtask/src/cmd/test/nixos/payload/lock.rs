//! `payload.lock`: Debian's packages by exact version and digest.

use std::fmt::Write as _;

use anyhow::bail;

/// A package.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    /// Bytes of the file.
    pub(crate) size: u64,
    /// In hexadecimal.
    pub(crate) sha256: String,
}

/// All of them, sorted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) suite: String,
    pub(crate) packages: Vec<Package>,
}

const HEAD: &str = "# Packages of the tests' NixOS system, by `RAVE_NIXOS_PAYLOAD=update cargo xtask test nixos`. Do not edit.\n\
                    # name version architecture size sha256\n";

impl Lock {
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lock = Self { suite: String::new(), packages: Vec::new() };
        for (number, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["suite", suite] => (*suite).clone_into(&mut lock.suite),
                [name, version, architecture, size, sha256]
                    if is_sha256(sha256) && size.parse::<u64>().is_ok() =>
                {
                    lock.packages.push(Package {
                        name: (*name).to_owned(),
                        version: (*version).to_owned(),
                        architecture: (*architecture).to_owned(),
                        size: size.parse()?,
                        sha256: (*sha256).to_owned(),
                    });
                }
                _ => bail!("payload.lock, line {}: not a package: {line:?}", number + 1),
            }
        }
        if lock.suite.is_empty() {
            bail!("payload.lock names no suite");
        }
        if !lock.packages.is_sorted() {
            bail!("payload.lock is not sorted");
        }
        Ok(lock)
    }

    pub(crate) fn render(&self) -> String {
        let mut text = format!("{HEAD}suite {}\n", self.suite);
        for Package { name, version, architecture, size, sha256 } in &self.packages {
            let _ = writeln!(text, "{name} {version} {architecture} {size} {sha256}");
        }
        text
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A line of `apt-get --print-uris`: `'URI' NAME_VERSION_ARCHITECTURE.deb SIZE SHA256:DIGEST` (apt-get(8)).
pub(crate) fn printed(line: &str) -> Option<Package> {
    let rest = line.strip_prefix('\'')?.split_once("' ")?.1;
    let mut words = rest.split_whitespace();
    let (file, size, digest) = (words.next()?, words.next()?, words.next()?);
    let mut parts = file.strip_suffix(".deb")?.split('_');
    let (name, version, architecture) = (parts.next()?, parts.next()?, parts.next()?);
    let sha256 = digest.strip_prefix("SHA256:")?;
    is_sha256(sha256).then(|| Package {
        name: name.to_owned(),
        version: version.replace("%3a", ":"),
        architecture: architecture.to_owned(),
        size: size.parse().unwrap_or_default(),
        sha256: sha256.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn what_apt_prints_is_read() {
        let line = format!(
            "'https://mirror.test/debian/pool/main/a/attr/attr_2.6.0-1_amd64.deb' attr_1%3a2.6.0-1_amd64.deb 40124 SHA256:{SHA256}"
        );
        let package = printed(&line).unwrap();
        assert_eq!(
            (package.name.as_str(), package.version.as_str(), package.size),
            ("attr", "1:2.6.0-1", 40124)
        );
        assert_eq!(printed("Need to get 1 MB of archives."), None);
        assert_eq!(printed(&line.replace("SHA256", "MD5Sum")), None);
    }

    #[test]
    fn a_lock_is_read_as_it_is_written_and_anything_else_is_refused() {
        let text = format!("suite forky\nacl 2.4.0-1 amd64 12 {SHA256}\nbash 5.3-1 amd64 13 {SHA256}\n");
        let lock = Lock::parse(&text).unwrap();
        assert_eq!(Lock::parse(&lock.render()).unwrap(), lock);
        for (wrong, why) in [
            (text.replace("suite forky\n", ""), "no suite"),
            (text.replace("acl", "zoo"), "not sorted"),
            (text.replace(" 12 ", " "), "line 2"),
            (text.replace("def\nbash", "dex\nbash"), "line 2"),
        ] {
            assert!(Lock::parse(&wrong).unwrap_err().to_string().contains(why), "{wrong}");
        }
    }
}
