//! The Debian base's root file system: mmdebstrap writes one tar, as an ordinary user or as root.

mod apt;
pub mod availability;
mod date;
mod deb_cache;
pub mod lock;
mod mode;
mod resolve;
mod sources;
pub mod update;
pub mod version;

use std::collections::BTreeSet;

use camino::Utf8Path;
use rave_process::progress::{Event, Unit};
use rave_process::shell_quote;
use rave_spec::{Profile, Spec};

use apt::PackageRequest;
use deb_cache::DebCache;
use lock::LockedPackage;
pub use mode::MmdebstrapMode;
pub(crate) use resolve::ResolveOptions;
pub use resolve::{NetworkAccess, PackagePolicy, Resolution, VersionDifference};
pub(crate) use sources::Mirrors;

use crate::certificates::Certificates;
use crate::digest::{Digest, Hasher};
use crate::error::{Error, StageContext as _};
use crate::stage_runner::StageRunner;
use crate::tool::tool;
use crate::tree::root_tar::{self, RootTar};

/// The name of this stage.
pub const STAGE: &str = "rootfs";

/// Changes whenever the facts stored about a tar change.
const REVISION: &[u8] = b"6";

/// Bytes that the unpacked tree and its tar need at most during a build: about 2.6 GiB each for the largest profile,
/// and a margin.
const ROOM: u64 = 6 << 30;

/// Folders beside the tree during the build.
const REPOSITORY: &str = "repository";
const CERTIFICATES: &str = "certificates";

