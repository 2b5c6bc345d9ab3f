//! The role of a release's file, according to the manifest and its name.

use std::fmt;

use rave_image::digest::Digest;
use rave_spec::Format;
use semver::Version;

use crate::manifest::{Manifest, ProfileRelease, ReleaseFile};
use crate::relative_path::RelativePath;
use crate::{dsse, key_statement, names, sums};

/// The role of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A file of an artifact.
    Artifact {
        /// The profile.
        profile: String,
        /// The format.
        format: Format,
        /// Whether it is only a part of it.
        is_part: bool,
    },
    /// A bill of materials.
    Bill {
        /// The profile.
        profile: String,
        /// Its standard.
        kind: String,
    },
    /// The archive of the builds' downloads.
    Inputs {
        /// Whether it is only a part of it.
        is_part: bool,
    },
    /// The list of corresponding sources.
    Sources,
    /// The release's description.
    Manifest,
    /// Signed statements.
    Provenance,
    /// Rotations and revocations.
    Keys,
    /// A patch from an earlier release.
    Patch,
    /// The release notes.
    Notes,
    /// The digests of whole files that are split into parts.
    Joined,
    /// A file of a smoke report.
    SmokeReport,
    /// The digests, or their signature.
    Sums,
    /// Unknown to the manifest.
    Unknown,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Artifact { profile, format, is_part } => {
                write!(f, "{profile} as {format}{}", if *is_part { ", a part" } else { "" })
            }
            Self::Bill { profile, kind } => write!(f, "bill of materials of {profile}, {kind}"),
            Self::Inputs { is_part } => {
                write!(f, "inputs of the builds{}", if *is_part { ", a part" } else { "" })
            }
            Self::Sources => f.write_str("corresponding sources"),
            Self::Manifest => f.write_str("manifest"),
            Self::Provenance => f.write_str("provenance"),
            Self::Keys => f.write_str("statements about keys"),
            Self::Patch => f.write_str("patch from an earlier release"),
            Self::Notes => f.write_str("notes"),
            Self::Joined => f.write_str("digests of joined parts"),
            Self::SmokeReport => f.write_str("smoke report"),
            Self::Sums => f.write_str("digests"),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

/// The expected properties of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) role: Role,
    pub(super) size: Size,
    /// The digest from the manifest, if it has one.
    pub(super) sha256: Option<Digest>,
}

/// The allowed size of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    Exactly(u64),
    AtMost(u64),
}

/// Maximum size of a report's screenshots and logs, bytes.
const REPORT_LIMIT: u64 = 256 << 20;
/// Maximum size of a patch, bytes. Other files are split into parts no larger than this; a patch is never split.
pub(crate) const PATCH_LIMIT: u64 = 4 << 30;
const NOTES_LIMIT: u64 = 4 << 20;

/// The expected properties of a listed file.
pub(super) fn expected(path: &RelativePath, manifest: Option<&Manifest>) -> Expected {
    let own = |role, limit| Expected { role, size: Size::AtMost(limit), sha256: None };
    match path.as_str() {
        names::MANIFEST => return own(Role::Manifest, crate::manifest::LIMIT),
        names::PROVENANCE => return own(Role::Provenance, 8 * dsse::LIMIT),
        names::NOTES => return own(Role::Notes, NOTES_LIMIT),
        key_statement::FILE => return own(Role::Keys, key_statement::LIMIT),
        names::SOURCES => return own(Role::Sources, NOTES_LIMIT),
        sums::JOINED => return own(Role::Joined, sums::LIMIT),
        _ => {}
    }
    if let Some(expected) = manifest.and_then(|manifest| by_manifest(path, manifest)) {
        return expected;
    }
    if manifest.is_some_and(|manifest| is_patch(path, manifest)) {
        return own(Role::Patch, PATCH_LIMIT);
    }
    if path.parts().next() == Some(names::SMOKE) && path.parts().count() > 1 {
        return own(Role::SmokeReport, REPORT_LIMIT);
    }
    own(Role::Unknown, 0)
}

/// Whether a file has the name of a patch for one of a release's profiles. The manifest does not list patches, because
/// a rebuild must reproduce it.
fn is_patch(path: &RelativePath, manifest: &Manifest) -> bool {
    let of = |profile: &ProfileRelease| {
        let stem = names::stem(&manifest.version, &profile.profile, &profile.arch);
        let from = path.as_str().strip_prefix(stem.as_str())?.strip_prefix(".from-")?;
        from.strip_suffix(names::PATCH_ENDING)?.parse::<Version>().ok()
    };
    manifest.profiles.iter().any(|profile| of(profile).is_some())
}

/// The expected properties of a file in the manifest, or of one of its parts.
fn of_file(path: &RelativePath, file: &ReleaseFile, role: impl Fn(bool) -> Role) -> Option<Expected> {
    if file.name == *path {
        return Some(Expected {
            role: role(false),
            size: Size::Exactly(file.size),
            sha256: Some(file.sha256),
        });
    }
    let part = file.parts.iter().find(|part| part.name == *path)?;
    Some(Expected { role: role(true), size: Size::Exactly(part.size), sha256: Some(part.sha256) })
}

fn by_manifest(path: &RelativePath, manifest: &Manifest) -> Option<Expected> {
    let inputs = manifest.inputs.iter();
    let mut inputs = inputs.filter_map(|file| of_file(path, file, |is_part| Role::Inputs { is_part }));
    if let Some(found) = inputs.next() {
        return Some(found);
    }
    for profile in &manifest.profiles {
        let name = || profile.profile.clone();
        for artifact in &profile.artifacts {
            let role = |is_part| Role::Artifact { profile: name(), format: artifact.format, is_part };
            if let Some(found) = artifact.files.iter().find_map(|file| of_file(path, file, role)) {
                return Some(found);
            }
        }
        if let Some(bill) = profile.bills.iter().find(|bill| bill.name == *path) {
            let role = Role::Bill { profile: name(), kind: bill.kind.clone() };
            return Some(Expected { role, size: Size::Exactly(bill.size), sha256: Some(bill.sha256) });
        }
    }
    None
}
