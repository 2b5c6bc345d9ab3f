//! `RELEASE_NOTES.md`: the changes, the files, and how to verify them.

mod previous;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use camino::Utf8Path;
use rave_smoke::report::{Boot, Report};
use semver::Version;
use serde::{Deserialize, Serialize};

use crate::changelog::Fixes;
use crate::error::{Error, IoContext as _};
use crate::manifest::Manifest;
use crate::relative_path::RelativePath;
use crate::sbom::{cyclonedx, diff};
use crate::{sshsig, sums};
pub use previous::Previous;

/// How many packages of each kind are listed; the bills have all of them.
const MAX_NAMED: usize = 200;

/// The inputs of the notes.
#[derive(Debug)]
pub struct Notes<'a> {
    /// The release's description.
    pub manifest: &'a Manifest,
    /// The changelog's entry for the version.
    pub changelog: &'a str,
    /// The smoke report of each profile.
    pub reports: &'a [(&'a str, &'a Report)],
    /// Whether everything was built twice.
    pub second_build: bool,
    /// Keys of settings whose values the commit does not have.
    pub own_settings: &'a [String],
    /// The release's folder, which has the bills.
    pub folder: &'a Utf8Path,
    /// An earlier release.
    pub previous: Option<&'a Previous>,
    /// The security fixes since then.
    pub fixes: &'a FixesByProfile,
    /// The release's patches.
    pub patches: &'a [PatchRow],
}

/// Security fixes by profile and package.
pub type FixesByProfile = BTreeMap<String, BTreeMap<String, Fixes>>;

/// A patch of the release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchRow {
    /// The profile.
    pub profile: String,
    /// The version of its base.
    pub from: Version,
    /// The file.
    pub name: RelativePath,
    /// Bytes.
    pub size: u64,
    /// Size of the artifact to download without the patch, bytes.
    pub download: u64,
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
        if !self.own_settings.is_empty() {
            let keys = self.own_settings.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            let _ = write!(text, "\nIt was built with settings that its commit does not have: {keys}.\n");
        }
        let _ = write!(text, "\n## Changes\n\n{}\n", self.changelog.trim());
        self.packages(&mut text)?;
        self.licences(&mut text)?;
        self.files(&mut text);
        self.patches(&mut text);
        self.boots(&mut text);
        self.verification(&mut text);
        Ok(text)
    }

    /// Counts packages whose licence is not known.
    fn licences(&self, text: &mut String) -> Result<(), Error> {
        text.push_str("\n## Licences\n\n");
        for profile in &self.manifest.profiles {
            let bill = profile.bills.iter().find(|bill| bill.kind == cyclonedx::KIND);
            let Some(path) = bill.map(|bill| self.folder.join(bill.name.as_str())) else { continue };
            let bytes = fs::read(&path).at("read", &path)?;
            let [with, without] = diff::licensed(&bytes).map_err(|why| Error::damaged(&path, why))?;
            let _ = writeln!(
                text,
                "- `{}`: the bills of materials give the licences of {with} packages; {without} are `NOASSERTION`",
                profile.profile
            );
        }
        Ok(())
    }

    fn packages(&self, text: &mut String) -> Result<(), Error> {
        let Some(previous) = self.previous else { return Ok(()) };
        for profile in &self.manifest.profiles {
            let Some(found) = previous.changes(profile, self.folder)? else { continue };
            let _ = write!(text, "\n## Packages of `{}` since {}\n\n", profile.profile, previous.version());
            if found.is_empty() {
                text.push_str("None changed.\n");
                continue;
            }
            let list = |versions: &BTreeSet<String>| versions.iter().cloned().collect::<Vec<_>>().join(", ");
            let none = BTreeMap::new();
            let fixes = self.fixes.get(&profile.profile).unwrap_or(&none);
            named(text, "Security fixes, by the changelogs of the packages", fixes.iter().map(secured));
            let line = |(name, [a, b]): (&String, &[BTreeSet<String>; 2])| {
                let mark = if fixes.contains_key(name) { " (security)" } else { "" };
                format!("{name} {} -> {}{mark}", list(a), list(b))
            };
            let (older, newer): (Vec<_>, Vec<_>) =
                found.changed.iter().partition(|(name, _)| found.downgraded.contains(*name));
            named(text, "Downgraded", older.into_iter().map(line));
            named(text, "Upgraded", newer.into_iter().map(line));
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
                    let before = self.previous;
                    let before = before.and_then(|one| one.size(&profile.profile, artifact.format, number));
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
            text.push_str("\nFiles that are split into parts are joined with:\n\n```sh\n");
            for name in cut {
                let _ = writeln!(text, "cat {name}.part-* > {name}");
            }
            let _ = writeln!(text, "sha256sum -c {}\n```", sums::JOINED);
        }
    }

    /// The smaller downloads for users of the earlier release.
    fn patches(&self, text: &mut String) {
        if self.patches.is_empty() {
            return;
        }
        text.push_str("\n## Patches\n\n| patch | from | MiB | download, MiB |\n| --- | --- | --- | --- |\n");
        for PatchRow { from, name, size, download, .. } in self.patches {
            let (size, download) = (mebibytes(*size), mebibytes(*download));
            let _ = writeln!(text, "| {name} | {from} | {size} | {download} |");
        }
        text.push_str(
            "\nA patch makes the raw disk of the one that you have, in any format; `SHA256SUMS` and its signature are needed beside it, \
             and `keys.jsonl` if there is one:\n\n```sh\nrave patch FILE.patch --base OLD --out DIR --key KEY.allowed_signers\n```\n",
        );
    }

    fn boots(&self, text: &mut String) {
        text.push_str(
            "\n## Boots\n\n| profile | row | accelerator | ready after, s | before, s | checks passed |\n",
        );
        text.push_str("| --- | --- | --- | --- | --- | --- |\n");
        for (profile, report) in self.reports {
            for run in &report.runs {
                let ready = match &run.boot {
                    Boot::Ready(times) => format!("{:.1}", times.ready),
                    Boot::Failed(_) => "not ready".into(),
                };
                let (row, accelerator) = (&run.subject.row, &run.subject.accelerator);
                let before = self.previous.and_then(|previous| previous.ready(profile, row));
                let before = before.map_or(String::new(), |seconds| format!("{seconds:.1}"));
                let passed = run.counts().passed;
                let _ =
                    writeln!(text, "| {profile} | {row} | {accelerator} | {ready} | {before} | {passed} |");
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
             Get the key through a different channel.\n",
            version = self.manifest.version,
            namespace = sshsig::NAMESPACE,
            signature = sums::SIGNATURE,
            sums = sums::FILE,
        );
    }
}

/// How many CVE numbers are listed per package; its changelog has all of them.
const MAX_CVES: usize = 20;

fn secured((name, fixes): (&String, &Fixes)) -> String {
    let mut parts: Vec<&str> = fixes.cves.iter().take(MAX_CVES).map(String::as_str).collect();
    let more = fixes.cves.len().saturating_sub(MAX_CVES);
    let more = (more > 0).then(|| format!("{more} more"));
    parts.extend(more.as_deref());
    if fixes.is_security_upload {
        parts.insert(0, "security update");
    }
    format!("{name}: {}", parts.join(", "))
}

fn mebibytes(bytes: u64) -> String {
    // Tenths without floating-point rounding.
    let tenths = (u128::from(bytes) * 10).div_ceil(1 << 20);
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
