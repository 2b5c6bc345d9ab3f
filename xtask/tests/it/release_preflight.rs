//! The checks before a release that need more than flags to fail: each names its remedy.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use camino::Utf8Path;
use duct::cmd;
use rave_guest::config::GuestConfig;
use rave_image::Manifest;
use rave_image::digest::Digest;
use rave_image::manifest::{self, Artifact, ArtifactFile, DebianOrigin, LockUse, Origin};
use rave_image::tree::root_tar::InstalledPackage;
use rave_spec::Format;
use rave_testing::or_skip;

use crate::checkout::{Ran, run_in};
use crate::release::{GOOD, SYSTEM, VERSION, git, has_space, repository};

/// A repository, and a folder of programs before all others.
struct Place {
    _folder: tempfile::TempDir,
    path: PathBuf,
    root: PathBuf,
    programs: String,
}

impl Place {
    fn new() -> Self {
        let folder = repository();
        let path = folder.path().to_owned();
        let programs = path.join("bin");
        fs::create_dir(&programs).unwrap();
        let programs = programs.to_str().unwrap().to_owned();
        Self { root: path.join("checkout"), _folder: folder, path, programs }
    }

    fn program(&self, name: &str, script: &str) {
        let file = self.path.join("bin").join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A dry run into `out`, with the programs of this place.
    fn dry_run(&self, out: &str, more: &[&str], variables: &[(&str, &str)]) -> Ran {
        let arguments = ["release", "--out", out, "--key", "../key", "--dry-run", "--profile", "headless"];
        let path = format!("{}:{}", self.programs, SYSTEM.1);
        let variables = [&[("PATH", path.as_str())], variables].concat();
        run_in(&self.root, &[&arguments[..], more].concat(), &variables)
    }

    fn fails(&self, name: &str, found: &str, remedy: &str) {
        shows(&self.dry_run("../release", &GOOD, &[]), name, found, remedy);
    }

    fn change(&self, file: &str, from: &str, to: &str) {
        let path = self.root.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from:?} is not in {file}");
        fs::write(path, text.replace(from, to)).unwrap();
        git(&self.root, &["commit", "-q", "-a", "-m", "A change"]);
    }

    fn back(&self) {
        git(&self.root, &["reset", "-q", "--hard", "HEAD~1"]);
    }
}

/// Checks that a dry run failed first in this check.
fn shows(ran: &Ran, name: &str, found: &str, remedy: &str) {
    assert_eq!(ran.code, 2, "{name}: {}", ran.stderr);
    let first = ran.stderr.lines().next().unwrap_or_default();
    let begins = first.starts_with(&format!("error: a release cannot be cut: {name}: "));
    assert!(begins && first.contains(found), "{name}: {}", ran.stderr);
    assert!(ran.stderr.contains(&format!("remedy: {remedy}")), "{name}: {}", ran.stderr);
}

#[test]
fn what_is_committed_is_checked() {
    let place = Place::new();
    or_skip!(has_space(&place.path));
    place.change("CHANGELOG.md", &format!("## [{VERSION}]"), "## [Unreleased]");
    place.fails("changelog", "has no entry `## [1.2.0]`", "write one: rename `[Unreleased]`");
    place.back();
    let lock = fs::read_to_string(place.root.join("debian.lock")).unwrap();
    let dates = lock.lines().filter_map(|line| line.strip_prefix("release ")?.split(' ').nth(1));
    let mut dates: Vec<String> = dates.map(str::to_owned).collect();
    dates.dedup();
    let old = dates.iter().fold(lock.clone(), |text, date| text.replace(date, "2020-01-01T00:00:00Z"));
    fs::write(place.root.join("debian.lock"), old).unwrap();
    git(&place.root, &["commit", "-q", "-a", "-m", "An old lock"]);
    place.fails("locks", "days old, at most 30 are allowed", "renew it with `cargo xtask update`");
    place.back();
    place.change("debian.lock", "release ", "relaese ");
    place.fails("locks", "debian.lock", "put it back with `git checkout debian.lock`");
    place.back();
    git(&place.root, &["rm", "-q", "deny.toml"]);
    git(&place.root, &["commit", "-q", "-m", "No rules"]);
    place.fails("crates' licences", "deny.toml is missing", "put it back with `git checkout deny.toml`");
    place.back();
    place.program("cargo-deny", "exit 0\n");
    place.program("cargo", "echo \"$*\" >&2\nexit 1\n");
    place.fails("crates' licences", "the command failed", "leave the crate out, or change deny.toml");
    place.program("cargo", "exit 0\n");
    let ran = place.dry_run("../release", &GOOD, &[]);
    assert!(ran.code == 0 && ran.stdout.contains("allowed by deny.toml"), "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn the_key_is_readable_private_and_encrypted() {
    let place = Place::new();
    or_skip!(has_space(&place.path));
    let key = place.path.join("key");
    let mode = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o644);
    place.fails("key", "others may read it", "take their permission away: chmod 600 FILE");
    fs::rename(&key, place.path.join("away")).unwrap();
    cmd!("mkfifo", &key).run().unwrap();
    place.fails("key", "it is not a file", "name the private key's file with --key");
    fs::remove_file(&key).unwrap();
    fs::write(&key, "a key").unwrap();
    mode(0o600);
    place.fails(
        "key",
        "it is not an OpenSSH private key",
        "name a key that `cargo xtask release keygen` made",
    );
    fs::remove_file(&key).unwrap();
    let keygen = cmd!("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", &key).unchecked().run();
    or_skip!(keygen.map_err(|error| format!("ssh-keygen: {error}")));
    place.fails("key", "it is not encrypted", "encrypt it under a passphrase: ssh-keygen -p -f FILE");
}

