//! Compares a rebuild with the manifest that it was built from.

use std::collections::BTreeMap;

use crate::bases::debian::lock::LockedPackage;
use crate::manifest::{BuildInput, DebianOrigin, Manifest};

/// The exact packages that a manifest describes.
pub fn packages(manifest: &DebianOrigin) -> Vec<LockedPackage> {
    let package = |package: &crate::tree::root_tar::InstalledPackage| LockedPackage {
        name: package.name.clone(),
        version: package.version.clone(),
        architecture: package.architecture.clone(),
        size: package.size,
        sha256: package.sha256,
    };
    manifest.packages.iter().map(package).collect()
}

/// Inputs of this checkout that differ from a manifest, one line each with both values.
pub fn other_inputs(manifest: &DebianOrigin, here: &[BuildInput]) -> Vec<String> {
    let of = |inputs: &[BuildInput]| {
        inputs.iter().map(|input| (input.name.clone(), input.sha256.to_string())).collect()
    };
    different("input", &of(&manifest.inputs), &of(here))
}

/// All differences between a build and a manifest, one line each with both values.
pub fn differences(manifest: &Manifest, built: &Manifest) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(wanted), Some(here)) = (manifest.origin.debian(), built.origin.debian()) {
        lines.extend(other_inputs(wanted, &here.inputs));
        let packages = |origin: &DebianOrigin| {
            let value = |package: &crate::tree::root_tar::InstalledPackage| {
                format!("{} {}", package.version, package.sha256)
            };
            origin.packages.iter().map(|package| (package.name.clone(), value(package))).collect()
        };
        lines.extend(different("package", &packages(wanted), &packages(here)));
    }
    let files = |manifest: &Manifest| {
        let files = manifest.artifacts.iter().flat_map(|artifact| artifact.files.iter());
        files.map(|file| (file.name.clone(), format!("{} bytes {}", file.size, file.sha256))).collect()
    };
    lines.extend(different("artifact", &files(manifest), &files(built)));
    if !lines.is_empty() {
        let tools = |manifest: &Manifest| {
            manifest.build_tools.iter().map(|tool| (tool.name.clone(), tool.version.clone())).collect()
        };
        // Not a difference by itself, but often the cause of one.
        lines.extend(different("program of the host", &tools(manifest), &tools(built)));
    }
    lines
}

fn different(kind: &str, wanted: &BTreeMap<String, String>, here: &BTreeMap<String, String>) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = wanted.keys().chain(here.keys()).collect();
    let value = |map: &BTreeMap<String, String>, name: &String| {
        map.get(name).cloned().unwrap_or_else(|| "nothing".to_owned())
    };
    let differ = names.into_iter().filter(|name| wanted.get(*name) != here.get(*name));
    differ
        .map(|name| {
            format!(
                "{kind} {name}: the manifest has {}, here it is {}",
                value(wanted, name),
                value(here, name)
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_both_values_and_equal_fields_are_omitted() {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let lines =
            different("input", &map(&[("a", "1"), ("b", "2"), ("c", "3")]), &map(&[("a", "1"), ("b", "x")]));
        let expected =
            ["input b: the manifest has 2, here it is x", "input c: the manifest has 3, here it is nothing"];
        assert_eq!(lines, expected);
    }
}
