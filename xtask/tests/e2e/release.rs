//! A real release, by the commands of docs/release.md: cut, verified by stock tools and third-party readers, changed,
//! and rebuilt without network. It takes most of an hour: `cargo xtask test release`.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use camino::Utf8Path;

use crate::command::Command;
use crate::tool::{Finished, HEADLESS, Place, checkout, finish, user_cache};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The variable that names the Python with the readers' packages.
const READERS: &str = "RAVE_RELEASE_READERS";

/// A clone of the checkout's commit, with an entry of the version in its changelog.
struct Clone {
    place: Place,
    folder: PathBuf,
}

impl Clone {
    fn new() -> Self {
        let place = Place::new();
        let folder = place.path("a clone");
        let from = checkout().to_str().unwrap();
        git(checkout(), &["clone", "--quiet", "--no-tags", from, folder.to_str().unwrap()]);
        let changelog = folder.join("CHANGELOG.md");
        let text = fs::read_to_string(&changelog).unwrap();
        let entry = format!("## [Unreleased]\n\n## [{VERSION}]\n\n- A release of the tests.\n");
        fs::write(&changelog, text.replacen("## [Unreleased]\n", &entry, 1)).unwrap();
        let author = ["-c", "user.name=Tests", "-c", "user.email=tests@localhost"];
        git(&folder, &[&author[..], &["commit", "--quiet", "--all", "--message", "Release"]].concat());
        fs::write(place.path("passphrase"), "correct horse battery\n").unwrap();
        Self { place, folder }
    }

    fn path(&self, name: &str) -> String {
        self.place.path(name).to_str().unwrap().to_owned()
    }

    /// `xtask ARGUMENTS` in the clone, with the user's cache: its packages and stages are shared.
    fn xtask(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.xtask(arguments);
        command.current_dir(&self.folder).env("RAVE_CACHE", user_cache()).env_remove(READERS);
        command
    }

    fn verify(&self, more: &[&str]) -> Finished {
        let (release, key) = (self.path("release"), self.path("key.allowed_signers"));
        finish(&self.xtask(&[&["verify", &release, "--key", &key], more].concat()))
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let output = Command::new("git").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a stock tool in the release's folder.
fn stock(clone: &Clone, script: &str) {
    let mut command = Command::new("sh");
    command.args(["-ec", script, "sh", &clone.path("key.allowed_signers")]);
    finish(command.current_dir(clone.path("release"))).expect_code(0);
}

#[test]
#[ignore = "takes most of an hour: cargo xtask test release"]
fn a_release_is_cut_verified_changed_and_rebuilt() {
    let clone = Clone::new();
    let [key, passphrase, release] = ["key", "passphrase", "release"].map(|name| clone.path(name));
    let keygen = ["release", "keygen", "--out", &key, "--passphrase-file", &passphrase];
    finish(&clone.xtask(&keygen)).expect_code(0);
    let cut = ["release", "--version", VERSION, "--base", "debian", "--profile", HEADLESS, "--out", &release];
    let with =
        ["--key", &key, "--passphrase-file", &passphrase, "--allow-default-password", "--accept-unfree"];
    let finished = finish(&clone.xtask(&[&cut[..], &with].concat()));
    finished.expect_code(0);
    println!("{}", finished.stdout);

    clone.verify(&["--expect", VERSION]).expect_code(0);
    stock(&clone, "sha256sum --check --quiet SHA256SUMS");
    stock(
        &clone,
        "ssh-keygen -Y verify -f \"$1\" -I rave-releases -n rave-release -s SHA256SUMS.sig < SHA256SUMS",
    );
    readers(&clone);

    for file in changeable(Path::new(&release)) {
        let path = Path::new(&release).join(&file);
        flip(&path);
        let refused = clone.verify(&[]);
        refused.expect_code(1).expect_said(&file);
        flip(&path);
    }
    clone.verify(&[]).expect_code(0);

    let inputs = format!("{release}/rave-{VERSION}-inputs.tar");
    let rebuilt = clone.verify(&["--rebuild", "--inputs", &inputs]);
    rebuilt.expect_code(0);
    assert!(rebuilt.stdout.contains("ok: rebuilt, and every artifact"), "{}", rebuilt.stdout);
}

/// One file of each kind.
fn changeable(release: &Path) -> Vec<String> {
    let stem = format!("rave-{VERSION}-{HEADLESS}-x86_64");
    let files = [
        format!("{stem}.qcow2"),
        format!("{stem}.iso"),
        format!("sbom/{stem}.cdx.json"),
        "RELEASE_NOTES.md".into(),
        "SHA256SUMS.sig".into(),
        "manifest.json".into(),
        "provenance.intoto.jsonl".into(),
    ];
    for file in &files {
        assert!(release.join(file).is_file(), "{file}");
    }
    files.into()
}

/// Flips a bit in the middle of a file; a second time restores it.
fn flip(path: &Path) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let middle = file.metadata().unwrap().len() / 2;
    let mut byte = [0];
    file.read_exact_at(&mut byte, middle).unwrap();
    file.write_all_at(&[byte[0] ^ 1], middle).unwrap();
}

/// Third-party programs read the statements and the bills.
fn readers(clone: &Clone) {
    let python = std::env::var(READERS).unwrap_or_else(|_| panic!("{READERS} is not set"));
    let public = rave_release::key::read_public(Utf8Path::new(&clone.path("key.pub"))).unwrap();
    let digits = public.key_data().ed25519().unwrap().0.iter().map(|byte| format!("{byte:02x}"));
    let script = checkout().join("crates/release/tests/readers.py");
    let mut command = Command::new(python);
    command.arg(script).arg(clone.path("release"));
    command.args([rave_release::key::fingerprint(&public), digits.collect()]);
    let read = finish(&command);
    read.expect_code(0);
    println!("{}", read.stdout);
}
