//! `RELEASE_NOTES.md`: what changed, what is in the folder, and how it is verified.

use std::fmt::Write as _;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_smoke::report::{Boot, Report};

use crate::error::{Error, IoContext as _};
use crate::manifest::Manifest;
use crate::sbom::{cyclonedx, diff};
use crate::{names, sshsig, sums};

/// The most packages of each kind that are named; the bills have all.
const MAX_NAMED: usize = 200;

/// What notes are made of.
#[derive(Debug)]
pub struct Notes<'a> {
    /// The release's description.
    pub manifest: &'a Manifest,
    /// What the changelog says of the version.
    pub changelog: &'a str,
    /// The smoke report of each profile.
    pub reports: &'a [(&'a str, &'a Report)],
    /// Whether everything was built twice.
    pub second_build: bool,
    /// The release's folder, which has the bills.
    pub folder: &'a Utf8Path,
    /// An earlier release.
    pub previous: Option<&'a Previous>,
}

/// An earlier release, which the notes compare with.
#[derive(Debug)]
pub struct Previous {
    manifest: Manifest,
    folder: Utf8PathBuf,
}

impl Previous {
    /// Reads its manifest. It is not verified: it is the releaser's own.
    pub fn read(folder: &Utf8Path) -> Result<Self, Error> {
        let path = folder.join(names::MANIFEST);
        let bytes = fs::read(&path).at("read", &path)?;
        let manifest = Manifest::parse(&bytes).map_err(|why| Error::damaged(&path, why))?;
        Ok(Self { manifest, folder: folder.to_owned() })
    }
}

