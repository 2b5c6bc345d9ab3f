//! The steps of the workflow `release` after the builds: parts are signed, and the release becomes a draft.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use duct::cmd;
use rave_image::digest::Digest;
use serde_json::json;

use crate::checkout::root;
use crate::release::{VERSION, repository};

const DISK: &str = "rave-1.2.0-headless-x86_64.qcow2";

/// A checkout, a key, and a part with one artifact of a few bytes.
struct Place {
    _folder: tempfile::TempDir,
    path: Utf8PathBuf,
}

struct CommandOutput {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        let folder = repository();
        let path = Utf8Path::from_path(folder.path()).unwrap().to_owned();
        let place = Self { _folder: folder, path };
        place.make_part();
        place.make_host();
        place
    }

    fn make_part(&self) {
        let part = self.path.join("parts/part-debian-headless");
        fs::create_dir_all(part.join("smoke/headless")).unwrap();
        fs::write(part.join(DISK), "a disk").unwrap();
        let report = json!({
            "schema": 3, "verdict": "passed", "counts": {"passed": 1, "failed": 0, "not_run": 0},
            "started": "2026-11-28T12:00:00Z", "seconds": 1.0, "version": "0.1.0",
            "host": {"system": "linux x86_64", "cpus": 1, "qemu": "10", "accelerator": "tcg", "accelerator_reason": ""},
            "made": [], "runs": [{
                "subject": {
                    "base": "debian", "profile": "headless", "format": "qemu", "row": "qemu-bios", "medium": "disk",
                    "artifact": "rave-debian-headless.qcow2", "sha256": Digest::of_bytes(b"a disk"),
                    "accelerator": "tcg", "firmware": "bios", "bus": "virtio-blk", "nic": "virtio-net",
                    "memory_mib": 1024, "cpus": 1
                },
                "seconds": 1.0,
                "boot": {
                    "result": "ready", "firmware": 0.1, "loader": 0.1, "kernel_initrd": 0.1, "userspace": 0.1,
                    "ready": 0.4, "stages": []
                },
                "rows": [], "screenshots": [], "warnings": []
            }]
        });
        let report = report.to_string();
        fs::write(part.join("smoke/headless/report.json"), &report).unwrap();
        let checkout = self.path.join("checkout");
        let commit = cmd!("git", "rev-parse", "HEAD").dir(&checkout).read().unwrap();
        let names = ["debian.lock", "Cargo.lock", "crates/guest/assets/npm/package-lock.json", "rave.toml"];
        let source =
            |name: &&str| json!({"name": name, "sha256": Digest::of_file(&checkout.join(name)).unwrap()});
        let sources: Vec<_> = names.iter().map(source).collect();
        let file = json!({"name": DISK, "size": 6, "sha256": Digest::of_bytes(b"a disk")});
        let document = json!({
            "schema": 1, "version": VERSION, "base": "debian", "commit": commit, "source_date_epoch": 1,
            "second_build": true, "part_limit": 2000 << 20, "has_claude": true, "started": 1, "sources": sources,
            "profiles": [{
                "profile": "headless", "arch": "x86_64", "default_password": true, "bills": [],
                "artifacts": [{"format": "qemu", "files": [file]}]
            }],
            "reports": [Digest::of_bytes(report.as_bytes())], "searched": [{"disks": 1, "files": 1}]
        });
        fs::write(part.join("part.json"), document.to_string()).unwrap();
    }

    /// A stand-in for the code host's client: a folder of assets. No real code host is available here.
    fn make_host(&self) {
        let script = r#"#!/bin/sh
echo "$*" >>"$GH_STATE.log"
case "$1 $2 $*" in
"api "*/commits/tags/*)
    [ -f "$GH_STATE.tag" ] || { echo "gh: No commit found for SHA: tags/v1 (HTTP 422)" >&2; exit 1; }
    cat "$GH_STATE.tag" ;;
"release view "*isDraft*)
    [ -d "$GH_STATE" ] || { echo "release not found" >&2; exit 1; }
    echo "$(cat "$GH_STATE.draft") $(cat "$GH_STATE.target")" ;;
"release view "*assets*)
    cd "$GH_STATE"
    for name in *; do
        [ -f "$name" ] || continue
        digest="sha256:$(sha256sum <"$name" | cut -d ' ' -f 1)"
        [ -s "$name" ] && state=uploaded || state=starter
        [ -z "$GH_OLD" ] || digest=
        echo "$name $state $digest"
    done ;;
"release view "*url*) echo "the draft of $3" ;;
"release create "*"--draft --latest=false"*)
    mkdir "$GH_STATE"; echo true >"$GH_STATE.draft"
    echo "$*" | sed 's/.*--target \([0-9a-f]*\).*/\1/' >"$GH_STATE.target" ;;
"release upload "*)
    name="$(basename "$4")"
    [ ! -e "$GH_STATE/$name" ] || { echo "it exists" >&2; exit 1; }
    cp "$4" "$GH_STATE/$name" ;;
