//! Compares the signed statements with the release.

use std::collections::BTreeMap;

use rave_image::digest::Digest;

use super::{Check, Checked, file_name, name_of, read_error};
use crate::dsse::{self, Envelope};
use crate::manifest::Manifest;
use crate::names;
use crate::statement::{BOOT, SLSA, Statement, Subject};
use crate::sums::Sums;
use crate::trust::{TrustStore, Trusted};

/// Maximum number of statements in a release.
const MAX_STATEMENTS: usize = 1000;

impl Check<'_> {
    /// Checks the signature of every statement, and that it is about this release.
    pub(super) fn statements(
        &mut self,
        sums: &Sums,
        manifest: Option<&Manifest>,
        by: Option<&Checked>,
        trusted: &Trusted,
        store: &mut TrustStore,
    ) {
        let path = file_name(names::PROVENANCE);
        let fail = |check: &mut Self, why: String| check.problems.add(path.as_str(), why);
        if !sums.0.contains_key(&path) {
            return fail(self, "it is not in SHA256SUMS".into());
        }
        let bytes = match self.folder.read(&path, 8 * dsse::LIMIT) {
            Ok(bytes) => bytes,
            Err(error) => return fail(self, read_error(&error)),
        };
        let Some(manifest) = manifest else { return };
        let known = subjects(manifest);
        let mut provenance = None;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        for (number, line) in lines.enumerate() {
            if number >= MAX_STATEMENTS {
                return fail(self, format!("it has more than {MAX_STATEMENTS} statements"));
            }
            match one(line, by, &known) {
                Ok(statement) if statement.predicate_type == SLSA => {
                    if provenance.replace(statement).is_some() {
                        return fail(self, "it has provenance twice".into());
                    }
                }
                Ok(_) => {}
                Err(why) => return fail(self, format!("line {}: {why}", number + 1)),
            }
        }
        let Some(provenance) = provenance else { return fail(self, "it has no provenance".into()) };
        if let Err(why) = is_about(&provenance, manifest) {
            return fail(self, why);
        }
        if let (Some(by), Some(finished)) = (by, provenance.finished()) {
            self.time(by, finished, trusted, store);
        }
    }

    /// A release made later than the clock's time means that the clock is wrong: the key's expiry is then judged by the
    /// release's time.
    fn time(&mut self, by: &Checked, finished: i64, trusted: &Trusted, store: &mut TrustStore) {
        if finished > self.request.now.max(store.latest()) {
            self.note(
                "this host's clock is behind the time that the release was made at; the later time is taken",
            );
            if let Err(why) = trusted.signer(&by.key, finished) {
                self.problems.add(crate::sums::SIGNATURE, why);
            }
        }
        // A signer must not make the keys of others expire.
        store.saw(finished.min(self.request.now.saturating_add(AHEAD)));
    }
}

/// How far ahead of this host's clock a release's time is remembered, seconds: a year.
const AHEAD: i64 = 366 * 24 * 60 * 60;

/// Names and digests that statements may be about.
fn subjects(manifest: &Manifest) -> BTreeMap<String, Vec<Digest>> {
    let mut known: BTreeMap<String, Vec<Digest>> = BTreeMap::new();
    for file in manifest.files() {
        known.entry(file.name.to_string()).or_default().push(file.sha256);
        if let Some(content) = file.unpacked {
            known.entry(unpacked_name(file.name.as_str())).or_default().push(content.sha256);
        }
    }
    for bill in manifest.bills() {
        known.entry(bill.name.to_string()).or_default().push(bill.sha256);
    }
    known
}

/// `a.img` of `a.img.zst`.
pub(crate) fn unpacked_name(name: &str) -> String {
    name.strip_suffix(".zst").unwrap_or(name).to_owned()
}

fn one(
    line: &[u8],
    by: Option<&Checked>,
    known: &BTreeMap<String, Vec<Digest>>,
) -> Result<Statement, String> {
    let envelope = Envelope::parse(line)?;
    if envelope.payload_type != dsse::IN_TOTO {
        return Err(format!("its payload is {:?}, not an in-toto statement", envelope.payload_type));
    }
    if let Some(by) = by {
        envelope.check(&by.key).map_err(|why| format!("{why} (of {})", name_of(&by.key)))?;
    }
    let statement = Statement::parse(&envelope.payload)?;
    if ![SLSA, BOOT].contains(&statement.predicate_type.as_str()) {
        return Err(format!("its predicate {:?} is not known", statement.predicate_type));
    }
    if statement.subject.is_empty() {
        return Err("it is about nothing".into());
    }
    for Subject { name, digest } in &statement.subject {
        let sha256 = digest.get("sha256").ok_or_else(|| format!("{name:?} has no SHA-256"))?;
        if !known.get(name).is_some_and(|digests| digests.contains(sha256)) {
            return Err(format!("{name:?} with SHA-256 {sha256} is not of this release"));
        }
    }
    Ok(statement)
}

/// Provenance must be about every artifact and bill, and about this version and commit.
fn is_about(provenance: &Statement, manifest: &Manifest) -> Result<(), String> {
    let has = |name: &str| provenance.subject.iter().any(|subject| subject.name == name);
    let bills = manifest.bills().map(|bill| bill.name.as_str());
    let names = manifest.files().map(|file| file.name.as_str()).chain(bills);
    if let Some(missing) = names.into_iter().find(|name| !has(name)) {
        return Err(format!("its provenance says nothing of {missing}"));
    }
    let version = provenance.predicate.pointer("/buildDefinition/externalParameters/version");
    if version.and_then(serde_json::Value::as_str) != Some(manifest.version.to_string().as_str()) {
        return Err("the version in its provenance differs from the manifest".into());
    }
    let commit = provenance.predicate.pointer("/buildDefinition/resolvedDependencies/0/digest/gitCommit");
    if commit.and_then(serde_json::Value::as_str) != Some(manifest.commit.as_str()) {
        return Err("the commit in its provenance differs from the manifest".into());
    }
    Ok(())
}
