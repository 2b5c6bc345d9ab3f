//! The lock of the guest's npm tools. The pinned versions in package.json stay: their dependencies are updated.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use rave_process::Cmd;
use rave_process::network::NetworkEnvironment;
use rave_process::progress::Event;

use super::outcome::report;
use crate::command_error::CommandError;
use crate::exit::Code;
use crate::settings::Settings;
use crate::ui::Ui;

const PLACE: &str = "crates/guest/assets/npm";
const PACKAGES: &str = "package.json";
const LOCK: &str = "package-lock.json";

/// The command that makes the lock: without the registry's URLs, which are each user's own choice.
const NPM: [&str; 7] = [
    "npm",
    "update",
    "--package-lock-only",
    "--ignore-scripts",
    "--omit-lockfile-registry-resolved",
    "--no-audit",
    "--no-fund",
];

/// How many lines of npm's output an error shows.
const SHOWN: usize = 10;

pub(super) fn run(dry_run: bool, settings: &Settings, ui: &Ui) -> anyhow::Result<()> {
    let place = settings.root.join(PLACE);
    let scratch = tempfile::tempdir()?;
    let folder = Utf8PathBuf::from_path_buf(scratch.path().to_owned())
        .map_err(|path| CommandError::usage(format!("{} is not UTF-8", path.display())))?;
    for name in [PACKAGES, LOCK] {
        fs::copy(place.join(name), folder.join(name))?;
    }
    let sink = ui.sink();
    NetworkEnvironment::of_this_process()
        .for_node(Cmd::new(NPM[0]))
        .args(&NPM[1..])
        .arg(format!("--cache={}", settings.cache_dir.join("npm")))
        .current_dir(&folder)
        .run(&mut |line| sink(Event::StageOutput { stage: "npm", line: line.text }))
        .map_err(|error| {
            CommandError::of_command(Code::BuildFailed, "npm could not renew its lock", &error, SHOWN)
        })?;
    let (old, new) = (fs::read_to_string(place.join(LOCK))?, fs::read_to_string(folder.join(LOCK))?);
    let rows = changes(&versions(&old)?, &versions(&new)?);
    if !rows.is_empty() {
        ui.table(&["npm package", "old", "new"], &rows);
    }
    report(LOCK, old == new, &format!("{} packages", rows.len()), dry_run, ui);
    if !dry_run && old != new {
        Replace::new(&place.join(LOCK)).write(new)?;
    }
    Ok(())
}

/// The versions by the packages' folders.
fn versions(lock: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let lock: serde_json::Value = serde_json::from_str(lock)?;
    let packages = lock["packages"].as_object().into_iter().flatten();
    let version = |value: &serde_json::Value| value["version"].as_str().unwrap_or_default().to_owned();
    let name = |path: &str| Utf8Path::new(path).strip_prefix("node_modules").map(ToString::to_string);
    Ok(packages.filter_map(|(path, value)| Some((name(path).ok()?, version(value)))).collect())
}

fn changes(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Vec<Vec<String>> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let version =
        |map: &BTreeMap<String, String>, name| map.get(name).cloned().unwrap_or_else(|| "-".to_owned());
    let changed = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    changed.map(|name| vec![name.clone(), version(old, name), version(new, name)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_removed_and_changed_packages_are_listed() {
        let lock = |packages: &str| {
            versions(&format!("{{\"packages\": {{\"\": {{\"version\": \"0\"}}, {packages}}}}}")).unwrap()
        };
        let old = lock(r#""node_modules/a": {"version": "1"}, "node_modules/b": {"version": "1"}"#);
        let new =
            lock(r#""node_modules/a": {"version": "2"}, "node_modules/a/node_modules/c": {"version": "3"}"#);
        assert_eq!(changes(&old, &new), [["a", "1", "2"], ["a/node_modules/c", "-", "3"], ["b", "1", "-"]]);
        assert!(changes(&old, &old).is_empty());
    }
}