/// What an earlier build left: one disk, and one package.
fn built(place: &Place, licence: &str) {
    let folder = place.root.join("out/debian-headless");
    let out_dir = Utf8Path::from_path(&folder).unwrap();
    fs::create_dir_all(out_dir).unwrap();
    let name = "rave-debian-headless.qcow2".to_owned();
    File::create(out_dir.join(&name)).unwrap().set_len(1 << 20).unwrap();
    let digest = Digest::of_bytes(b"");
    let package = InstalledPackage {
        name: "app".into(),
        version: "1".into(),
        architecture: "all".into(),
        installed_kib: 1,
        size: 1,
        sha256: digest,
        licence: Some(licence.into()),
    };
    let file = ArtifactFile { name, size: 1 << 20, sha256: digest };
    let manifest = Manifest {
        schema: manifest::SCHEMA,
        origin: Origin::Debian(DebianOrigin {
            source_date_epoch: 1,
            inputs: Vec::new(),
            content: digest,
            packages: vec![package],
            archives: Vec::new(),
            debian_lock: LockUse { sha256: digest, outside: Vec::new(), differs: Vec::new() },
        }),
        profile: "headless".into(),
        guest: GuestConfig::default(),
        artifacts: vec![Artifact {
            format: Format::Qemu,
            files: vec![file].try_into().unwrap(),
            key: digest,
        }],
        build_tools: Vec::new(),
        npm_packages: Vec::new(),
    };
    manifest.write(out_dir).unwrap();
    fs::write(place.root.join(".git/info/exclude"), "/out\n").unwrap();
}

#[test]
fn the_last_build_is_checked_for_licences() {
    let place = Place::new();
    built(&place, "SSPL-1.0");
    place.fails(
        "guest's licences",
        "headless contains pkg:deb/debian/app@1",
        "leave the package out, or change release.denied_licences",
    );
    built(&place, "MIT OR SSPL-1.0");
    let ran = place.dry_run("../release", &GOOD, &[]);
    assert!(ran.code == 0 && ran.stdout.contains("none is denied"), "{}\n{}", ran.stdout, ran.stderr);
}

#[test]
fn missing_space_is_named_with_the_folder_and_both_sizes() {
    let place = Place::new();
    // No file system has fewer free bytes than that of processes.
    let ran = place.dry_run("/proc/release", &GOOD, &[]);
    let remedy = "free some space, or choose another folder with --out";
    shows(&ran, "disk space", "0 MiB are free in /proc, ", remedy);
    assert!(ran.stderr.contains(" MiB may be needed"), "{}", ran.stderr);
    fs::write(place.path.join("file"), "").unwrap();
    let ran = place.dry_run("../file", &GOOD, &[]);
    shows(&ran, "disk space", "/file is not a folder", "choose another with --out");
    // The second build has its own folder.
    built(&place, "MIT");
    let ran = place.dry_run("../release", &GOOD, &[("TMPDIR", "/proc")]);
    let remedy = "free some space, or set TMPDIR for the second build";
    shows(&ran, "disk space", "0 MiB are free in /proc, ", remedy);
    let once = [&GOOD[..], &["--no-second-build"]].concat();
    let ran = place.dry_run("../release", &once, &[("TMPDIR", "/proc")]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

const NIXOS: [&str; 6] =
    ["--version", VERSION, "--base", "nixos", "--allow-default-password", "--no-second-build"];

/// Enough of nix for what is asked before a build.
const NIX: &str = r#"case "$*" in
--version) echo "nix (Nix) 2.26.3" ;;
"eval --json --expr builtins ? getFlake") echo true ;;
*) echo "what is $*" >&2; exit 1 ;;
esac
"#;

#[test]
fn a_release_of_the_nixos_base_is_planned_and_checked() {
    let place = Place::new();
    or_skip!(has_space(&place.path));
    let good = [&NIXOS[..], &["--accept-unfree"]].concat();
    shows(&place.dry_run("../release", &good, &[]), "packages", "nix", "");
    place.program("nix", NIX);
    let ran = place.dry_run("../release", &good, &[]);
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    for text in ["nix (Nix) 2.26.3 asks its caches", "flake.lock is part of the commit", "smoke headless"] {
        assert!(ran.stdout.contains(text), "no {text:?} in:\n{}", ran.stdout);
    }
    for text in ["second build headless", "inputs"] {
        assert!(!ran.stdout.lines().any(|line| line.starts_with(text)), "{text:?} in:\n{}", ran.stdout);
    }
    let twice: Vec<&str> = good.iter().copied().filter(|word| *word != "--no-second-build").collect();
    let ran = place.dry_run("../release", &twice, &[]);
    shows(&ran, "base", "the nixos base is not built twice", "add --no-second-build");
    // The flake sees only what is committed: neither of these is in the image.
    let ran = place.dry_run("../release", &NIXOS, &[("RAVE_CLAUDE", "first-boot")]);
    shows(&ran, "unfree", "Claude Code is in the images", "add --accept-unfree");
    let own: Vec<&str> = good.iter().copied().filter(|word| *word != "--allow-default-password").collect();
    fs::write(place.root.join("rave.local.toml"), "[guest]\npassword = \"another password\"\n").unwrap();
    fs::write(place.root.join(".git/info/exclude"), "/rave.local.toml\n").unwrap();
    let ran = place.dry_run("../release", &own, &[]);
    shows(&ran, "password", "headless has the password of rave.toml", "set guest.password");
}
