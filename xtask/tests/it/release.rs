//! The checks of `release` before it starts.

use std::fs;
use std::path::Path;

use rave_process::Cmd;
use rave_testing::or_skip;

use crate::checkout::{Ran, fill, fresh, own_toml, run_in};

pub(crate) const VERSION: &str = "1.2.0";

/// A repository that a release can be cut from, and a key beside it.
pub(crate) fn repository() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("checkout");
    fs::create_dir(&root).unwrap();
    fill(&root, &own_toml());
    let write = |name: &str, text: &str| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("Cargo.toml", &format!("[workspace.package]\nversion = \"{VERSION}\"\n"));
    write("Cargo.lock", "");
    write("flake.lock", "{}");
    write("crates/guest/assets/npm/package-lock.json", "{}");
    write("CHANGELOG.md", &format!("# Changelog\n\n## [{VERSION}]\n\n- Something new.\n"));
    // A current lock, whenever the test runs.
    let today = Cmd::new("date").args(["-u", "+%Y-%m-%dT00:00:00Z"]).output().unwrap().text();
    let lock = fs::read_to_string(root.join("debian.lock")).unwrap();
    let dated = |line: &str| {
        let arguments: Vec<&str> = line.split(' ').collect();
        match arguments.as_slice() {
            ["release", suite, _, digest] => format!("release {suite} {} {digest}\n", today.trim()),
            _ => format!("{line}\n"),
        }
    };
    // No archive is queried for missing packages.
    let lines = lock.lines().filter(|line| !line.starts_with("package ") && !line.starts_with("profile "));
    write("debian.lock", &lines.map(dated).collect::<String>());
    write("deny.toml", "[licenses]\nallow = [\"MIT\"]\n");
    git(&root, &["init", "-q"]);
    git(&root, &["add", "."]);
    git(&root, &["commit", "-q", "-m", "A release"]);
    fs::write(place.path().join("passphrase"), "correct horse battery\n").unwrap();
    let made =
        run_in(&root, &["release", "keygen", "--out", "../key", "--passphrase-file", "../passphrase"], &[]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    place
}

pub(crate) fn git(root: &Path, arguments: &[&str]) {
    let author = ["-c", "user.name=Fixture", "-c", "user.email=fixture@localhost"];
    Cmd::new("git").args(author).args(arguments.iter().copied()).current_dir(root).output().unwrap();
}

/// Hides cargo-deny, which cargo installs elsewhere: it would check a checkout without crates.
pub(crate) const SYSTEM: (&str, &str) = ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");

const DRY_RUN: [&str; 8] =
    ["release", "--out", "../release", "--key", "../key", "--dry-run", "--profile", "headless"];

/// The estimated size of a release of a profile that was never built: 13.5 GiB.
pub(crate) fn has_space(place: &Path) -> Result<(), String> {
    let stat = rustix::fs::statvfs(place).unwrap();
    let free = stat.f_bavail * stat.f_frsize;
    if free >= 14 << 30 { Ok(()) } else { Err(format!("{} MiB are free, 14336 are needed", free >> 20)) }
}

fn dry_run(root: &Path, more: &[&str]) -> Ran {
    run_in(root, &[&DRY_RUN[..], more].concat(), &[SYSTEM])
}

pub(crate) const GOOD: [&str; 6] =
    ["--version", VERSION, "--base", "debian", "--allow-default-password", "--accept-unfree"];

