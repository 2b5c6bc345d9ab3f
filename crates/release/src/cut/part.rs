//! The part that a host without a key hands to the host that signs: artifacts, bills and reports of some profiles, and
//! a description.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};

use camino::{Utf8Path, Utf8PathBuf};
use rave_fs::Replace;
use rave_image::digest::{Digest, Hasher};
use rave_process::interrupt;
use rave_smoke::report::Report;
use rave_spec::Base;
use semver::Version;
use serde::{Deserialize, Serialize};

use super::building::passed;
use super::leaks::Searched;
use super::plan::{Plan, ProfilePlan, Source};
use super::results::{ProfileResult, Results};
use crate::error::{Error, IoContext as _};
use crate::folder::{self, CHUNK, Folder};
use crate::manifest::{ProfileRelease, ReleaseFile};
use crate::parts::write_whole;
use crate::relative_path::RelativePath;
use crate::{names, strict_json};

/// The description's file.
pub(super) const FILE: &str = "part.json";

const SCHEMA: u32 = 1;
const LIMIT: u64 = 4 << 20;
/// Maximum size of a report without screenshots and logs, bytes.
pub(crate) const REPORT_LIMIT: u64 = 64 << 20;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    schema: u32,
    version: Version,
    base: Base,
    commit: String,
    source_date_epoch: u64,
    second_build: bool,
    part_limit: u64,
    /// Whether Claude Code is in an image.
    has_claude: bool,
    /// Keys of settings whose values the commit does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    own_settings: Vec<String>,
    /// Start of its first build, seconds since 1970.
    started: i64,
    sources: Vec<Source>,
    profiles: Vec<ProfileRelease>,
    /// SHA-256 of each profile's smoke report.
    reports: Vec<Digest>,
    /// What the leak gate searched in each profile.
    searched: Vec<Searched>,
    /// The archive of its builds' downloads; none if the part omits it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inputs: Option<ReleaseFile>,
}

/// A part whose description was read. Its files are verified when they are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleasePart {
    folder: Utf8PathBuf,
    document: Document,
    digest: Digest,
}

impl ReleasePart {
    /// Reads the description in a folder.
    pub fn read(path: &Utf8Path) -> Result<Self, Error> {
        let bytes = folder::read(path, FILE, LIMIT)?;
        Self::parse(path, &bytes).map_err(|why| Error::damaged(path.join(FILE), why))
    }

    /// Parses the bytes of the description in `folder`, and refuses invalid values.
    pub fn parse(folder: &Utf8Path, bytes: &[u8]) -> Result<Self, String> {
        let document: Document = strict_json::parse(bytes, LIMIT)?;
        if document.schema != SCHEMA {
            return Err(format!("its schema is {}, this version reads {SCHEMA}", document.schema));
        }
        let counts = [document.reports.len(), document.searched.len()];
        if document.profiles.is_empty() || counts != [document.profiles.len(); 2] {
            return Err("it does not have a report and a search of each profile".into());
        }
        if document.part_limit == 0 {
            return Err("the maximum size of its files is 0".into());
        }
        // They are in the notes, where other characters would have a meaning.
        if let Some(key) = document.own_settings.iter().find(|key| !is_key(key)) {
            return Err(format!("{key:?} is not a key of a setting"));
        }
        Ok(Self { folder: folder.to_owned(), document, digest: Digest::of_bytes(bytes) })
    }