impl Notes<'_> {
    /// The file's text.
    pub fn render(&self) -> Result<String, Error> {
        let Manifest { version, base, commit, .. } = self.manifest;
        let mut text = format!("# RAVE {version}\n\nBase `{base}`, commit `{commit}`.\n");
        for profile in self.manifest.profiles.iter().filter(|profile| profile.default_password) {
            let _ = write!(
                text,
                "\n**The user of profile `{}` has the password of the sources, which everybody knows.** Change it before \
                 the machine can be reached by others.\n",
                profile.profile
            );
        }
        if !self.second_build {
            text.push_str(
                "\nIt was built once: whether a second build makes the same bytes was not tried.\n",
            );
        }
        let _ = write!(text, "\n## Changes\n\n{}\n", self.changelog.trim());
        self.packages(&mut text)?;
        self.licences(&mut text)?;
        self.files(&mut text);
        self.boots(&mut text);
        self.verification(&mut text);
        Ok(text)
    }

    /// What the bills do not tell is counted.
    fn licences(&self, text: &mut String) -> Result<(), Error> {
        text.push_str("\n## Licences\n\n");
        for profile in &self.manifest.profiles {
            let bill = profile.bills.iter().find(|bill| bill.kind == cyclonedx::KIND);
            let Some(path) = bill.map(|bill| self.folder.join(bill.name.as_str())) else { continue };
            let bytes = fs::read(&path).at("read", &path)?;
            let [with, without] = diff::licensed(&bytes).map_err(|why| Error::damaged(&path, why))?;
            let _ = writeln!(
                text,
                "- `{}`: the bills of materials tell the licences of {with} packages; {without} are `NOASSERTION`",
                profile.profile
            );
        }
        Ok(())
    }

    fn packages(&self, text: &mut String) -> Result<(), Error> {
        let Some(previous) = self.previous else { return Ok(()) };
        for profile in &self.manifest.profiles {
            let old = previous.manifest.profiles.iter().find(|old| old.profile == profile.profile);
            let bill = |bills: &[crate::manifest::Bill], folder: &Utf8Path| {
                let bill = bills.iter().find(|bill| bill.kind == cyclonedx::KIND)?;
                Some(folder.join(bill.name.as_str()))
            };
            let new_path = bill(&profile.bills, self.folder);
            let old_path = old.and_then(|old| bill(&old.bills, &previous.folder));
            let (Some(new_path), Some(old_path)) = (new_path, old_path) else { continue };
            let read = |path: &Utf8Path| {
                let bytes = fs::read(path).at("read", path)?;
                diff::packages(&bytes).map_err(|why| Error::damaged(path, why))
            };
            let found = diff::compare(&read(&old_path)?, &read(&new_path)?);
            let _ = write!(
                text,
                "\n## Packages of `{}` since {}\n\n",
                profile.profile, previous.manifest.version
            );
            if found.is_empty() {
                text.push_str("None changed.\n");
                continue;
            }
            let list = |versions: &std::collections::BTreeSet<String>| {
                versions.iter().cloned().collect::<Vec<_>>().join(", ")
            };
            let changed = found.changed.iter();
            named(
                text,
                "Changed",
                changed.map(|(name, [a, b])| format!("{name} {} -> {}", list(a), list(b))),
            );
            named(text, "Added", found.added.iter().map(|(name, a)| format!("{name} {}", list(a))));
            named(text, "Removed", found.removed.iter().map(|(name, a)| format!("{name} {}", list(a))));
        }
        Ok(())
    }

    fn files(&self, text: &mut String) {
        text.push_str("\n## Files\n\n| file | MiB | before, MiB | SHA-256 |\n| --- | --- | --- | --- |\n");
        for profile in &self.manifest.profiles {
            for artifact in &profile.artifacts {
                for (number, file) in artifact.files.iter().enumerate() {
                    let before = self.size_before(&profile.profile, artifact.format, number);
                    let before = before.map_or(String::new(), mebibytes);
                    let _ = writeln!(
                        text,
                        "| {} | {} | {before} | `{}` |",
                        file.name,
                        mebibytes(file.size),
                        file.sha256
                    );
                }
            }
        }
        let mut packed = self.manifest.files().filter(|file| file.unpacked.is_some()).peekable();
        if packed.peek().is_some() {
            text.push_str("\nUnpack raw disks with `zstd -d --sparse FILE.img.zst`.\n");
        }
        let cut: Vec<&str> = self
            .manifest
            .files()
            .filter(|file| !file.parts.is_empty())
            .map(|file| file.name.as_str())
            .collect();
        if !cut.is_empty() {
            text.push_str("\nFiles that are cut into parts are joined with:\n\n```sh\n");
            for name in cut {
                let _ = writeln!(text, "cat {name}.part-* > {name}");
            }
            let _ = writeln!(text, "sha256sum -c {}\n```", sums::JOINED);
        }
    }

    fn size_before(&self, profile: &str, format: rave_spec::Format, number: usize) -> Option<u64> {
        let profiles = &self.previous?.manifest.profiles;
        let profile = profiles.iter().find(|old| old.profile == profile)?;
        let artifact = profile.artifacts.iter().find(|artifact| artifact.format == format)?;
        Some(artifact.files.get(number)?.size)
    }

    fn boots(&self, text: &mut String) {
        text.push_str("\n## Boots\n\n| profile | row | accelerator | ready after, s | checks passed |\n");
        text.push_str("| --- | --- | --- | --- | --- |\n");
        for (profile, report) in self.reports {
            for run in &report.runs {
                let ready = match &run.boot {
                    Boot::Ready(times) => format!("{:.1}", times.ready),
                    Boot::Failed(_) => "not ready".into(),
                };
                let (row, accelerator) = (&run.subject.row, &run.subject.accelerator);
                let passed = run.counts().passed;
                let _ = writeln!(text, "| {profile} | {row} | {accelerator} | {ready} | {passed} |");
            }
        }
    }

    fn verification(&self, text: &mut String) {
        let _ = write!(
            text,
            "\n## Verification\n\nWith RAVE, which looks at every file, the statements and the bills of materials:\n\n\
             ```sh\nrave verify . --key KEY.allowed_signers --expect {version}\n```\n\n\
             Or with OpenSSH and coreutils; PRINCIPAL is the name in front of the key:\n\n\
             ```sh\nssh-keygen -Y verify -f KEY.allowed_signers -I PRINCIPAL -n {namespace} -s {signature} < {sums}\n\
             sha256sum -c {sums}\n```\n\n\
             Get the key by another way than this folder.\n",
            version = self.manifest.version,
            namespace = sshsig::NAMESPACE,
            signature = sums::SIGNATURE,
            sums = sums::FILE,
        );
    }
}

fn mebibytes(bytes: u64) -> String {
    // Tenths without the rounding of floats.
    let tenths = (bytes * 10).div_ceil(1 << 20);
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn named(text: &mut String, what: &str, lines: impl ExactSizeIterator<Item = String>) {
    let count = lines.len();
    if count == 0 {
        return;
    }
    let _ = write!(text, "{what}: {count}\n\n");
    for line in lines.take(MAX_NAMED) {
        let _ = writeln!(text, "- {line}");
    }
    if count > MAX_NAMED {
        let _ = writeln!(text, "- and {} more, in the bills of materials", count - MAX_NAMED);
    }
    text.push('\n');
}