#[test]
fn a_dry_run_lists_checks_and_stages_and_writes_nothing() {
    let place = repository();
    or_skip!(has_space(place.path()));
    let root = place.path().join("checkout");
    let ran = dry_run(&root, &GOOD);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    for text in [
        "clean tree",
        "the first one",
        "build headless",
        "second build headless",
        "leak gate headless",
        "inputs",
        "SHA256SUMS.sig",
    ] {
        assert!(ran.stdout.contains(text), "no {text:?} in:\n{}", ran.stdout);
    }
    let row =
        |name: &str| ran.stdout.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(row("packages").contains("0 of 0 are cached"), "{}", ran.stdout);
    assert!(row("guest's licences").contains("not tried"), "{}", ran.stdout);
    assert!(row("crates' licences").contains("not tried"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("FAILED"), "{}", ran.stdout);
    let entries = fs::read_dir(place.path()).unwrap().count();
    assert_eq!(entries, 5, "checkout, passphrase, and the three files of the key");
}

#[test]
fn each_failed_check_is_named_with_a_remedy() {
    let place = repository();
    or_skip!(has_space(place.path()));
    let root = place.path().join("checkout");
    let fails = |more: &[&str], name: &str, remedy: &str| {
        let ran = dry_run(&root, more);
        assert_eq!(ran.code, 2, "{name}: {}", ran.stderr);
        let first = format!("error: a release cannot be cut: {name}: ");
        assert!(ran.stderr.starts_with(&first), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(&format!("remedy: {remedy}")), "{name}: {}", ran.stderr);
    };
    let without =
        |left_out: &str| -> Vec<&str> { GOOD.iter().copied().filter(|word| *word != left_out).collect() };
    let base: Vec<&str> = without("--base").into_iter().filter(|word| *word != "debian").collect();
    fails(&base, "base", "give --base debian");
    fails(&without("--allow-default-password"), "password", "set guest.password in rave.local.toml");
    fails(&without("--accept-unfree"), "unfree", "add --accept-unfree");
    let locked = fs::read_to_string(root.join("debian.lock")).unwrap();
    let a = "a".repeat(64);
    let one = format!("{locked}profile headless git\npackage git 1 all 1 {a} headless\n");
    fs::write(root.join("debian.lock"), one).unwrap();
    git(&root, &["commit", "-q", "-a", "-m", "A package"]);
    fails(&[&GOOD[..], &["--offline"]].concat(), "packages", "leave out --offline");
    git(&root, &["reset", "-q", "--hard", "HEAD~1"]);
    let arguments = [&DRY_RUN[..], &without("--accept-unfree")].concat();
    let ran = run_in(&root, &arguments, &[("RAVE_CLAUDE", "first-boot"), SYSTEM]);
    assert_eq!(ran.code, 0, "the guest installs it: {}", ran.stderr);
    let other = [&["--version", "1.3.0"], &GOOD[2..]].concat();
    fails(&other, "version", "set version in Cargo.toml");
    git(&root, &["tag", "v1.2.0"]);
    fails(&GOOD, "version", "choose a newer version");
    git(&root, &["tag", "-d", "v1.2.0"]);
    fs::write(root.join("new"), "").unwrap();
    fails(&GOOD, "clean tree", "commit or remove them");
    fs::remove_file(root.join("new")).unwrap();
    let later = Cmd::new("git").args([
        "-c",
        "user.name=F",
        "-c",
        "user.email=f",
        "commit",
        "-q",
        "--amend",
        "-m",
        "Later",
    ]);
    later.env("GIT_COMMITTER_DATE", "@4000000000 +0000").current_dir(&root).output().unwrap();
    fails(&GOOD, "clock", "set the clock");
    git(&root, &["commit", "-q", "--amend", "-m", "Now"]);
    let link = place.path().join("release");
    std::os::unix::fs::symlink("checkout", &link).unwrap();
    fails(&GOOD, "disk space", "choose a folder in it with --out");
    fs::remove_file(link).unwrap();
    fs::rename(place.path().join("key"), place.path().join("away")).unwrap();
    fails(&GOOD, "key", "make one with `cargo xtask release keygen`");
    // Building parts needs no key.
    let arguments =
        [&["release", "--out", "../part", "--unsigned", "--dry-run", "--profile", "headless"], &GOOD[..]]
            .concat();
    let ran = run_in(&root, &arguments, &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(
        ran.stdout.contains("part.json, for --from-parts") && !ran.stdout.contains("SHA256SUMS"),
        "{}",
        ran.stdout
    );
}

#[test]
fn all_failures_are_reported_together() {
    let folder = fresh(&own_toml());
    let ran = dry_run(folder.path(), &["--version", "9.9.9"]);
    assert_eq!(ran.code, 2);
    for name in ["clean tree: git: ", "version: ", "changelog: ", "base: ", "key: ", "password: ", "unfree: "]
    {
        assert!(ran.stderr.contains(name), "{name}: {}", ran.stderr);
    }
}