"release delete-asset "*) rm "$GH_STATE/$4" ;;
"release download "*) cat "$GH_STATE/$5" ;;
*) echo "what is $*" >&2; exit 1 ;;
esac
"#;
        fs::create_dir(self.path.join("bin")).unwrap();
        let program = self.path.join("bin/gh");
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs a program of `ci` in the checkout.
    fn ci(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> CommandOutput {
        let path = format!("{}/bin:{}", self.path, std::env::var("PATH").unwrap());
        let mut command = cmd(root().join("ci").join(program).as_std_path(), arguments)
            .dir(self.path.join("checkout"))
            .env("PATH", path)
            .env("XTASK", env!("CARGO_BIN_EXE_xtask"))
            .env("RAVE_STATE", self.path.join("state"))
            .env("RAVE_CACHE", self.path.join("cache"))
            .env("SOURCE_DATE_EPOCH", "1")
            .env("GH_STATE", self.path.join("assets"))
            .env("TMPDIR", self.path.join("tmp"))
            .env_remove("CARGO_MANIFEST_DIR")
            .stdin_null()
            .stdout_capture()
            .stderr_capture()
            .unchecked();
        fs::create_dir_all(self.path.join("tmp")).unwrap();
        for (name, value) in variables {
            command = command.env(name, value);
        }
        let output = command.run().unwrap();
        assert_eq!(fs::read_dir(self.path.join("tmp")).unwrap().count(), 0, "something is left of {program}");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        CommandOutput {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    fn sign(&self) -> CommandOutput {
        let key = fs::read_to_string(self.path.join("key")).unwrap();
        let secrets = [("RELEASE_KEY", key.trim_end()), ("RELEASE_PASSPHRASE", "correct horse battery")];
        self.ci("sign-release", &["../parts", "../release", VERSION, "debian"], &secrets)
    }

    fn draft(&self, variables: &[(&str, &str)]) -> CommandOutput {
        let signers = fs::read_to_string(self.path.join("key.allowed_signers")).unwrap();
        fs::write(self.path.join("bundle.jsonl"), "{}\n").unwrap();
        let variables = [&[("SIGNERS", signers.as_str()), ("GH_TOKEN", "token")], variables].concat();
        self.ci("draft-release", &["../release", VERSION, "../bundle.jsonl"], &variables)
    }

    fn assets(&self) -> Vec<String> {
        let entries = self.path.join("assets").read_dir_utf8().unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_owned()).collect();
        names.sort();
        names
    }

    /// The number of uploads since the last call.
    fn uploads(&self) -> usize {
        let log = self.path.join("assets.log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        fs::write(log, "").unwrap();
        text.lines().filter(|line| line.starts_with("release upload")).count()
    }
}

#[test]
fn parts_are_signed_with_the_key_in_the_environment_which_leaves_no_trace() {
    let place = Place::new();
    let printed =
        place.ci("sign-release", &["../parts", "../release", VERSION, "debian"], &[("RELEASE_KEY", "")]);
    assert!(
        printed.code != Some(0) && printed.stderr.contains("RAVE_RELEASE_KEY is not set"),
        "{}",
        printed.stderr
    );
    let printed = place.sign();
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    assert!(
        printed.stdout.contains("take headless") && printed.stdout.contains("all  "),
        "{}",
        printed.stdout
    );
    let warning = "the release gets no archive of inputs: ";
    assert!(printed.stderr.contains(warning), "{}", printed.stderr);
    let notes = fs::read_to_string(place.path.join("release/RELEASE_NOTES.md")).unwrap();
    assert!(notes.contains("has the password of the sources"), "{notes}");
    let printed = place.sign();
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    assert!(printed.stderr.contains("is already finished"), "{}", printed.stderr);
    // A part from different sources.
    fs::remove_dir_all(place.path.join("release")).unwrap();
    let path = place.path.join("parts/part-debian-headless/part.json");
    let text =
        fs::read_to_string(&path).unwrap().replace("\"source_date_epoch\":1", "\"source_date_epoch\":2");
    fs::write(&path, text).unwrap();
    let said = place.sign();
    assert_eq!(said.code, Some(2), "{}", said.stderr);
    assert!(said.stderr.contains("part-debian-headless has a different date: 2, not 1"), "{}", said.stderr);
}

#[test]
fn a_rebuild_without_space_is_refused_before_it_starts() {
    let place = Place::new();
    assert_eq!(place.sign().code, Some(0));
    let verify = |folder: &str| {
        cmd!(
            env!("CARGO_BIN_EXE_xtask"),
            "verify",
            "../release",
            "--key",
            "../key.allowed_signers",
            "--rebuild"
        )
        .dir(place.path.join("checkout"))
        .env("RAVE_STATE", place.path.join("state"))
        .env("TMPDIR", folder)
        .env_remove("CARGO_MANIFEST_DIR")
        .stdin_null()
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .run()
        .unwrap()
    };
    // No file system has fewer free bytes than that of processes.
    let output = verify("/proc");
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: 0 MiB are free in /proc, 7168 MiB may be needed"), "{stderr}");
    assert!(
        stderr.contains("remedy: free some space, or set TMPDIR to a folder with more space"),
        "{stderr}"
    );
}

#[test]
fn a_draft_gets_each_file_once_and_never_other_content() {
    let place = Place::new();
    assert_eq!(place.sign().code, Some(0));
    let printed = place.draft(&[]);
    assert_eq!(
        (printed.code, printed.stdout.as_str()),
        (Some(0), "the draft of v1.2.0\n"),
        "{}",
        printed.stderr
    );
    let expected = ["rave-1.2.0-bundle.jsonl", "rave-1.2.0-documents.tar", DISK];
    assert_eq!((place.assets(), place.uploads()), (expected.map(String::from).to_vec(), 3));
    // The downloads are the signed files, after unpacking one tar.
    let fetched = place.path.join("fetched");
    fs::create_dir(&fetched).unwrap();
    fs::copy(place.path.join("assets").join(DISK), fetched.join(DISK)).unwrap();
    cmd!("tar", "-xf", place.path.join("assets/rave-1.2.0-documents.tar"), "-C", &fetched).run().unwrap();
    let sums = cmd!("sha256sum", "--strict", "-c", "SHA256SUMS").dir(&fetched).read().unwrap();
    assert!(sums.contains(&format!("{DISK}: OK")), "{sums}");

    assert_eq!((place.draft(&[]).code, place.uploads()), (Some(0), 0));
    // A client that knows no digests fetches the file.
    assert_eq!((place.draft(&[("GH_OLD", "1")]).code, place.uploads()), (Some(0), 0));
    // A killed upload.
    let asset = place.path.join("assets").join(DISK);
    fs::write(&asset, "").unwrap();
    assert_eq!((place.draft(&[]).code, place.uploads()), (Some(0), 1));
    for variables in [&[][..], &[("GH_OLD", "1")]] {
        fs::write(&asset, "another").unwrap();
        let printed = place.draft(variables);
        assert!(
            printed.code == Some(1) && printed.stderr.contains("with different content: sha256:"),
            "{}",
            printed.stderr
        );
        assert_eq!((fs::read(&asset).unwrap().as_slice(), place.uploads()), (&b"another"[..], 0));
    }
    // A draft or a tag of another commit.
    fs::write(&asset, "a disk").unwrap();
    let commit = fs::read_to_string(place.path.join("assets.target")).unwrap();
    let other = "f".repeat(40);
    for (file, why) in
        [("assets.target", "the draft of v1.2.0 is of"), ("assets.tag", "the tag v1.2.0 names")]
    {
        fs::write(place.path.join(file), &other).unwrap();
        let printed = place.draft(&[]);
        let expected =
            format!("error: {why} commit {other}, and the release was built from {}", commit.trim());
        assert!(printed.code == Some(1) && printed.stderr.contains(&expected), "{}", printed.stderr);
        fs::write(place.path.join(file), &commit).unwrap();
        assert_eq!((place.draft(&[]).code, place.uploads()), (Some(0), 0));
    }
    // Nothing is added after publication.
    fs::remove_file(&asset).unwrap();
    fs::write(place.path.join("assets.draft"), "false\n").unwrap();
    let printed = place.draft(&[]);
    assert!(
        printed.code == Some(1) && printed.stderr.contains("is published and lacks 1 files"),
        "{}",
        printed.stderr
    );
    // A code host that does not answer is not one without a tag.
    fs::write(place.path.join("bin/gh"), "#!/bin/sh\necho 'HTTP 502: bad gateway' >&2\nexit 1\n").unwrap();
    let printed = place.draft(&[]);
    assert!(printed.code == Some(1) && printed.stderr.contains("HTTP 502"), "{}", printed.stderr);
    // A release of another commit than that of the checkout.
    let author = ["-c", "user.name=F", "-c", "user.email=f"];
    let more = [&author[..], &["commit", "-q", "--allow-empty", "-m", "Later"]].concat();
    cmd("git", more).dir(place.path.join("checkout")).run().unwrap();
    let printed = place.draft(&[]);
    assert!(printed.code == Some(1) && printed.stderr.contains("commit: it is "), "{}", printed.stderr);
    // A release that does not verify is not drafted.
    fs::remove_dir_all(place.path.join("assets")).unwrap();
    fs::write(place.path.join("release").join(DISK), "A disk").unwrap();
    let printed = place.draft(&[]);
    assert!(printed.code == Some(1) && printed.stderr.contains("does not verify"), "{}", printed.stderr);
    assert!(!place.path.join("assets").exists());
}
