//! Bills of materials: the contents of a guest, as `CycloneDX` 1.6 and SPDX 2.3.
//! [`known`] derives it from the build; an inventory of another origin is written the same way.

pub mod cyclonedx;
pub mod diff;
pub mod known;
pub mod purl;
pub mod spdx;

use rave_image::digest::Digest;
use rave_image::licences;

/// The contents of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The release's name without an extension: `rave-1.2.0-headless-x86_64`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Timestamp of the bill, seconds since 1970.
    pub epoch: u64,
    /// The components, sorted by package URL.
    pub components: Vec<Component>,
}

/// A package in a guest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Component {
    /// Its package URL, which identifies it.
    pub purl: String,
    /// Its name in its own archive or registry.
    pub name: String,
    /// Its version in its own notation.
    pub version: String,
    /// The digests of its file, if known.
    pub hashes: Vec<Hash>,
    /// Its licence as an SPDX expression, if known.
    pub licence: Option<String>,
}

/// A digest of a package's file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// Its value in hexadecimal digits.
    pub value: String,
}

/// An algorithm of digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-1, used by old npm packages.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Inventory {
    /// Sorts and deduplicates the components.
    pub fn new(name: String, version: String, epoch: u64, mut components: Vec<Component>) -> Self {
        components.sort();
        components.dedup_by(|a, b| a.purl == b.purl);
        Self { name, version, epoch, components }
    }

    /// How many of the components have a licence.
    pub fn licensed(&self) -> usize {
        self.components.iter().filter(|component| component.licence.is_some()).count()
    }

    /// How many have no licence.
    pub fn unlicensed(&self) -> usize {
        self.components.len() - self.licensed()
    }

    /// The components that can only be used under one of these licences, each with its expression.
    pub fn denied(&self, denied: &[impl AsRef<str>]) -> Vec<String> {
        let licensed = self.components.iter().filter_map(|one| Some((&one.purl, one.licence.as_deref()?)));
        let denied = licensed.filter(|(_, licence)| licences::is_denied(licence, denied));
        denied.map(|(purl, licence)| format!("{purl} ({licence})")).collect()
    }

    /// A UUID derived from the content.
    fn uuid(&self, purpose: &str) -> String {
        let mut text = format!("{}\n{}\n", self.name, self.epoch);
        self.components.iter().for_each(|component| {
            text.push_str(&component.purl);
            text.push('\n');
        });
        Digest::of_bytes(text.as_bytes()).uuid(purpose)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_denied_licence_is_found_with_its_package() {
        let inventory = super::samples::inventory();
        assert_eq!((inventory.licensed(), inventory.unlicensed()), (2, 1));
        assert_eq!(inventory.denied(&["SSPL-1.0"]), [""; 0]);
        assert_eq!(inventory.denied(&["MIT"]), ["pkg:cargo/rave-guest@0.1.0 (MIT)"]);
    }
}

#[cfg(test)]
pub(crate) mod samples {
    use super::*;

    pub(crate) fn inventory() -> Inventory {
        let component = |purl: String, name: &str, version: &str, hashes| Component {
            purl,
            name: name.into(),
            version: version.into(),
            hashes,
            licence: None,
        };
        let sha256 = Hash { algorithm: Algorithm::Sha256, value: "ab".repeat(32) };
        let sha512 = Hash { algorithm: Algorithm::Sha512, value: "cd".repeat(64) };
        let components = vec![
            Component {
                licence: Some("GPL-2.0-or-later AND LicenseRef-debian-public-domain".into()),
                ..component(
                    purl::deb("bsdutils", "1:2.41.5-0+deb13u1", "amd64", "trixie"),
                    "bsdutils",
                    "1:2.41.5-0+deb13u1",
                    vec![sha256],
                )
            },
            component(purl::npm("@scope/tool", "1.0.0"), "@scope/tool", "1.0.0", vec![sha512]),
            Component {
                licence: Some("MIT".into()),
                ..component(purl::cargo("rave-guest", "0.1.0"), "rave-guest", "0.1.0", Vec::new())
            },
        ];
        Inventory::new("rave-1.2.0-headless-x86_64".into(), "1.2.0".into(), 1_795_520_426, components)
    }
}
