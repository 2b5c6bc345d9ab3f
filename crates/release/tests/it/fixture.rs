//! A small release, made by the same code as real ones: a disk of 12 MiB, converted by the image engine. Only the build
//! and the boots are fake.

mod image;

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::Digest;
use rave_image::inputs::{Input, Kind};
use rave_image::manifest;
use rave_release::cut::{self, Built, Finished, Plan, ProfilePlan, Source, Workshop};
use rave_release::key::{LockedKey, Passphrase, SigningKey, generate};
use rave_release::leak::BuilderNames;
use rave_release::sbom::Inventory;
use rave_release::sbom::known::Crates;
use rave_release::signers::Signer;
use rave_release::trust::{TrustStore, Trusted};
use rave_release::verify::{self, Request, Verdict};
use rave_release::{Error, parts};
use rave_smoke::report::{Boot, BootTimes, CheckResult, Host, Outcome, Report, Run, Subject};
use rave_spec::{Base, Format};

use image::{Content, image};

pub(crate) const VERSION: &str = "1.2.0";
pub(crate) const PROFILE: &str = "headless";
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// 2026-11-28T12:00:00Z.
pub(crate) const NOW: i64 = 1_795_867_200;
const EPOCH: u64 = 1_795_520_426;
/// The formats of a fixture's disks.
pub(crate) const FORMATS: [Format; 4] = [Format::Qemu, Format::Virtualbox, Format::Vmware, Format::Raw];

/// A separate folder with an image and a key.
pub(crate) struct Fixture {
    path: Utf8PathBuf,
    /// Removes the folder when the fixture that created it is dropped.
    _folder: Option<tempfile::TempDir>,
    pub(crate) key: SigningKey,
    pub(crate) built: Built,
    version: &'static str,
    /// How often each step of the workshop was called.
    pub(crate) calls: Mutex<BTreeMap<&'static str, usize>>,
}

impl Fixture {
    /// An image in all these formats; an error if this host has no qemu-img or zstd.
    pub(crate) fn new() -> Result<Self, String> {
        Self::of_formats(&FORMATS)
    }

    /// The same with a key that other processes can read.
    pub(crate) fn with_kept_key(formats: &[Format]) -> Result<Self, String> {
        let mut fixture = Self::of_formats(formats)?;
        let path = fixture.path("key");
        generate(&path, "releases", &passphrase()).unwrap();
        fixture.key = LockedKey::read(&path).unwrap().unlock(&passphrase()).unwrap();
        Ok(fixture)
    }

    pub(crate) fn of_formats(formats: &[Format]) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("rave-release-").tempdir_in("/var/tmp").unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap().to_owned();
        let built = image(&path, formats, Content::Older)?;
        let key = SigningKey::in_memory("releases").unwrap();
        Ok(Self { path, _folder: Some(folder), key, built, version: VERSION, calls: Mutex::default() })
    }

    /// A newer release in a separate folder: with additional files and a package, one package less, and one in another
    /// version. It uses the kept key.
    pub(crate) fn newer(&self, formats: &[Format]) -> Result<Self, String> {
        let path = self.path("newer");
        fs::create_dir(&path).unwrap();
        let built = image(&path, formats, Content::Newer)?;
        let key = LockedKey::read(&self.path("key")).unwrap().unlock(&passphrase()).unwrap();
        Ok(Self { path, _folder: None, key, built, version: "1.3.0", calls: Mutex::default() })
    }

    /// The fixture of another process, which kept its key.
    pub(crate) fn at(path: &Utf8Path) -> Self {
        let out_dir = path.join("image");
        let manifest = rave_image::Manifest::read(&out_dir).unwrap();
        let key = LockedKey::read(&path.join("key")).unwrap().unlock(&passphrase()).unwrap();
        let built = Built { manifest, out_dir };
        Self { path: path.to_owned(), _folder: None, key, built, version: VERSION, calls: Mutex::default() }
    }

    pub(crate) fn path(&self, name: &str) -> Utf8PathBuf {
        self.path.join(name)
    }

    /// A release of the image into the folder `name`.
    pub(crate) fn plan(&self, name: &str) -> Plan {
        let formats = self.built.manifest.artifacts.iter().map(|artifact| artifact.format).collect();
        let profile =
            ProfilePlan { profile: PROFILE.into(), arch: "x86_64".into(), formats, default_password: true };
        Plan {
            version: self.version.parse().unwrap(),
            base: Base::Debian,
            commit: COMMIT.into(),
            epoch: EPOCH,
            profiles: vec![profile],
            second_build: true,
            part_limit: parts::LIMIT,
            changelog: "- Something new.".into(),
            settings: Digest::of_bytes(b"settings"),
            own_settings: Vec::new(),
            sources: vec![Source { name: "debian.lock".into(), sha256: Digest::of_bytes(b"lock") }],
            inputs: true,
            payload: false,
            has_claude: false,
            keys: None,
            previous: None,
            patch_from: None,
            out: self.path(name),
        }
    }

    pub(crate) fn cut(&self, plan: &Plan) -> Result<Finished, Error> {
        cut::cut(plan, self, &self.key, &|_| ())
    }

    /// The release in the folder `release`.
    pub(crate) fn release(&self) -> Utf8PathBuf {
        let plan = self.plan("release");
        self.cut(&plan).unwrap();
        plan.out
    }

    pub(crate) fn signer(&self) -> Signer {
        Signer::new("releases", self.key.public().clone())
    }

    /// Verifies a release with the fixture's key trusted.
    pub(crate) fn verify(&self, folder: &Utf8Path) -> Verdict {
        verify_by(folder, vec![self.signer()], &self.path("state"), NOW)
    }
}

