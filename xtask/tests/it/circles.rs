//! No module or crate depends on itself through others.

mod graph;
mod modules;

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::Cmd;
use serde_json::Value;

use crate::checkout::{files, read, root};
use graph::{Graph, Reason};
use modules::{ModulePath, Sources};

/// One cycle: the names of its modules, and a shortest path around it.
struct Circle {
    modules: BTreeSet<String>,
    cycle: Vec<String>,
}

/// The cycles between the modules of the crate whose root is `root`.
fn circles(root: &Utf8Path, sources: &Sources) -> Vec<Circle> {
    let graph: Graph = graph::of_modules(&modules::of_crate(root, sources));
    let groups = graph::circles(&graph).into_iter();
    let circle = |group| Circle {
        cycle: graph::shortest(&graph, &group),
        modules: group.iter().map(graph::name).collect(),
    };
    groups.map(circle).collect()
}

/// The cycles of a fixture: files that start with a line `//- PATH`.
fn of_fixture(name: &str) -> Vec<Circle> {
    let text = read(&Utf8Path::new("xtask/tests/fixtures/circles").join(format!("{name}.txt")));
    let mut sources = Sources::new();
    for file in text.split("//- ").filter(|file| !file.is_empty()) {
        let (path, code) = file.split_once('\n').expect("a path, and code below it");
        sources.insert(Utf8PathBuf::from(path), code.to_owned());
    }
    let root = sources.keys().find(|path| ["src/main.rs", "src/lib.rs"].contains(&path.as_str()));
    circles(root.expect("a root"), &sources)
}

fn names(circle: &Circle) -> Vec<&str> {
    circle.modules.iter().map(String::as_str).collect()
}

/// Checks a fixture with one cycle, of these modules.
fn has_one(fixture: &str, modules: &[&str]) {
    let found = of_fixture(fixture);
    assert_eq!(found.iter().map(names).collect::<Vec<_>>(), [modules], "circles of {fixture}");
    assert!(found[0].cycle.len() > 1, "{fixture}: {:?}", found[0].cycle);
}

#[test]
fn a_cycle_between_commands_is_found() {
    has_one("request", &["cmd::double", "cmd::image", "cmd::image::locked", "request"]);
}

#[test]
fn a_cycle_through_an_error_type_is_found() {
    has_one("error", &["bases::debian::lock", "error", "room", "scratch", "store"]);
}

#[test]
fn a_cycle_through_a_constant_is_found() {
    has_one("formats", &["formats::stream", "formats::virtualbox", "formats::vmware"]);
}

#[test]
fn a_cycle_of_two_is_found_with_its_positions() {
    has_one("session", &["smoke::install", "smoke::session"]);
    let cycle = &of_fixture("session")[0].cycle;
    assert_eq!(
        cycle.as_slice(),
        [
            "smoke::install -> smoke::session (src/smoke/install.rs:1: super::session::Session)",
            "smoke::session -> smoke::install (src/smoke/session.rs:1: super::install::Unfinished)",
        ]
    );
}

#[test]
fn a_cycle_between_a_table_and_its_rows_is_found() {
    has_one("rows", &["host::disk_space", "host::privileges", "host::rows"]);
}

#[test]
fn hidden_cycles_are_found() {
    let found = of_fixture("hidden");
    let expected: [&[&str]; 5] = [
        &["attribute", "by_attribute"],
        &["by_glob", "globbed"],
        &["by_macro", "named"],
        &["by_reexport", "reexported::inner"],
        &["parent", "parent::child"],
    ];
    assert_eq!(found.iter().map(names).collect::<Vec<_>>(), expected);
}

#[test]
fn declarations_reexports_and_tests_cause_no_cycle() {
    let found = of_fixture("none");
    assert!(found.is_empty(), "{:?}", found.iter().map(names).collect::<Vec<_>>());
}

/// Cargo's metadata of the workspace's crates.
fn packages() -> Vec<Value> {
    let metadata = Cmd::new("cargo")
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo knows the workspace");
    let metadata: Value = serde_json::from_str(&metadata.text()).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

/// Libraries, programs and build scripts of a crate, by their root files.
fn roots(package: &Value) -> Vec<Utf8PathBuf> {
    let targets = package["targets"].as_array().expect("targets").iter();
    let of_product = targets.filter(|target| !["test", "bench", "example"].contains(&kind(target)));
    let file = |target: &Value| Utf8PathBuf::from(target["src_path"].as_str().expect("a path"));
    of_product.map(|target| file(target).strip_prefix(root()).expect("in the checkout").to_owned()).collect()
}

fn kind(target: &Value) -> &str {
    target["kind"][0].as_str().unwrap_or_default()
}

#[test]
fn modules_of_a_crate_have_no_dependency_cycle() {
    let sources: Sources = files(".rs").into_iter().map(|file| (file.clone(), read(&file))).collect();
    let mut found = Vec::new();
    for package in packages() {
        for root in roots(&package) {
            for circle in circles(&root, &sources) {
                found.push(format!("{root}: {}\n  {}", names(&circle).join(", "), circle.cycle.join("\n  ")));
            }
        }
    }
    assert!(found.is_empty(), "{} circles:\n{}", found.len(), found.join("\n"));
}

#[test]
fn crates_have_no_dependency_cycle() {
    // Cargo refuses cyclic dependencies, except through [dev-dependencies].
    let name = |value: &Value| vec![value["name"].as_str().expect("a name").to_owned()];
    let packages = packages();
    let graph = packages.iter().map(|package| {
        let file = Utf8PathBuf::from(package["manifest_path"].as_str().expect("a path"));
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter().map(name);
        let edge = |to: ModulePath| (to.clone(), Reason { file: file.clone(), line: 1, path: to.concat() });
        (name(package), dependencies.map(edge).collect())
    });
    let graph: Graph = graph.collect();
    let found: Vec<_> = graph::circles(&graph).iter().map(|group| graph::shortest(&graph, group)).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn dependencies_follow_the_table_of_the_architecture() {
    let text = read("ARCHITECTURE.md".into());
    let row = |line: &str| line.strip_prefix("| `")?.split('`').next().map(Utf8PathBuf::from);
    let order: Vec<Utf8PathBuf> = text.lines().filter_map(row).collect();
    let packages = packages();
    let place = |name: &str| {
        let package = packages.iter().find(|package| package["name"] == name)?;
        let folder = Utf8Path::new(package["manifest_path"].as_str()?).parent()?.strip_prefix(root()).ok()?;
        let place = order.iter().position(|row| row == folder);
        Some(place.unwrap_or_else(|| panic!("{folder} is not in the table")))
    };
    for package in &packages {
        let name = package["name"].as_str().expect("a name");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let dependency = dependency["name"].as_str().expect("a name");
            if let Some(below) = place(dependency) {
                assert!(
                    place(name) < Some(below),
                    "{name} depends on {dependency}, which is above it in the table"
                );
            }
        }
    }
}
