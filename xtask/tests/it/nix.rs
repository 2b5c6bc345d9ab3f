//! Consistency of the flake with the Rust code, checked without Nix.

use std::collections::BTreeSet;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use rave_smoke::registry::{CHECKS, Place};
use rave_spec::{ConfigFile, Feature, effective, load};

use crate::checkout::{files, own_toml, read, root};

/// The paths of `include_str!` and `include_bytes!` in a source, relative to the checkout.
fn included(source: &Utf8Path) -> Vec<Utf8PathBuf> {
    let text = read(source);
    let calls =
        ["include_str!(\"", "include_bytes!(\""].into_iter().flat_map(|call| text.split(call).skip(1));
    calls
        .filter_map(|rest| rest.split('"').next())
        .map(|path| normal(&source.parent().unwrap().join(path)))
        .collect()
}

/// `a/b/../c` as `a/c`.
fn normal(path: &Utf8Path) -> Utf8PathBuf {
    let mut normal = Utf8PathBuf::new();
    for part in path.components() {
        match part {
            Utf8Component::ParentDir => assert!(normal.pop(), "{path} leaves the checkout"),
            part => normal.push(part),
        }
    }
    normal
}

/// The paths that a file of the flake lists, relative to the checkout.
fn listed(file: &str) -> Vec<Utf8PathBuf> {
    let file = Utf8Path::new(file);
    let text = read(file);
    let paths = text.lines().map(str::trim).filter(|line| line.starts_with("../"));
    paths.map(|path| normal(&file.parent().unwrap().join(path))).collect()
}

#[test]
fn the_flake_has_every_file_that_the_crates_include() {
    let listed = listed("nix/packages/source.nix");
    assert!(listed.contains(&"crates".into()), "{listed:?}");
    // Tests are not compiled there.
    let sources = files(".rs").into_iter().filter(|file| file.as_str().contains("/src/"));
    let outside: BTreeSet<Utf8PathBuf> = sources
        .flat_map(|source| included(&source))
        .filter(|file| !listed.iter().any(|path| file.starts_with(path)))
        .collect();
    assert!(outside.is_empty(), "nix/packages/source.nix lacks {outside:?}");
    assert!(listed.iter().all(|path| root().join(path).exists()), "{listed:?}");
}

#[test]
fn the_flakes_conversion_has_a_compatible_home() {
    let conversion = "nix/images/convert.nix";
    let listed = listed(conversion);
    let compared = included("crates/rave/src/settings/home.rs".into());
    assert!(
        !compared.is_empty() && compared.iter().all(|file| listed.contains(file)),
        "{listed:?}, {compared:?}"
    );
    assert!(listed.contains(&"profiles".into()) && read(conversion.into()).contains("export RAVE_HOME="));
}

#[test]
fn each_check_has_a_nix_script_and_each_feature_a_module() {
    let scripts = read("nix/checks/scripts.nix".into());
    let has = |name: &str| scripts.lines().any(|line| line.starts_with(&format!("  {name} =")));
    let lacking: Vec<&str> = CHECKS
        .iter()
        .filter(|check| check.place != Place::Live)
        .map(|check| check.name)
        .filter(|name| !has(name))
        .collect();
    assert!(lacking.is_empty(), "nix/checks/scripts.nix lacks {lacking:?}");
    for feature in Feature::ALL {
        let module = Utf8PathBuf::from(format!("nix/features/{feature}.nix"));
        assert!(root().join(&module).is_file(), "{module} does not exist");
    }
}

/// The dotted names of the options in nix/lib/options.nix, recognised by their indentation: four spaces and two more
/// for each table.
fn options() -> BTreeSet<String> {
    let text = read("nix/lib/options.nix".into());
    let (_, options) = text.split_once("\n  options = {\n").expect("the options");
    let mut tables: Vec<&str> = Vec::new();
    let mut found = BTreeSet::new();
    for line in options.lines() {
        let entry = line.trim_start();
        let depth = (line.len() - entry.len()).checked_sub(4).map(|spaces| spaces / 2);
        match entry.split_once(" = ") {
            Some((name, "{")) if depth == Some(tables.len()) => tables.push(name),
            Some((name, _)) if depth == Some(tables.len()) => {
                found.insert([&tables[..], &[name]].concat().join("."));
            }
            None if entry == "};" && depth.map(|depth| depth + 1) == Some(tables.len()) => {
                tables.pop();
            }
            _ => {}
        }
    }
    found
}

#[test]
fn each_key_of_rave_toml_has_an_option() {
    const UNSET: &str = "defaults.base = \"nixos\"\nsandboxes.memory = 1024\nsandboxes.disk = 1024\nnetwork.mode = \"open\"\n\
        nixos.max-jobs = 1\ndebian.mirror = \"https://mirror.example.org/debian\"\n\
        debian.security_mirror = \"https://mirror.example.org/debian\"\n";
    let shipped = own_toml();
    let profile = read("profiles/simple.toml".into());
    let layers = [
        ConfigFile::settings("rave.toml", &shipped),
        ConfigFile::profile("profiles/simple.toml", "simple", &profile),
        ConfigFile::settings("rave.local.toml", UNSET),
    ];
    let keys = effective(&load(&layers, &[]).expect("the settings are good"));
    let options = options();
    // An option may stand for a table, such as `services`, whose names are not fixed.
    let has = |key: &str| {
        key.match_indices('.').any(|(end, _)| options.contains(&key[..end])) || options.contains(key)
    };
    let lacking: Vec<&str> = keys.iter().map(|key| key.key.as_str()).filter(|key| !has(key)).collect();
    assert!(lacking.is_empty(), "nix/lib/options.nix lacks {lacking:?}");
}
