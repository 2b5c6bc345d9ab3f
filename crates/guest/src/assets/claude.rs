//! Claude Code in a guest that installs it at its first boot: the launcher, the unit, and the relevant part of the npm
//! lock.

pub use super::npm::{CLAUDE_LAUNCHER as LAUNCHER, CLAUDE_PACKAGES as PACKAGES};
use super::render::Template;
use super::{GuestFile, Paths, npm, units};
use crate::config::GuestConfig;
use serde_json::{Map, Value, json};

/// The unit that installs it.
pub const UNIT: &str = "rave-claude.service";
/// The command that shows the progress.
pub const LOG: &str = "journalctl -u rave-claude";

/// The user's installations: `StateDirectory=` of [`UNIT`], with a folder for each version.
pub const STATE: &str = "/var/lib/rave-claude";

/// The pinned package.
pub const PACKAGE: &str = PACKAGES[0];

/// The program, relative to the folder of its packages.
pub const PROGRAM: &str = "node_modules/@anthropic-ai/claude-code-linux-x64/claude";

pub(super) fn files(template: &Template, config: &GuestConfig, paths: &Paths) -> Vec<GuestFile> {
    if !config.claude_at_first_boot {
        return Vec::new();
    }
    let program = program();
    let fill = |text: &str| template.fill_with(text, &[("claude", &program)]);
    let mut files = units::extra_unit(UNIT, &fill(include_str!("../../assets/units/rave-claude.service")));
    let launcher = fill(include_str!("../../assets/npm/claude"));
    files.push(GuestFile::file(format!("{}/{LAUNCHER}", paths.tools), 0o755, launcher));
    files
}

/// The pinned version.
pub fn version() -> String {
    let pins = npm::pins();
    pins.into_iter().find(|(name, _)| name == PACKAGE).map(|(_, version)| version).unwrap_or_default()
}

/// The absolute path of the installed program.
pub fn program() -> String {
    format!("{STATE}/{}/{PROGRAM}", version())
}

/// `package.json` and `package-lock.json` of Claude Code alone, with the versions and integrity hashes from
/// [`npm::PACKAGE_LOCK`].
#[expect(clippy::missing_panics_doc, reason = "the file is committed, and a test reads it")]
pub fn project() -> (String, String) {
    let lock: Value = serde_json::from_str(npm::PACKAGE_LOCK).expect("the committed file is JSON");
    let root = json!({ "name": "rave-claude", "version": "0.0.0", "private": true, "dependencies": { PACKAGE: version() } });
    let mut packages = Map::new();
    packages.insert(String::new(), root.clone());
    let mut wanted = vec![PACKAGE.to_owned()];
    while let Some(name) = wanted.pop() {
        let place = format!("node_modules/{name}");
        let Some(entry) = lock["packages"].get(&place).filter(|_| !packages.contains_key(&place)) else {
            continue;
        };
        for kind in ["dependencies", "optionalDependencies"] {
            wanted.extend(entry[kind].as_object().into_iter().flat_map(Map::keys).cloned());
        }
        packages.insert(place, entry.clone());
    }
    let lock = json!({
        "name": "rave-claude", "version": "0.0.0", "lockfileVersion": 3, "requires": true, "packages": packages,
    });
    (root.to_string(), lock.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_a_subset_of_the_lock_with_all_hashes() {
        let (package, lock) = project();
        let package: Value = serde_json::from_str(&package).unwrap();
        assert_eq!(package["dependencies"][PACKAGE], version().as_str());
        let lock: Value = serde_json::from_str(&lock).unwrap();
        let packages = lock["packages"].as_object().unwrap();
        for name in PACKAGES {
            let entry = &packages[&format!("node_modules/{name}")];
            assert!(entry["integrity"].as_str().unwrap().starts_with("sha512-"), "{name}");
        }
        assert!(packages.len() < 20, "{:?}", packages.keys());
    }

    #[test]
    fn packages_match_what_a_guest_installs() {
        let (_, lock) = project();
        let lock: Value = serde_json::from_str(&lock).unwrap();
        let fits = |entry: &Value, key: &str, ours: &str| {
            entry[key].as_array().is_none_or(|names| names.iter().any(|name| name == ours))
        };
        let mut ours: Vec<&str> = lock["packages"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(_, entry)| {
                fits(entry, "os", "linux") && fits(entry, "cpu", "x64") && fits(entry, "libc", "glibc")
            })
            .filter_map(|(place, _)| place.strip_prefix("node_modules/"))
            .collect();
        ours.sort_unstable();
        assert_eq!(ours, PACKAGES);
    }
}