/// Files that the guest never reads, excluded from every package (dpkg(1), `--path-exclude`). Copyright files stay, as
/// the licences require, and Debian's changelogs, in which the notes of a release find security fixes: about 2 MB.
const PATH_RULES: &[&str] = &[
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-include=/usr/share/doc/*/changelog.Debian.gz",
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/vim/vim*/lang/*",
    "path-exclude=/usr/share/help/*",
    "path-exclude=/usr/share/gtk-doc/*",
    // A debugging aid for gcc's own developers, 33 MB.
    "path-exclude=/usr/bin/*-lto-dump-*",
];

/// The inputs of the root file system: a pure value that determines the key and the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rootfs {
    suite: String,
    packages: BTreeSet<String>,
    /// Whether to install recommended packages, as Debian's own installer does.
    recommends: bool,
    epoch: u64,
    /// Authorities that the guest trusts besides the public ones.
    certificates: Certificates,
    /// The exact packages; `None` until the archive was queried.
    resolution: Option<Resolution>,
}

impl Rootfs {
    /// The root file system of a profile whose exact packages are not known yet; `epoch` is `SOURCE_DATE_EPOCH`, in
    /// seconds.
    pub fn new(spec: &Spec, profile: &Profile, epoch: u64) -> Self {
        Self {
            suite: spec.debian.suite.to_string(),
            packages: spec.debian_packages(profile),
            recommends: false,
            epoch,
            certificates: Certificates::default(),
            resolution: None,
        }
    }

    /// Adds certificates to the tree's store.
    #[must_use]
    pub fn trusting(self, certificates: Certificates) -> Self {
        Self { certificates, ..self }
    }

    /// Adds the exact packages, if they are known without querying the archive.
    pub(crate) fn with_known_packages(self, options: &ResolveOptions<'_>) -> Self {
        Self { resolution: resolve::known_resolution(options, &self.suite, self.asked()), ..self }
    }

    /// The exact packages, and how they differ from the lock.
    pub(crate) fn resolution(&self) -> Option<&Resolution> {
        self.resolution.as_ref()
    }

    fn asked(&self) -> PackageRequest<'_> {
        PackageRequest { packages: &self.packages, recommends: self.recommends }
    }

    /// Debian's own packages for a task, besides those of every profile.
    pub(crate) fn plain_desktop(&self, spec: &Spec, task: &str) -> Self {
        let packages = spec.debian.packages.iter().cloned().chain([task.to_owned()]).collect();
        Self { packages, recommends: true, resolution: None, ..self.clone() }
    }

    /// Changes when, and only when, the tar would change. With packages that are not known yet it is not the key of any
    /// tar.
    pub fn key(&self) -> Digest {
        let mut hasher = Hasher::default();
        hasher.field("revision", REVISION);
        for package in self.resolution.iter().flat_map(|resolution| &resolution.packages) {
            hasher.field("package", package.name.as_bytes()).field("sha256", package.sha256.bytes());
        }
        for argument in self.arguments() {
            hasher.field("argument", argument.as_bytes());
        }
        for certificate in self.certificates.all() {
            hasher.field("certificate", certificate.pem.as_bytes());
        }
        hasher.field("suite", self.suite.as_bytes());
        hasher.field("epoch", &self.epoch.to_le_bytes());
        hasher.finish()
    }

    /// The full command line. All packages come from a repository in the folder `repository` of `work`; the sources
    /// that mmdebstrap writes into the tree are kept. Certificates are copied before ca-certificates is installed, so
    /// that its store, and everything that other packages derive from it, includes them.
    pub fn argv(&self, mode: MmdebstrapMode, work: &Utf8Path, tar: &Utf8Path) -> Vec<String> {
        let mut argv = mode.command();
        argv.extend(["--format=tar".into(), "--verbose".into()]);
        // No key is needed, and the path of the host's keys must not appear in the tree.
        argv.push("--skip=check/signed-by".into());
        let source = sources::of_folder(&work.join(REPOSITORY));
        let sources = "\"$1/etc/apt/sources.list\"";
        let aside = "\"$1/etc/apt/sources.list.archive\"";
        argv.push(format!("--setup-hook=mv {sources} {aside}; echo {} > {sources}", shell_quote(&source)));
        argv.push(format!("--customize-hook=mv {aside} {sources}"));
        if !self.certificates.all().is_empty() {
            let folder = "\"$1/usr/local/share/ca-certificates\"";
            let from = shell_quote(work.join(CERTIFICATES).as_str());
            argv.push(format!("--setup-hook=mkdir -p {folder}; cp {from}/*.crt {folder}"));
        }
        if mode == MmdebstrapMode::RootWithoutMounts {
            argv.push(format!("--customize-hook={}", include_str!("tmpfiles.sh")));
        }
        argv.extend(self.arguments());
        argv.extend([self.suite.clone(), tar.to_string()]);
        argv
    }

    /// The same packages with plain mmdebstrap: the baseline for measurements.
    pub fn plain_argv(&self, mode: MmdebstrapMode, tar: &Utf8Path) -> Vec<String> {
        let fixed = ["--format=tar", "--variant=minbase", "--architectures=amd64"].map(String::from);
        let rest = [self.include(), self.suite.clone(), tar.to_string()];
        mode.command().into_iter().chain(fixed).chain(rest).collect()
    }

    fn include(&self) -> String {
        format!("--include={}", self.packages.iter().cloned().collect::<Vec<_>>().join(","))
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--variant=minbase".to_owned(), "--architectures=amd64".to_owned()];
        // The tree is discarded once its tar is written: syncing each file to disk is pointless.
        arguments.push("--dpkgopt=force-unsafe-io".into());
        arguments.extend(PATH_RULES.iter().map(|rule| format!("--dpkgopt={rule}")));
        if self.recommends {
            arguments.push("--aptopt=Apt::Install-Recommends true".into());
        }
        arguments.push(format!("--setup-hook={}", include_str!("setup.sh")));
        arguments.push(format!("--setup-hook={}", live_scripts()));
        arguments.push(format!("--customize-hook={}", include_str!("customize.sh")));
        arguments.push(self.include());
        arguments
    }

    /// Builds the tar, or takes it from the cache; returns it with what is now known about its packages.
    pub(crate) fn build(
        self,
        stages: &StageRunner<'_>,
        options: &ResolveOptions<'_>,
    ) -> Result<(Self, RootTar), Error> {
        let (rootfs, deb_cache) = match &self.resolution {
            Some(_) if stages.finished(STAGE, &self.key()).is_some() => (self, None),
            _ => {
                let (deb_cache, resolution) =
                    resolve::fetch(stages, options, &self.suite, self.asked(), self.resolution.clone())?;
                (Self { resolution: Some(resolution), ..self }, Some(deb_cache))
            }
        };
        let tar = rootfs.tar(stages, deb_cache.as_ref())?;
        Ok((rootfs, tar))
    }

    fn tar(&self, stages: &StageRunner<'_>, deb_cache: Option<&DebCache>) -> Result<RootTar, Error> {
        let packages: &[LockedPackage] =
            self.resolution.as_ref().map_or(&[], |resolution| &resolution.packages);
        let entry = stages.run(STAGE, &self.key(), |pending| {
            let scratch = stages.scratch(ROOM)?;
            let repository = scratch.path().join(REPOSITORY);
            self.certificates.write(&scratch.path().join(CERTIFICATES))?;
            if let Some(deb_cache) = deb_cache {
                deb_cache.repository(&self.suite, packages, &repository)?;
            }
            let argv =
                self.argv(MmdebstrapMode::of_this_process(), scratch.path(), &pending.file(root_tar::TAR));
            let mut count = PackageCount::default();
            tool(&argv[0])
                .args(&argv[1..])
                // Packages compile their modules with the guest's own Python. With SOURCE_DATE_EPOCH set, that bytecode
                // contains digests (py_compile); bytecode written by an import would contain timestamps.
                .env("PYTHONDONTWRITEBYTECODE", "1")
                .env("TMPDIR", scratch.path().as_str())
                .env("SOURCE_DATE_EPOCH", self.epoch.to_string())
                .env("LC_ALL", "C.UTF-8")
                .log_file(stages.log(STAGE))
                .run(&mut |line| {
                    stages.report(Event::StageOutput { stage: STAGE, line: line.text });
                    if let Some((done, total)) = count.count(line.text) {
                        stages.report(Event::StageProgress {
                            stage: STAGE,
                            done,
                            total,
                            unit: Unit::Packages,
                        });
                    }
                })
                .stage(STAGE)?;
            root_tar::describe(pending, packages)
        })?;
        RootTar::open(&entry)
    }
}

/// Counts packages in the output of apt and dpkg. A package is done when it is set up.
#[derive(Debug, Default)]
struct PackageCount {
    done: u64,
    total: u64,
}

impl PackageCount {
    /// `Some` when the line changed the count.
    fn count(&mut self, line: &str) -> Option<(u64, Option<u64>)> {
        // apt-get(8) ends its plan with "0 upgraded, 119 newly installed, 0 to remove and 0 not upgraded."
        if let Some(new) = line.split_once(" newly installed") {
            let number = new.0.rsplit(' ').next()?.parse::<u64>().ok()?;
            self.total += number;
            return None;
        }
        line.starts_with("Setting up ").then(|| {
            self.done += 1;
            (self.done, (self.total >= self.done).then_some(self.total))
        })
    }
}

/// The hook that writes the initrd's scripts of a live session.
fn live_scripts() -> String {
    include_str!("live.sh").replace("@live_medium@\n", rave_guest::iso::ATTACH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rave_guest::assets::TrustedCertificate;

    fn rootfs() -> Rootfs {
        Rootfs {
            suite: "trixie".into(),
            packages: ["git", "curl"].map(String::from).into(),
            recommends: false,
            epoch: 7,
            certificates: Certificates::default(),
            resolution: None,
        }
    }

    #[test]
    fn argv_is_a_pure_value_with_sorted_packages() {
        let argv = rootfs().argv(MmdebstrapMode::Unshare, "/a b".into(), "/cache/root.tar".into());
        assert_eq!(
            argv[4..7],
            [
                "--skip=check/signed-by",
                "--setup-hook=mv \"$1/etc/apt/sources.list\" \"$1/etc/apt/sources.list.archive\"; \
                 echo 'deb [trusted=yes] copy:/a%20b/repository ./' > \"$1/etc/apt/sources.list\"",
                "--customize-hook=mv \"$1/etc/apt/sources.list.archive\" \"$1/etc/apt/sources.list\"",
            ]
        );
        assert_eq!(argv[..4], ["mmdebstrap", "--mode=unshare", "--format=tar", "--verbose"]);
        assert_eq!(argv[argv.len() - 3..], ["--include=curl,git", "trixie", "/cache/root.tar"]);
        let root = rootfs().argv(MmdebstrapMode::Root, "y".into(), "x".into());
        assert_eq!(root[..4], ["unshare", "--mount", "mmdebstrap", "--mode=root"]);
        let extra = |mode| {
            let argv = rootfs().argv(mode, "y".into(), "x".into());
            argv.into_iter().filter(|argument| argument.contains("systemd-tmpfiles")).count()
        };
        assert_eq!(
            [MmdebstrapMode::Unshare, MmdebstrapMode::Root, MmdebstrapMode::RootWithoutMounts].map(extra),
            [0, 0, 1]
        );
        let plain = rootfs().plain_argv(MmdebstrapMode::RootWithoutMounts, "x".into());
        let expected = "mmdebstrap --mode=root --skip=chroot/mount --format=tar --variant=minbase --architectures=amd64 \
                        --include=curl,git trixie x";
        assert_eq!(plain.join(" "), expected);
    }

    #[test]
    fn certificates_precede_the_package_that_installs_them() {
        let one = |pem: &str| {
            let (file_name, pem, base64) = ("a.crt".into(), pem.into(), String::new());
            rootfs().trusting(Certificates(vec![TrustedCertificate { file_name, pem, base64 }]))
        };
        let argv = one("a").argv(MmdebstrapMode::Unshare, "/a b".into(), "x".into());
        let hook = "--setup-hook=mkdir -p \"$1/usr/local/share/ca-certificates\"; \
                    cp '/a b/certificates'/*.crt \"$1/usr/local/share/ca-certificates\"";
        assert!(argv.iter().any(|argument| argument == hook), "{argv:#?}");
        assert_ne!(one("a").key(), one("b").key());
        assert_ne!(one("a").key(), rootfs().key());
        assert_eq!(rootfs().trusting(Certificates::default()).key(), rootfs().key());
    }

    #[test]
    fn the_key_depends_only_on_what_changes_the_tar() {
        let key = rootfs().key();
        let mut other = rootfs();
        other.packages.insert("htop".into());
        assert_ne!(other.key(), key);
        assert_ne!(Rootfs { epoch: 8, ..rootfs() }.key(), key);
        assert_ne!(Rootfs { suite: "sid".into(), ..rootfs() }.key(), key);
        assert_ne!(Rootfs { recommends: true, ..rootfs() }.key(), key);
        let resolution = |content: &[u8]| {
            let package = LockedPackage {
                name: "git".into(),
                version: "1".into(),
                architecture: "all".into(),
                size: 1,
                sha256: Digest::of_bytes(content),
            };
            let resolution = Resolution { packages: vec![package], outside: Vec::new(), differs: Vec::new() };
            Rootfs { resolution: Some(resolution), ..rootfs() }.key()
        };
        assert_ne!(resolution(b"a"), key);
        assert_ne!(resolution(b"a"), resolution(b"b"));
        assert_eq!(rootfs().key(), key);
    }

    #[test]
    fn packages_are_counted_from_apt_messages() {
        let mut count = PackageCount::default();
        assert_eq!(count.count("0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded."), None);
        assert_eq!(count.count("Unpacking git (1:2.47) ..."), None);
        assert_eq!(count.count("Setting up git (1:2.47) ..."), Some((1, Some(2))));
        assert_eq!(count.count("Setting up curl (8) ..."), Some((2, Some(2))));
        assert_eq!(count.count("Setting up more (1) ..."), Some((3, None)));
    }
}
