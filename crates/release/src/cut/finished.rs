//! A release that is finished already.

use camino::Utf8Path;
use rave_process::progress::Sink;
use ssh_key::PublicKey;

use super::out_folder::{is_empty, work_folder};
use super::plan::Plan;
use super::{provenance, sealing};
use crate::dsse::{self, Envelope};
use crate::error::Error;
use crate::manifest::{self, Manifest, ProfileRelease};
use crate::sshsig::Signature;
use crate::statement::{SLSA, Statement};
use crate::{folder, key_statement, names, sshsig, sums};

/// The profiles of the existing release if it is the same and verifies; an error if something else is in the way.
pub(super) fn finished(
    plan: &Plan,
    key: &PublicKey,
    now: i64,
    sink: Sink<'_>,
) -> Result<Option<Vec<ProfileRelease>>, Error> {
    let out = &plan.out;
    let occupied = |detail: String| Err(Error::Occupied { path: out.clone(), detail });
    if is_empty(out)? {
        return Ok(None);
    }
    let Ok(bytes) = folder::read(out, names::MANIFEST, manifest::LIMIT) else {
        return occupied("it is not empty, and has no release in it".into());
    };
    match Manifest::parse(&bytes) {
        Ok(manifest) if plan.matches(&manifest) && out.join(sums::SIGNATURE).exists() => {
            if !is_signed_by(out, key) {
                return occupied("it has this release in it, which another key signed".into());
            }
            let keys = plan.keys.as_deref().map(key_statement::read).transpose()?.map(|(bytes, _)| bytes);
            if keys != folder::read(out, key_statement::FILE, key_statement::LIMIT).ok() {
                return occupied("it has this release in it, with other statements about keys".into());
            }
            if let Some(problem) = sealing::first_problem(out, &work_folder(out), key, now, sink)? {
                return occupied(format!("it has this release in it, which does not verify: {problem}"));
            }
            if let Some(what) = other_parameters(plan)? {
                return occupied(format!("it has this release in it, with another {what} than asked for"));
            }
            Ok(Some(manifest.profiles))
        }
        Ok(manifest) => occupied(format!(
            "it has release {} of commit {} in it, with other contents than asked for",
            manifest.version, manifest.commit
        )),
        Err(why) => occupied(format!("its {} is not one of a release: {why}", names::MANIFEST)),
    }
}

/// Whether the signature names this key; nothing is verified.
fn is_signed_by(release: &Utf8Path, key: &PublicKey) -> bool {
    let bytes = folder::read(release, sums::SIGNATURE, sshsig::LIMIT).unwrap_or_default();
    Signature::parse(&bytes).is_ok_and(|signature| signature.claimed.key_data() == key.key_data())
}

/// The first parameter in the provenance of a verified release that is not the plan's.
fn other_parameters(plan: &Plan) -> Result<Option<String>, Error> {
    let bytes = folder::read(&plan.out, names::PROVENANCE, 8 * dsse::LIMIT)?;
    let statements = bytes.split(|byte| *byte == b'\n').filter_map(|line| {
        let envelope = Envelope::parse(line).ok()?;
        Statement::parse(&envelope.payload).ok()
    });
    let provenance = statements.into_iter().find(|statement| statement.predicate_type == SLSA);
    let made = provenance
        .and_then(|it| it.predicate.pointer("/buildDefinition/externalParameters").cloned())
        .unwrap_or_default();
    let wanted = provenance::parameters(plan)?;
    let differs =
        |(name, value): (&String, &serde_json::Value)| (made.get(name) != Some(value)).then(|| name.clone());
    Ok(wanted.as_object().into_iter().flatten().find_map(differs))
}
