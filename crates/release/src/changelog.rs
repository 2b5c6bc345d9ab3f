//! Security fixes according to a package's own Debian changelog (deb-changelog(5)), offline: whether a version was
//! uploaded to a suite of security updates, and which CVE numbers it mentions.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use rave_image::bases::debian::version;
use serde::{Deserialize, Serialize};

/// The maximum number of CVEs kept for a package: a kernel mentions hundreds.
const MOST: usize = 1000;

/// The fixes in the versions after an earlier one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fixes {
    /// Whether one of them was uploaded to a suite such as `trixie-security`.
    pub is_security_upload: bool,
    /// The CVE numbers that they mention.
    pub cves: BTreeSet<String>,
}

impl Fixes {
    /// Whether there are no security fixes.
    pub fn is_empty(&self) -> bool {
        !self.is_security_upload && self.cves.is_empty()
    }
}

/// The fixes of every entry whose version is newer than `earlier`. Entries are sorted, the newest first.
pub fn fixes_since(changelog: &str, earlier: &str) -> Fixes {
    let earlier = without_rebuild(earlier);
    let mut fixes = Fixes::default();
    for line in changelog.lines() {
        if let Some((version, suites)) = heading(line) {
            if version::compare(without_rebuild(version), earlier) != Ordering::Greater {
                break;
            }
            fixes.is_security_upload |= suites.split_whitespace().any(|suite| suite.ends_with("-security"));
        }
        fixes.cves.extend(cves(line).take(MOST - fixes.cves.len().min(MOST)));
    }
    fixes
}

/// `NAME (VERSION) SUITES; urgency=...`.
fn heading(line: &str) -> Option<(&str, &str)> {
    if line.starts_with(char::is_whitespace) {
        return None;
    }
    let (_, rest) = line.split_once(" (")?;
    let (version, rest) = rest.split_once(')')?;
    let (suites, _) = rest.split_once(';')?;
    Some((version, suites))
}

/// Strips the `+b1` of a binary that was only rebuilt: the source is the same.
fn without_rebuild(version: &str) -> &str {
    match version.rsplit_once("+b") {
        Some((source, number))
            if !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()) =>
        {
            source
        }
        _ => version,
    }
}

/// `CVE-YEAR-NUMBER`, the number of four digits or more.
fn cves(line: &str) -> impl Iterator<Item = String> {
    line.match_indices("CVE-").filter_map(|(at, _)| {
        let rest = line.get(at + 4..)?;
        let (year, number) = (rest.get(..4)?, rest.get(4..)?.strip_prefix('-')?);
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        let is_one = year.bytes().all(|digit| digit.is_ascii_digit()) && (4..=7).contains(&digits);
        is_one.then(|| format!("CVE-{year}-{}", &number[..digits]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
openssl (3.5.4-1~deb13u2) trixie-security; urgency=medium

  * CVE-2025-11187 and CVE-2025-15467 (Closes: #1); not CVE-20-1, CVE-2025-123.

 -- A <a@example.org>  Tue, 27 Jan 2026 12:00:00 +0000

openssl (3.5.4-1~deb13u1) trixie; urgency=medium

  * CVE-2025-9230

openssl (3.5.1-1) unstable; urgency=medium

  * CVE-2025-4575
";

    #[test]
    fn only_fixes_of_newer_versions_are_found() {
        let of = |earlier: &str| {
            let fixes = fixes_since(TEXT, earlier);
            (fixes.is_security_upload, fixes.cves.into_iter().collect::<Vec<_>>())
        };
        let last = ["CVE-2025-11187", "CVE-2025-15467"];
        assert_eq!(of("3.5.4-1~deb13u1"), (true, last.map(String::from).to_vec()));
        assert_eq!(of("3.5.4-1~deb13u1+b2"), (true, last.map(String::from).to_vec()));
        assert_eq!(of("3.5.1-1").1.len(), 3);
        assert!(fixes_since(TEXT, "3.5.4-1~deb13u2").is_empty());
        assert!(fixes_since(TEXT, "4").is_empty() && fixes_since("", "1").is_empty());
        let plain = fixes_since("a (2) trixie; urgency=high\n\n  * New.\n", "1");
        assert!(plain.is_empty(), "{plain:?}");
    }
}
