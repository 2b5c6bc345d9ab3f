//! Names of a release's files.

use crate::relative_path::RelativePath;

/// The release's description.
pub const MANIFEST: &str = "manifest.json";
/// Signed statements about its origin and its boots.
pub const PROVENANCE: &str = "provenance.intoto.jsonl";
/// The release notes.
pub const NOTES: &str = "RELEASE_NOTES.md";
/// The folder of the bills of materials.
pub const BILLS: &str = "sbom";
/// The folder of the smoke reports, one folder per profile.
pub const SMOKE: &str = "smoke";

/// The list of corresponding sources.
pub const SOURCES: &str = "sources.tsv";

/// The smoke report of a profile.
pub(crate) fn report(profile: &str) -> String {
    format!("{SMOKE}/{profile}/report.json")
}

/// The first part of every artifact's name.
pub const PRODUCT: &str = "rave";

/// `rave-<version>-<profile>-<arch>`.
pub fn stem(version: &semver::Version, profile: &str, arch: &str) -> String {
    format!("{PRODUCT}-{version}-{profile}-{arch}")
}

/// The name of the archive of inputs.
pub fn inputs(version: &semver::Version) -> Result<RelativePath, String> {
    format!("{PRODUCT}-{version}-inputs.tar").parse()
}

/// The name of an artifact's file: the suffix after the image's own stem, after the release's stem.
pub fn artifact(release_stem: &str, image_stem: &str, file: &str) -> Result<RelativePath, String> {
    let ending = file.strip_prefix(image_stem);
    let ending = ending.ok_or_else(|| format!("{file:?} does not begin with {image_stem:?}"))?;
    format!("{release_stem}{ending}").parse()
}

/// The extension of patches.
pub(crate) const PATCH_ENDING: &str = ".patch";

/// The name of a patch to a profile's raw disk.
pub fn patch(stem: &str, from: &semver::Version) -> Result<RelativePath, String> {
    format!("{stem}.from-{from}{PATCH_ENDING}").parse()
}

/// The name of a part, counted from 0: sorted by name, so that a shell's `*` lists them in order.
pub fn part(whole: &RelativePath, number: usize) -> Result<RelativePath, String> {
    if number >= 1000 {
        return Err("it would have more than 1000 parts".into());
    }
    format!("{whole}.part-{number:03}").parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_contain_version_profile_and_architecture() {
        let stem = stem(&"1.2.0".parse().unwrap(), "headless", "x86_64");
        let of = |file| artifact(&stem, "rave-debian-headless", file).unwrap().to_string();
        assert_eq!(of("rave-debian-headless.qcow2"), "rave-1.2.0-headless-x86_64.qcow2");
        assert_eq!(of("rave-debian-headless-vmware.ova"), "rave-1.2.0-headless-x86_64-vmware.ova");
        assert!(artifact(&stem, "rave-debian-headless", "other.qcow2").is_err());
        assert_eq!(part(&"a.iso".parse().unwrap(), 7).unwrap().as_str(), "a.iso.part-007");
        assert!(part(&"a.iso".parse().unwrap(), 1000).is_err());
    }
}
