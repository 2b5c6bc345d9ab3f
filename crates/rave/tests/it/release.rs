//! Keys and releases from the command line, without a checkout.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use duct::cmd;
use rave_image::digest::Digest;
use rave_image::inputs::Input;
use rave_image::manifest::{self, ArtifactFile, DebianOrigin, LockUse, Origin};
use rave_release::Error;
use rave_release::cut::{self, Built, Plan, ProfilePlan, Workshop};
use rave_release::key::LockedKey;
use rave_release::leak::BuilderNames;
use rave_release::sbom::Inventory;
use rave_smoke::report::{ArtifactChecks, Boot, BootTimes, CheckResult, Host, Outcome, Report, Run, Subject};
use rave_spec::{Base, Format};

const PASSPHRASE: &str = "correct horse battery";

/// A folder to run the program in.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

pub(crate) struct CommandOutput {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Place {
    /// With a key in it.
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(place.path("passphrase"), format!("{PASSPHRASE}\n")).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        Utf8Path::from_path(self.folder.path()).unwrap().join(name)
    }

    pub(crate) fn rave(&self, arguments: &[&str]) -> CommandOutput {
        self.run(&cmd(env!("CARGO_BIN_EXE_rave"), arguments))
    }

    pub(crate) fn run(&self, command: &duct::Expression) -> CommandOutput {
        let command =
            command.dir(self.folder.path()).stdin_null().stdout_capture().stderr_capture().unchecked();
        let output = command.env("RAVE_STATE", self.path("state")).env_remove("RAVE_HOME").run().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        CommandOutput {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    pub(crate) fn keygen(&self, name: &str) {
        let printed = self.rave(&["release", "keygen", "--out", name, "--passphrase-file", "passphrase"]);
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        assert!(
            printed.stdout.starts_with("rave-releases namespaces=\"rave-release\" ssh-ed25519 AAAA"),
            "{}",
            printed.stdout
        );
    }

    /// A release with one artifact of a few bytes, signed with the key `name`.
    pub(crate) fn release(&self, name: &str) -> Utf8PathBuf {
        let passphrase = zeroize::Zeroizing::new(PASSPHRASE.to_owned());
        let key = LockedKey::read(&self.path(name)).unwrap().unlock(&passphrase).unwrap();
        let plan = Plan {
            version: "1.2.0".parse().unwrap(),
            base: Base::Debian,
            commit: "0123456789".into(),
            epoch: 1,
            profiles: vec![ProfilePlan {
                profile: "headless".into(),
                arch: "x86_64".into(),
                formats: vec![Format::Qemu],
                default_password: false,
            }],
            second_build: false,
            part_limit: 1 << 20,
            changelog: "- New.".into(),
            settings: Digest::of_bytes(b"settings"),
            own_settings: Vec::new(),
            sources: Vec::new(),
            inputs: false,
            payload: false,
            has_claude: false,
            keys: Some(self.path("keys.jsonl")).filter(|path| path.exists()),
            previous: None,
            patch_from: None,
            out: self.path("release"),
        };
        cut::cut(&plan, self, &key, &|_| ()).unwrap();
        plan.out
    }
}

/// The boot of the artifact.
fn boot() -> Run {
    Run {
        subject: Subject {
            base: "debian".into(),
            profile: "headless".into(),
            format: "qemu".into(),
            row: "qemu-bios".into(),
            medium: "disk".into(),
            artifact: format!("{}.qcow2", rave_image::formats::stem(Base::Debian, "headless")),
            sha256: Digest::of_bytes(b"a disk").to_string(),
            accelerator: "tcg".into(),
            firmware: "bios".into(),
            bus: "virtio-blk".into(),
            nic: "virtio-net".into(),
            memory_mib: 1024,
            cpus: 1,
        },
        seconds: 1.0,
        boot: Boot::Ready(BootTimes {
            firmware: 0.1,
            loader: 0.1,
            kernel_initrd: 0.1,
            userspace: 0.1,
            ready: 0.4,
            stages: Vec::new(),
        }),
        rows: Vec::new(),
        screenshots: Vec::new(),
        warnings: Vec::new(),
        serial: None,
    }
}

impl Workshop for Place {
    type Error = Error;

    fn build(&self, profile: &ProfilePlan) -> Result<Built, Error> {
        let out_dir = self.path("image");
        fs::create_dir_all(&out_dir).unwrap();
        let name = format!("{}.qcow2", rave_image::formats::stem(Base::Debian, &profile.profile));
        fs::write(out_dir.join(&name), "a disk").unwrap();
        let (digest, sha256) = (Digest::of_bytes(b""), Digest::of_bytes(b"a disk"));
        let file = ArtifactFile { name, size: 6, sha256 };
        let manifest = rave_image::Manifest {
            schema: manifest::SCHEMA,
            origin: Origin::Debian(DebianOrigin {
                source_date_epoch: 1,
                inputs: Vec::new(),
                content: digest,
                packages: Vec::new(),
                archives: Vec::new(),
                debian_lock: LockUse { sha256: digest, outside: Vec::new(), differs: Vec::new() },
            }),
            profile: profile.profile.clone(),
            guest: rave_guest::config::GuestConfig::default(),
            artifacts: vec![manifest::Artifact {
                format: Format::Qemu,
                files: vec![file].try_into().unwrap(),
                key: digest,
            }],
            build_tools: Vec::new(),
            npm_packages: Vec::new(),
        };
        manifest.write(&out_dir)?;
        Ok(Built { manifest, out_dir })
    }

    fn rebuild(&self, _: &ProfilePlan) -> Result<(), Error> {
        Ok(())
    }

    fn smoke(&self, _: &ProfilePlan) -> Result<Report, Error> {
        let host = Host {
            system: "linux x86_64".into(),
            cpus: 1,
            qemu: "10".into(),
            accelerator: "tcg".into(),
            accelerator_reason: String::new(),
        };
        let rows = vec![CheckResult {
            name: "qemu-img".into(),
            group: "artifact".into(),
            title: "it is a disk".into(),
            outcome: Outcome::Passed,
            seconds: 0.0,
            attempts: 1,
            last_answer: String::new(),
        }];
        let made = vec![ArtifactChecks { format: "qemu".into(), rows, not_here: Vec::new() }];
        Ok(Report::new(host, SystemTime::UNIX_EPOCH, Duration::ZERO, made, vec![boot()], None))
    }

    fn inventory(&self, _: &ProfilePlan, _: &Built, name: &str) -> Result<Inventory, Error> {
        Ok(Inventory::new(name.into(), "1.2.0".into(), 1, Vec::new()))
    }

    fn builder(&self, _: &ProfilePlan, _: &Built) -> BuilderNames {
        BuilderNames::default()
    }

    fn inputs(&self, _: &[&Built]) -> Result<Vec<Input>, Error> {
        Ok(Vec::new())
    }

    fn now(&self) -> i64 {
        1_795_867_200
    }
}

#[test]
fn a_key_is_private_and_its_passphrase_comes_from_a_file_or_a_descriptor() {
    let place = Place::new();
    place.keygen("key");
    let mode = |name: &str| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("key"), mode("key.pub"), mode("key.allowed_signers")), (0o600, 0o644, 0o644));
    let again = place.rave(&["release", "keygen", "--out", "key", "--passphrase-file", "passphrase"]);
    assert_eq!(again.code, Some(2), "{}", again.stderr);
    assert!(again.stderr.contains("key already exists"), "{}", again.stderr);
    let script = r#""$0" release keygen --out other --passphrase-fd 7 7<passphrase"#;
    let printed = place.run(&cmd("sh", ["-c", script, env!("CARGO_BIN_EXE_rave")]));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    // No terminal, no file, no descriptor.
    let printed = place
        .run(&cmd("setsid", ["--wait", env!("CARGO_BIN_EXE_rave"), "release", "keygen", "--out", "third"]));
    assert_eq!(printed.code, Some(2), "{}", printed.stderr);
    assert!(
        printed.stderr.contains("no passphrase") && printed.stderr.contains("\nremedy: "),
        "{}",
        printed.stderr
    );
    assert!(!place.path("third").exists());
}

