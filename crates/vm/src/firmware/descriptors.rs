//! Descriptors of firmware, which distributions install with it: QEMU's docs/interop/firmware.json.

use std::collections::BTreeMap;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::files::UefiFiles;
use crate::machine::Arch;

/// The folders of descriptors in order of precedence: a file replaces those of the same name in later folders, and an
/// empty file hides them. The user's own folder, `$XDG_CONFIG_HOME/qemu/firmware`, comes first.
pub(super) const FOLDERS: [&str; 2] = ["/etc/qemu/firmware", "/usr/share/qemu/firmware"];

/// Features of firmware that needs SMM or refuses unsigned boot loaders.
const UNFIT: [&str; 3] = ["requires-smm", "secure-boot", "enrolled-keys"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Description {
    interface_types: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    #[serde(default)]
    features: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Mapping {
    device: String,
    /// Defaults to `split`: code and variables in separate files.
    mode: Option<String>,
    executable: Option<FlashFile>,
    nvram_template: Option<FlashFile>,
}

#[derive(Debug, Deserialize)]
struct FlashFile {
    filename: Utf8PathBuf,
    format: String,
}

#[derive(Debug, Deserialize)]
struct Target {
    architecture: String,
    machines: Vec<String>,
}

/// The first suitable firmware, in the order of the descriptors' names, whose files exist; `root` is prepended to each
/// of their paths.
pub(super) fn first(folders: &[Utf8PathBuf], root: &Utf8Path, arch: Arch) -> Option<UefiFiles> {
    let mut files: BTreeMap<String, Utf8PathBuf> = BTreeMap::new();
    for folder in folders {
        for entry in folder.read_dir_utf8().into_iter().flatten().flatten() {
            let is_json = entry.path().extension() == Some("json");
            if is_json {
                files.entry(entry.file_name().to_owned()).or_insert_with(|| entry.path().to_owned());
            }
        }
    }
    // Unreadable descriptors are skipped.
    let texts = files.values().filter_map(|path| fs::read_to_string(path).ok());
    let described = texts.filter_map(|text| fitting(&text, arch));
    let under = |path: &Utf8Path| root.join(path.as_str().trim_start_matches('/'));
    described
        .map(|pair| UefiFiles { code: under(&pair.code), vars: under(&pair.vars) })
        .find(|pair| pair.code.is_file() && pair.vars.is_file())
}

fn fitting(text: &str, arch: Arch) -> Option<UefiFiles> {
    let Description { interface_types, mapping, targets, features } = serde_json::from_str(text).ok()?;
    let (architecture, machine) = match arch {
        Arch::X86_64 => ("x86_64", "pc-q35-"),
    };
    // Globs such as `pc-q35-*`.
    let is_for = |target: &Target| {
        target.architecture == architecture && target.machines.iter().any(|glob| glob.starts_with(machine))
    };
    let fits = interface_types.iter().any(|interface| interface == "uefi")
        && targets.iter().any(is_for)
        && !features.iter().any(|feature| UNFIT.contains(&feature.as_str()))
        && mapping.device == "flash"
        && mapping.mode.as_deref().unwrap_or("split") == "split";
    let raw = |file: Option<FlashFile>| file.filter(|file| file.format == "raw").map(|file| file.filename);
    fits.then_some(())?;
    Some(UefiFiles { code: raw(mapping.executable)?, vars: raw(mapping.nvram_template)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn description(name: &str, features: &str) -> String {
        format!(
            r#"{{"description": "x", "interface-types": ["uefi"], "features": [{features}], "tags": [],
                "mapping": {{"device": "flash",
                             "executable": {{"filename": "/fw/{name}.code", "format": "raw"}},
                             "nvram-template": {{"filename": "/fw/{name}.vars", "format": "raw"}}}},
                "targets": [{{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}}]}}"#
        )
    }

    #[test]
    fn the_first_existing_match_wins_and_an_empty_file_masks_a_descriptor() {
        let scratch = tempfile::tempdir().unwrap();
        let root = Utf8Path::from_path(scratch.path()).unwrap();
        let folders = [root.join("etc"), root.join("usr")];
        for folder in folders.iter().chain([&root.join("fw")]) {
            fs::create_dir(folder).unwrap();
        }
        for (name, features) in
            [("10-signed", r#""secure-boot""#), ("20-gone", ""), ("30-a", r#""acpi-s3""#), ("40-b", "")]
        {
            fs::write(root.join(format!("usr/{name}.json")), description(name, features)).unwrap();
            for part in ["code", "vars"] {
                fs::write(root.join(format!("fw/{name}.{part}")), "").unwrap();
            }
        }
        fs::write(root.join("usr/05-no.json"), "not JSON").unwrap();
        fs::remove_file(root.join("fw/20-gone.vars")).unwrap();
        let found = || first(&folders, root, Arch::X86_64).map(|pair| pair.code);
        assert_eq!(found(), Some(root.join("fw/30-a.code")));
        fs::write(root.join("etc/30-a.json"), "").unwrap();
        assert_eq!(found(), Some(root.join("fw/40-b.code")));
        fs::write(root.join("etc/40-b.json"), description("20-gone", "")).unwrap();
        assert_eq!(found(), None);
    }

    #[test]
    fn only_raw_split_flash_for_this_machine_matches() {
        let good = description("a", "");
        assert!(fitting(&good, Arch::X86_64).is_some());
        for (from, to) in [
            ("\"uefi\"", "\"bios\""),
            ("\"flash\"", "\"memory\""),
            ("\"device\"", "\"mode\": \"stateless\", \"device\""),
            ("\"format\": \"raw\"", "\"format\": \"qcow2\""),
            ("x86_64", "aarch64"),
            ("pc-q35-*", "microvm"),
            ("\"features\": []", "\"features\": [\"requires-smm\"]"),
        ] {
            assert!(good.contains(from), "{from}");
            assert_eq!(fitting(&good.replace(from, to), Arch::X86_64), None, "{to}");
        }
    }
}