    /// The profiles, as in a plan.
    pub fn profiles(&self) -> impl Iterator<Item = ProfilePlan> + '_ {
        self.document.profiles.iter().map(|one| ProfilePlan {
            profile: one.profile.clone(),
            arch: one.arch.clone(),
            formats: one.artifacts.iter().map(|artifact| artifact.format).collect(),
            default_password: one.default_password,
        })
    }

    /// Whether everything was built twice.
    pub fn second_build(&self) -> bool {
        self.document.second_build
    }

    /// Keys of settings whose values the commit does not have.
    pub fn own_settings(&self) -> &[String] {
        &self.document.own_settings
    }

    /// The maximum size of its files, bytes.
    pub fn part_limit(&self) -> u64 {
        self.document.part_limit
    }

    /// Whether Claude Code is in an image.
    pub fn has_claude(&self) -> bool {
        self.document.has_claude
    }

    /// Whether it has an archive of inputs.
    pub fn has_inputs(&self) -> bool {
        self.document.inputs.is_some()
    }

    /// Its folder.
    pub fn folder(&self) -> &Utf8Path {
        &self.folder
    }

    /// Space that a release needs for it, bytes: its artifacts, and its inputs twice, because they are unpacked
    /// temporarily.
    pub fn size(&self) -> u64 {
        let artifacts = self.document.profiles.iter().flat_map(|profile| &profile.artifacts);
        let files = artifacts.flat_map(|artifact| &artifact.files);
        let inputs = self.document.inputs.iter();
        files.chain(inputs.clone()).chain(inputs).fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// The archive of its inputs.
    pub(super) fn inputs(&self) -> Option<&ReleaseFile> {
        self.document.inputs.as_ref()
    }

    /// What the leak gate searched in a profile.
    pub(super) fn searched(&self, number: usize) -> Searched {
        self.document.searched[number]
    }

    /// The digest that identifies it.
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn started(&self) -> i64 {
        self.document.started
    }

    /// Whether a finished part is the result of this plan.
    pub(super) fn is_made_by(&self, plan: &Plan) -> bool {
        self.check(plan).is_ok()
            && self.document.second_build == plan.second_build
            && self.document.part_limit == plan.part_limit
            && self.document.has_claude == plan.has_claude
            && self.document.own_settings == plan.own_settings
            && self.has_inputs() == plan.inputs
            && self.profiles().eq(plan.profiles.iter().cloned())
    }

    /// Refuses a part that does not belong to the plan.
    pub(super) fn check(&self, plan: &Plan) -> Result<(), Error> {
        let own = &self.document;
        let shown = |sources: &[Source]| {
            let lines = sources.iter().map(|source| format!("{} {}", source.name, source.sha256));
            lines.collect::<Vec<_>>().join(", ")
        };
        let pairs = [
            ("version", own.version.to_string(), plan.version.to_string()),
            ("base", own.base.to_string(), plan.base.to_string()),
            ("commit", own.commit.clone(), plan.commit.clone()),
            ("date", own.source_date_epoch.to_string(), plan.epoch.to_string()),
            ("sources", shown(&own.sources), shown(&plan.sources)),
        ];
        match pairs.into_iter().find(|(_, part, wanted)| part != wanted) {
            None => Ok(()),
            Some((what, part, wanted)) => {
                Err(Error::OtherPart { path: self.folder.clone(), what, part, wanted })
            }
        }
    }

    /// Copies the files of a profile into the release's folder. Every file must match the description.
    pub(super) fn take(&self, number: usize, to: &Utf8Path) -> Result<ProfileRelease, Error> {
        let release = &self.document.profiles[number];
        let from = Folder::open(&self.folder).at("open", &self.folder)?;
        let copy = |name: &RelativePath, size: u64, sha256: Digest| {
            copy(&from, &self.folder, name, size, to)
                .and_then(|found| if found == sha256 { Ok(()) } else { Err(differs(&self.folder, name)) })
        };
        for file in release.artifacts.iter().flat_map(|artifact| &artifact.files) {
            if file.parts.is_empty() {
                copy(&file.name, file.size, file.sha256)?;
            }
            file.parts.iter().try_for_each(|part| copy(&part.name, part.size, part.sha256))?;
        }
        release.bills.iter().try_for_each(|bill| copy(&bill.name, bill.size, bill.sha256))?;
        let report = report_name(&release.profile)?;
        let bytes = from.read(&report, REPORT_LIMIT).at("read", self.folder.join(report.as_str()))?;
        if Digest::of_bytes(&bytes) != self.document.reports[number] {
            return Err(differs(&self.folder, &report));
        }
        write_whole(&to.join(report.as_str()), &bytes)?;
        Ok(release.clone())
    }

    /// Its profiles.
    pub(super) fn releases(self) -> Vec<ProfileRelease> {
        self.document.profiles
    }
}

/// The report of a profile that was taken.
pub(super) fn report(release: &ProfileRelease, folder: &Utf8Path) -> Result<Report, Error> {
    let path = folder.join(names::report(&release.profile));
    let bytes = fs::read(&path).at("read", &path)?;
    let report: Report = serde_json::from_slice(&bytes).map_err(|error| Error::damaged(&path, error))?;
    let formats: Vec<_> = release.artifacts.iter().map(|artifact| artifact.format).collect();
    passed(&release.profile, &formats, &report)?;
    Ok(report)
}

/// Writes the description of the results.
pub(super) fn describe(plan: &Plan, results: &Results, started: i64, folder: &Utf8Path) -> Result<(), Error> {
    let digest = |result: &ProfileResult| {
        let path = folder.join(names::report(&result.release.profile));
        Digest::of_file(&path).at("read", &path)
    };
    let profiles = results.profiles.iter();
    let document = Document {
        schema: SCHEMA,
        version: plan.version.clone(),
        base: plan.base,
        commit: plan.commit.clone(),
        source_date_epoch: plan.epoch,
        second_build: plan.second_build,
        part_limit: plan.part_limit,
        has_claude: plan.has_claude,
        own_settings: plan.own_settings.clone(),
        started,
        sources: plan.sources.clone(),
        profiles: profiles.clone().map(|result| result.release.clone()).collect(),
        reports: profiles.clone().map(digest).collect::<Result<_, _>>()?,
        searched: profiles.map(|result| result.searched).collect(),
        inputs: results.inputs.as_ref().map(|packed| packed.file.clone()),
    };
    let text = serde_json::to_string_pretty(&document).map_err(|error| Error::damaged(FILE, error))? + "\n";
    write_whole(&folder.join(FILE), text.as_bytes())
}

fn is_key(key: &str) -> bool {
    (1..=100).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn report_name(profile: &str) -> Result<RelativePath, Error> {
    names::report(profile).parse().map_err(|why: String| Error::damaged(FILE, why))
}

fn differs(folder: &Utf8Path, name: &RelativePath) -> Error {
    Error::damaged(folder.join(name.as_str()), format!("it is not the file that {FILE} describes"))
}

/// Copies a file of this size, and returns the digest of the copied bytes.
fn copy(
    from: &Folder,
    place: &Utf8Path,
    name: &RelativePath,
    size: u64,
    to: &Utf8Path,
) -> Result<Digest, Error> {
    let path = place.join(name.as_str());
    let source: File = from.file(name).at("open", &path)?;
    if source.metadata().at("read", &path)?.len() != size {
        return Err(differs(place, name));
    }
    let target = to.join(name.as_str());
    if let Some(folder) = target.parent() {
        fs::create_dir_all(folder).at("create", folder)?;
    }
    let mut hasher = Hasher::default();
    let mut source = source.take(size);
    let written = Replace::new(&target).write_with(|target| {
        let mut chunk = vec![0; CHUNK];
        loop {
            interrupt::check().map_err(io::Error::other)?;
            let count = source.read(&mut chunk)?;
            if count == 0 {
                return Ok(());
            }
            hasher.update(&chunk[..count]);
            target.write_all(&chunk[..count])?;
        }
    });
    interrupt::check().map_err(|_| Error::Interrupted)?;
    written.at("write", &target)?;
    Ok(hasher.finish())
}