#[test]
fn only_a_given_or_pinned_key_makes_a_release_trusted() {
    let place = Place::new();
    place.keygen("key");
    let release = place.release("key");
    let printed = place.rave(&["verify", "release"]);
    assert_eq!(printed.code, Some(1), "{}", printed.stdout);
    let first = "error: this release does not verify: SHA256SUMS.sig: signature unchecked";
    assert!(printed.stderr.contains(first), "{}", printed.stderr);
    let printed = place.rave(&["verify", "release", "--key", "key.allowed_signers", "--expect", "1.2.0"]);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    assert!(
        printed
            .stdout
            .contains("ok: RAVE 1.2.0, base debian, commit 0123456789, signed by rave-releases SHA256:")
    );
    assert!(printed.stdout.contains("rave-1.2.0-headless-x86_64.qcow2"), "{}", printed.stdout);

    assert_eq!(place.rave(&["verify", "--trust", "key.allowed_signers"]).code, Some(0));
    assert_eq!(place.rave(&["verify", "release"]).code, Some(0));
    let said = place.rave(&["verify", "release", "--not-older-than", "1.3.0"]);
    assert_eq!(said.code, Some(1), "{}", said.stdout);
    assert!(said.stderr.contains("version: it is 1.2.0, which is older than 1.3.0"), "{}", said.stderr);
    assert_eq!(place.rave(&["verify", "release", "--commit", "0123456789"]).code, Some(0));
    let said = place.rave(&["verify", "release", "--commit", "0123456788"]);
    assert_eq!(said.code, Some(1), "{}", said.stdout);
    let expected = "commit: it is 0123456789, expected is 0123456788";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
    let said = place.rave(&["verify", "release", "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let found: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(found["holds"], true);
    assert_eq!(found["version"], "1.2.0");
    fs::write(release.join("rave-1.2.0-headless-x86_64.qcow2"), "A disk").unwrap();
    let printed = place.rave(&["verify", "release", "--json"]);
    assert_eq!(printed.code, Some(1), "{}", printed.stderr);
    let found: serde_json::Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(found["holds"], false);
    assert_eq!(found["problems"][0]["about"], "rave-1.2.0-headless-x86_64.qcow2");
    // What cannot be read is not verified: exit code 1 as well.
    for arguments in [&["verify", "nowhere"][..], &["verify", "release", "--key", "passphrase"]] {
        let printed = place.rave(arguments);
        assert_eq!(printed.code, Some(1), "{}", printed.stderr);
        assert!(printed.stderr.contains("error: "), "{}", printed.stderr);
    }
}

#[test]
fn keys_can_be_rotated_and_revoked() {
    let place = Place::new();
    place.keygen("key");
    place.keygen("next");
    let with = ["--passphrase-file", "passphrase", "--out", "keys.jsonl"];
    let rotate = ["release", "rotate", "--key", "key", "--to", "next", "--to-passphrase-file", "passphrase"];
    let rotate = [&rotate[..], &with, &["--serial", "1"]].concat();
    let said = place.rave(&rotate);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = place.rave(&rotate);
    assert!(said.code == Some(2) && said.stderr.contains("give --serial 2"), "{}", said.stderr);
    place.keygen("other");
    let other = ["release", "rotate", "--key", "key", "--to", "other", "--to-passphrase-file", "passphrase"];
    let said = place.rave(&[&other[..], &with, &["--serial", "2"]].concat());
    assert!(said.code == Some(2) && said.stderr.contains("another successor"), "{}", said.stderr);
    place.release("next");
    // Only the first key is trusted.
    let verify = ["verify", "release", "--key", "key.allowed_signers"];
    let printed = place.rave(&verify);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);

    let revoke =
        ["release", "revoke", "--key", "next", "--revoked", "key.pub", "--serial", "2", "--reason", "lost"];
    let printed = place.rave(&[&revoke[..], &with].concat());
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    // Receivers would refuse these.
    let late = ["release", "rotate", "--key", "next", "--to", "other", "--to-passphrase-file", "passphrase"];
    let end = ["release", "revoke", "--key", "next"];
    let unrelated = ["release", "revoke", "--key", "other", "--revoked", "next.pub"];
    let before = fs::read(place.path("keys.jsonl")).unwrap();
    let said = place.rave(&[&unrelated[..], &with, &["--serial", "1"]].concat());
    assert!(said.code == Some(2) && said.stderr.contains("was not signed by"), "{}", said.stderr);
    assert_eq!(fs::read(place.path("keys.jsonl")).unwrap(), before);
    assert_eq!(place.rave(&[&end[..], &with, &["--serial", "1"]].concat()).code, Some(0));
    let said = place.rave(&[&late[..], &with, &["--serial", "2"]].concat());
    assert!(said.code == Some(2) && said.stderr.contains("can have no successor"), "{}", said.stderr);
    fs::write(place.path("keys.jsonl"), before).unwrap();
    // The thief of a key omits the statements.
    fs::rename(place.path("keys.jsonl"), place.path("published.jsonl")).unwrap();
    fs::remove_dir_all(place.path("release")).unwrap();
    place.release("key");
    let printed = place.rave(&verify);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let printed = place.rave(&[&verify[..], &["--statements", "published.jsonl"]].concat());
    assert!(printed.code == Some(1) && printed.stderr.contains("was revoked: lost"), "{}", printed.stderr);
    // The revocation is remembered.
    let printed = place.rave(&verify);
    assert!(printed.code == Some(1) && printed.stderr.contains("was revoked: lost"), "{}", printed.stderr);
}

#[test]
fn a_revocation_is_learned_without_a_release() {
    let place = Place::new();
    place.keygen("key");
    let with = ["--passphrase-file", "passphrase", "--serial", "1", "--out", "published.jsonl"];
    let said = place.rave(&[&["release", "revoke", "--key", "key"][..], &with].concat());
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    place.release("key");
    let learn = ["verify", "--statements", "published.jsonl"];
    let said = place.rave(&learn);
    assert!(said.code == Some(1) && said.stderr.contains("no key is trusted"), "{}", said.stderr);
    let key = ["--key", "key.allowed_signers"];
    assert_eq!(place.rave(&[&["verify", "release"][..], &key].concat()).code, Some(0));
    place.keygen("other");
    let said = place.rave(&[&learn[..], &["--key", "other.allowed_signers"]].concat());
    assert!(said.code == Some(0) && said.stderr.contains("nothing was learned from"), "{}", said.stderr);
    let said = place.rave(&[&learn[..], &key].concat());
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    let said = place.rave(&[&["verify", "release"][..], &key].concat());
    assert!(said.code == Some(1) && said.stderr.contains("was revoked"), "{}", said.stderr);
}
