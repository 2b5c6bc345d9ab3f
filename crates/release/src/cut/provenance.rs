//! The origin of a release: SLSA provenance, version 1. It does not contain the name of the host, its user or a folder.

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::Digest;
use serde_json::{Value, json};

use super::leaks::Searched;
use super::plan::Plan;
use crate::error::Error;
use crate::inputs::Entry;
use crate::manifest::{self, Manifest};
use crate::statement::{BUILD_TYPE, BUILDER, SLSA, Statement, Subject, rfc3339};
use crate::{folder, names};

/// Other facts about a release.
pub(super) struct Evidence<'a> {
    /// What the leak gate searched.
    pub(super) searched: Searched,
    /// The downloads of the builds.
    pub(super) inputs: &'a [Entry],
}

fn input(entry: &Entry) -> Value {
    json!({
        "name": format!("{} {}", entry.name, entry.version),
        "digest": {"sha256": entry.sha256},
        "annotations": {"path": entry.path}
    })
}

/// What was asked for. Of earlier releases, the digests of their manifests.
pub(super) fn parameters(plan: &Plan) -> Result<Value, Error> {
    let profiles: Vec<Value> = plan
        .profiles
        .iter()
        .map(|one| json!({"profile": one.profile, "arch": one.arch, "formats": one.formats}))
        .collect();
    let earlier = |folder: &Option<Utf8PathBuf>| {
        let manifest = folder.as_deref().map(manifest_of).transpose()?;
        Ok::<_, Error>(manifest.map(|bytes| Digest::of_bytes(&bytes)))
    };
    let second_build = if plan.second_build { "made the same bytes" } else { "not made" };
    Ok(json!({
        "version": plan.version, "base": plan.base, "profiles": profiles,
        "partLimit": plan.part_limit, "ownSettings": plan.own_settings,
        "secondBuild": second_build,
        "previous": earlier(&plan.previous)?, "patchFrom": earlier(&plan.patch_from)?
    }))
}

/// The statement about every artifact and bill. Times are in seconds since 1970.
pub(super) fn statement(
    plan: &Plan,
    manifest: &Manifest,
    evidence: &Evidence<'_>,
    (started, finished): (i64, i64),
) -> Result<Statement, Error> {
    let files = manifest.files().map(|file| Subject::new(file.name.as_str(), file.sha256));
    let bills = manifest.bills().map(|bill| Subject::new(bill.name.as_str(), bill.sha256));
    let subjects = files.chain(bills).collect();
    // The commit must be first: `verify` compares it with the manifest's.
    let commit = json!({"name": "source", "digest": {"gitCommit": plan.commit}});
    let sources =
        plan.sources.iter().map(|source| json!({"name": source.name, "digest": {"sha256": source.sha256}}));
    let materials: Vec<Value> =
        std::iter::once(commit).chain(sources).chain(evidence.inputs.iter().map(input)).collect();
    let predicate = json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": parameters(plan)?,
            "internalParameters": {
                "sourceDateEpoch": plan.epoch,
                "leakGate": {
                    "found": 0,
                    "disks": evidence.searched.disks,
                    "files": evidence.searched.files
                }
            },
            "resolvedDependencies": materials
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"rave": env!("CARGO_PKG_VERSION")}},
            "metadata": {"startedOn": rfc3339(started), "finishedOn": rfc3339(finished)}
        }
    });
    Ok(Statement::new(SLSA, subjects, predicate))
}

/// The description of an earlier release, which determines its other files.
pub(super) fn manifest_of(earlier: &Utf8Path) -> Result<Vec<u8>, Error> {
    folder::read(earlier, names::MANIFEST, manifest::LIMIT)
}
