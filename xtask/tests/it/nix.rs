//! What the flake must have of the Rust code, told without Nix.

use std::collections::BTreeSet;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use rave_smoke::registry::{CHECKS, Place};
use rave_spec::Feature;

use crate::checkout::{files, read, root};

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

/// The paths that nix/packages/source.nix lists, relative to the checkout.
fn listed() -> Vec<Utf8PathBuf> {
    let file = Utf8Path::new("nix/packages/source.nix");
    let text = read(file);
    let paths = text.lines().map(str::trim).filter(|line| line.starts_with("../"));
    paths.map(|path| normal(&file.parent().unwrap().join(path))).collect()
}

#[test]
fn the_flake_compiles_the_crates_with_every_file_that_they_include() {
    let listed = listed();
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
fn each_check_has_a_script_for_the_flakes_machines_and_each_feature_a_module() {
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
        assert!(root().join(&module).is_file(), "there is no {module}");
    }
}
