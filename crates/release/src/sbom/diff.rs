//! The changes between two bills of materials, of either standard.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use rave_image::bases::debian::version;
use semver::Version;
use serde::Serialize;
use serde_json::Value;

use crate::strict_json;

/// Maximum size of a bill, bytes.
pub const LIMIT: u64 = 32 << 20;

/// Versions by package: an npm package may occur in several.
pub type Packages = BTreeMap<String, BTreeSet<String>>;

/// The changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BillDifference {
    /// Packages that only the second has.
    pub added: Packages,
    /// Packages that only the first has.
    pub removed: Packages,
    /// Packages whose versions differ: those of the first bill, then of the second.
    pub changed: BTreeMap<String, [BTreeSet<String>; 2]>,
    /// Those of the changed packages that are older in the second.
    pub downgraded: BTreeSet<String>,
}

impl BillDifference {
    /// Whether both have the same packages.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// Reads the packages of a bill: `TYPE/NAME`, such as `deb/debian/curl`.
pub fn packages(bytes: &[u8]) -> Result<Packages, String> {
    let bill = strict_json::value(bytes, LIMIT)?;
    let purls: Vec<&str> = if bill.get("bomFormat").and_then(Value::as_str) == Some("CycloneDX") {
        let components =
            bill.get("components").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        components.iter().filter_map(|one| one.get("purl")?.as_str()).collect()
    } else if bill.get("spdxVersion").is_some() {
        let packages = bill.get("packages").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let references = packages.iter().filter_map(|one| one.get("externalRefs")?.as_array()).flatten();
        let purls = references.filter(|one| one.get("referenceType").and_then(Value::as_str) == Some("purl"));
        purls.filter_map(|one| one.get("referenceLocator")?.as_str()).collect()
    } else {
        return Err("it is neither CycloneDX nor SPDX as JSON".into());
    };
    let mut packages = Packages::new();
    for purl in purls {
        let (name, version) =
            split(purl).ok_or_else(|| format!("{purl:?} is not a package URL with a version"))?;
        packages.entry(name).or_default().insert(version);
    }
    Ok(packages)
}

/// How many packages of a bill have a licence, and how many do not.
pub fn licensed(bytes: &[u8]) -> Result<[usize; 2], String> {
    let bill = strict_json::value(bytes, LIMIT)?;
    let components = bill.get("components").and_then(Value::as_array);
    let components = components.ok_or("it is not CycloneDX as JSON")?;
    let with = components.iter().filter(|one| one.get("licenses").is_some()).count();
    Ok([with, components.len() - with])
}

/// Type and name of a package URL, and its version, decoded.
fn split(purl: &str) -> Option<(String, String)> {
    let rest = purl.strip_prefix("pkg:")?;
    let rest = rest.split(['?', '#']).next()?;
    let (name, version) = rest.rsplit_once('@')?;
    Some((decoded(name), decoded(version)))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = byte.filter(|_| *first == b'%') {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    // Untrusted text must stay on one line.
    String::from_utf8_lossy(&bytes).chars().filter(|letter| !letter.is_control()).collect()
}

/// The type in a package URL of Debian's packages.
const DEB: &str = "deb/";

/// Whether the second versions are older, by the order of the package's ecosystem: dpkg's, or that of semantic
/// versions. False if they have no order.
fn is_downgrade(name: &str, [before, after]: [&BTreeSet<String>; 2]) -> bool {
    let newest = |versions: &BTreeSet<String>| {
        let mut versions = versions.iter();
        let first = versions.next()?;
        versions.try_fold(first.clone(), |newest, version| {
            Some(if order(name, version, &newest)?.is_gt() { version.clone() } else { newest })
        })
    };
    let (Some(before), Some(after)) = (newest(before), newest(after)) else { return false };
    order(name, &after, &before).is_some_and(Ordering::is_lt)
}

/// The order of two versions of a package; none if a version is not one of its ecosystem.
fn order(name: &str, a: &str, b: &str) -> Option<Ordering> {
    if name.starts_with(DEB) {
        return Some(version::compare(a, b));
    }
    let [a, b] = [a, b].map(|text| Version::parse(text).ok());
    // Build metadata has no order (SemVer 2.0.0, item 10).
    Some(a?.cmp_precedence(&b?))
}

/// Compares.
pub fn compare(first: &Packages, second: &Packages) -> BillDifference {
    let only = |one: &Packages, other: &Packages| {
        let missing = one.iter().filter(|(name, _)| !other.contains_key(*name));
        missing.map(|(name, versions)| (name.clone(), versions.clone())).collect()
    };
    let both = first.iter().filter_map(|(name, versions)| Some((name, versions, second.get(name)?)));
    let changed: Vec<_> = both.filter(|(_, ours, theirs)| ours != theirs).collect();
    let downgraded = changed.iter().filter(|(name, a, b)| is_downgrade(name, [*a, *b]));
    BillDifference {
        added: only(second, first),
        removed: only(first, second),
        downgraded: downgraded.map(|(name, ..)| (*name).clone()).collect(),
        changed: changed.iter().map(|(name, a, b)| ((*name).clone(), [(*a).clone(), (*b).clone()])).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sbom::{cyclonedx, samples, spdx};

    #[test]
    fn both_standards_have_the_same_content() {
        let inventory = samples::inventory();
        let [a, b] = [cyclonedx::render(&inventory), spdx::render(&inventory)];
        let [a, b] = [a, b].map(|text| packages(text.as_bytes()).unwrap());
        assert_eq!(a, b);
        assert_eq!(a["deb/debian/bsdutils"], BTreeSet::from(["1:2.41.5-0+deb13u1".to_owned()]));
        assert!(a.contains_key("npm/@scope/tool"), "{a:?}");
        assert!(compare(&a, &b).is_empty());
        assert_eq!(licensed(cyclonedx::render(&inventory).as_bytes()), Ok([2, 1]));
    }

    #[test]
    fn added_removed_and_changed_packages_are_found() {
        let of = |list: &[(&str, &str)]| {
            let mut packages = Packages::new();
            for (name, version) in list {
                packages.entry((*name).into()).or_default().insert((*version).into());
            }
            packages
        };
        let first = of(&[("a", "1"), ("b", "1"), ("c", "1"), ("c", "2")]);
        let second = of(&[("b", "2"), ("c", "1"), ("c", "2"), ("d", "1")]);
        let found = compare(&first, &second);
        assert_eq!(found.added, of(&[("d", "1")]));
        assert_eq!(found.removed, of(&[("a", "1")]));
        assert_eq!(found.changed.keys().collect::<Vec<_>>(), ["b"]);
        assert!(found.downgraded.is_empty());
    }

    #[test]
    fn downgrades_follow_the_order_of_each_ecosystem() {
        let of = |name: &str, versions: &[&str]| {
            let versions = versions.iter().map(|version| (*version).to_owned()).collect();
            Packages::from([(name.to_owned(), versions)])
        };
        for (name, before, after, expected) in [
            // As text, the second is smaller.
            ("deb/debian/a", &["9"][..], &["10"][..], false),
            ("deb/debian/a", &["1:1"], &["2"], true),
            ("deb/debian/a", &["2"], &["1:1"], false),
            ("deb/debian/a", &["1.0~rc1"], &["1.0"], false),
            ("deb/debian/a", &["1.0"], &["1.0~rc1"], true),
            ("deb/debian/a", &["1.0-1+b1"], &["1.0-1"], true),
            ("npm/a", &["1.9.0"], &["1.10.0"], false),
            ("npm/a", &["1.0.0"], &["1.0.0-rc.1"], true),
            // Several at once: the newest counts.
            ("npm/a", &["1.9.0", "1.10.0"], &["1.9.0"], true),
            ("npm/a", &["1.9.0"], &["1.9.0", "1.8.0"], false),
            ("cargo/a", &["1.0.0+2"], &["1.0.0+1"], false),
            ("generic/a", &["z"], &["a"], false),
        ] {
            let found = compare(&of(name, before), &of(name, after));
            assert_eq!(found.downgraded.contains(name), expected, "{name} {before:?} {after:?}");
            assert!(found.changed.contains_key(name));
        }
    }

    #[test]
    fn invalid_sboms_are_refused() {
        for text in ["{}", "[]", "x", r#"{"bomFormat":"CycloneDX","components":[{"purl":"x"}]}"#] {
            assert!(packages(text.as_bytes()).is_err(), "{text}");
        }
    }
}
