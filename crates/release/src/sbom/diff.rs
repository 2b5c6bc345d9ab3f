//! The changes between two bills of materials, of either standard.

use std::collections::{BTreeMap, BTreeSet};

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

/// Compares.
pub fn compare(first: &Packages, second: &Packages) -> BillDifference {
    let only = |one: &Packages, other: &Packages| {
        let missing = one.iter().filter(|(name, _)| !other.contains_key(*name));
        missing.map(|(name, versions)| (name.clone(), versions.clone())).collect()
    };
    let both = first.iter().filter_map(|(name, versions)| Some((name, versions, second.get(name)?)));
    let changed = both.filter(|(_, ours, theirs)| ours != theirs);
    BillDifference {
        added: only(second, first),
        removed: only(first, second),
        changed: changed.map(|(name, a, b)| (name.clone(), [a.clone(), b.clone()])).collect(),
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
    }

    #[test]
    fn invalid_sboms_are_refused() {
        for text in ["{}", "[]", "x", r#"{"bomFormat":"CycloneDX","components":[{"purl":"x"}]}"#] {
            assert!(packages(text.as_bytes()).is_err(), "{text}");
        }
    }
}