/// Verifies with these signers trusted, and the trust store of a folder.
pub(crate) fn verify_by(folder: &Utf8Path, signers: Vec<Signer>, state: &Utf8Path, now: i64) -> Verdict {
    let mut store = TrustStore::open(state).unwrap();
    let mut trusted = Trusted::new(signers, &store);
    let request = Request { folder, now, expect: None, not_older_than: None, commit: None, statements: &[] };
    let verdict = verify::verify(&request, &mut trusted, &mut store, &|_| ());
    store.save().unwrap();
    verdict
}

fn passphrase() -> Passphrase {
    zeroize::Zeroizing::new("correct horse battery".to_owned())
}

/// A copy of a release to manipulate.
pub(crate) fn copy(from: &Utf8Path, to: &Utf8Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in from.read_dir_utf8().unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Every file of a folder, by relative path.
pub(crate) fn files(folder: &Utf8Path) -> Vec<String> {
    let mut found = Vec::new();
    walk(folder, folder, &mut found);
    found.sort();
    found
}

fn walk(root: &Utf8Path, folder: &Utf8Path, found: &mut Vec<String>) {
    for entry in folder.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        if path.is_dir() {
            walk(root, &path, found);
        } else {
            found.push(path.strip_prefix(root).unwrap().to_string());
        }
    }
}

/// An input of each kind.
pub(crate) fn inputs(folder: &Utf8Path) -> Vec<Input> {
    fs::create_dir_all(folder).unwrap();
    let input = |kind, name: &str, version: &str, path: &str, text: &str| {
        let file = folder.join(path.replace('/', "-"));
        fs::write(&file, text).unwrap();
        let (name, version, path) = (name.to_owned(), version.to_owned(), path.to_owned());
        Input {
            kind,
            name,
            version,
            path,
            integrity: None,
            locked: Some(Digest::of_file(&file).unwrap()),
            file,
        }
    };
    vec![
        // Longer than the file size limit of some tests.
        input(Kind::Crate, "adler2", "2.0.1", "crates/adler2-2.0.1.crate", &"a crate ".repeat(3000)),
        input(Kind::Deb, "bash", "5.2.37-2+b10", "debs/0a.deb", "a package"),
        input(
            Kind::Stanza,
            "bash",
            "5.2.37-2+b10",
            "debs/0a.stanza",
            "Package: bash\nSource: bash (5.2.37-2)\n",
        ),
        input(Kind::Npm, "@scope/tool", "1.0.0", "npm/scope+tool-1.0.0.tgz", "a tarball"),
    ]
}

impl Fixture {
    fn called(&self, what: &'static str) {
        *self.calls.lock().unwrap().entry(what).or_default() += 1;
    }
}

impl Workshop for Fixture {
    type Error = Error;

    fn build(&self, _: &ProfilePlan) -> Result<Built, Error> {
        self.called("build");
        Ok(self.built.clone())
    }

    fn rebuild(&self, _: &ProfilePlan) -> Result<(), Error> {
        self.called("build again");
        Ok(())
    }

    fn smoke(&self, _: &ProfilePlan) -> Result<Report, Error> {
        self.called("smoke");
        Ok(report(&self.built.manifest))
    }

    fn builder(&self, _: &ProfilePlan, _: &Built) -> BuilderNames {
        BuilderNames {
            user: "builder-of-fixtures".into(),
            host: "host-of-fixtures".into(),
            paths: Vec::new(),
        }
    }

    fn inventory(&self, _: &ProfilePlan, built: &Built, name: &str) -> Result<Inventory, Error> {
        self.called("inventory");
        let crates = Crates {
            lock: include_str!("../../../../Cargo.lock"),
            program: include_str!("../../../guest/Cargo.toml"),
            version: "0.1.0",
            metadata: None,
        };
        cut::inventory_of(&self.plan("any"), built, name, "trixie", &crates)
    }

    fn inputs(&self, _: &[&Built]) -> Result<Vec<Input>, Error> {
        self.called("inputs");
        Ok(inputs(&self.path("inputs")))
    }

    fn now(&self) -> i64 {
        NOW
    }
}

/// A report in which each artifact became ready. A disk of 12 MiB contains no guest: the report is made up.
fn report(manifest: &rave_image::Manifest) -> Report {
    let run = |artifact: &manifest::Artifact| Run {
        subject: Subject {
            base: "debian".into(),
            profile: PROFILE.into(),
            format: artifact.format.to_string(),
            row: format!("{}-bios", artifact.format),
            medium: "disk".into(),
            artifact: artifact.boot_file().name.clone(),
            sha256: artifact.boot_file().sha256.to_string(),
            accelerator: "tcg".into(),
            firmware: "bios".into(),
            bus: "virtio-blk".into(),
            nic: "virtio-net".into(),
            memory_mib: 1024,
            cpus: 1,
        },
        seconds: 60.0,
        boot: Boot::Ready(BootTimes {
            firmware: 0.5,
            loader: 1.0,
            kernel_initrd: 2.0,
            userspace: 3.0,
            ready: 6.5,
            stages: Vec::new(),
        }),
        rows: vec![CheckResult {
            name: "os".into(),
            group: "system".into(),
            title: "the guest answers".into(),
            outcome: Outcome::Passed,
            seconds: 1.0,
            attempts: 1,
            last_answer: String::new(),
        }],
        screenshots: Vec::new(),
        warnings: vec!["a log could not be kept in /home/builder".into()],
        serial: None,
    };
    let host = Host {
        system: "linux x86_64".into(),
        cpus: 2,
        qemu: "10.0.2".into(),
        accelerator: "tcg".into(),
        accelerator_reason: "software emulation works".into(),
    };
    let runs = manifest.artifacts.iter().map(run).collect();
    Report::new(host, SystemTime::UNIX_EPOCH, Duration::from_secs(60), Vec::new(), runs, None)
}
