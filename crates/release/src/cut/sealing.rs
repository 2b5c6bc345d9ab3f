//! The stages that turn builds into a release: description, statements, notes, checksums, signature, verification.

use std::collections::BTreeMap;
use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::progress::Sink;
use rave_smoke::report::Report;
use ssh_key::PublicKey;

use super::leaks::Searched;
use super::ledger::Ledger;
use super::plan::Plan;
use super::provenance::{self, Evidence};
use super::results::Results;
use super::{evidence, patches, seal, security};
use crate::error::{Error, IoContext as _};
use crate::key::SigningKey;
use crate::manifest::Manifest;
use crate::notes::{self, Notes, PatchRow};
use crate::parts::write_whole;
use crate::signers::Signer;
use crate::trust::{self, TrustStore, Trusted};
use crate::{dsse, key_statement, names, sshsig, sums, verify};

pub(super) struct Sealing<'a, 'l> {
    pub(super) plan: &'a Plan,
    pub(super) key: &'a SigningKey,
    pub(super) folder: Utf8PathBuf,
    pub(super) ledger: &'a mut Ledger<'l>,
    /// Start of the first build, seconds since 1970.
    pub(super) started: i64,
    /// Seconds since 1970.
    pub(super) now: &'a dyn Fn() -> i64,
}

impl Sealing<'_, '_> {
    /// The number of these stages.
    pub(super) fn count(plan: &Plan) -> u64 {
        6 + u64::from(plan.patch_from.is_some())
    }

    pub(super) fn seal(&mut self, results: &Results) -> Result<Manifest, Error> {
        let (plan, folder) = (self.plan, self.folder.clone());
        let manifest: Manifest = self.ledger.stage(
            "manifest",
            |_| true,
            || {
                let profiles = results.profiles.iter().map(|result| result.release.clone()).collect();
                let archive = results.inputs.as_ref().map(|packed| packed.file.clone());
                let manifest = plan.manifest(profiles, archive);
                write_whole(&folder.join(names::MANIFEST), manifest.to_json().as_bytes())?;
                Ok::<_, Error>(manifest)
            },
        )?;
        let profiles = results.profiles.iter();
        let reports: Vec<(&str, &Report)> =
            profiles.clone().map(|result| (result.release.profile.as_str(), &result.report)).collect();
        let evidence = Evidence {
            searched: profiles.fold(Searched::default(), |sum, result| sum.and(result.searched)),
            inputs: results.inputs.as_ref().map(|packed| packed.entries.as_slice()).unwrap_or_default(),
        };
        let patches = self.patches(&manifest)?;
        self.provenance(&manifest, &reports, &evidence)?;
        self.notes(&manifest, &reports, &patches)?;
        self.sign()?;
        self.self_check()?;
        Ok(manifest)
    }

    fn patches(&mut self, manifest: &Manifest) -> Result<Vec<PatchRow>, Error> {
        let (plan, folder, sink) = (self.plan, self.folder.clone(), self.ledger.sink());
        let Some(earlier) = &plan.patch_from else {
            patches::remove(&folder)?;
            return Ok(Vec::new());
        };
        self.ledger.depend_on("patch from", &provenance::manifest_of(earlier)?);
        let make = || {
            patches::remove(&folder)?;
            patches::patches(plan, manifest, &folder, earlier, sink)
        };
        self.ledger.stage("patches", |_| true, make)
    }

    fn provenance(
        &mut self,
        manifest: &Manifest,
        reports: &[(&str, &Report)],
        evidence: &Evidence<'_>,
    ) -> Result<(), Error> {
        let (plan, key, folder) = (self.plan, self.key, self.folder.clone());
        let (started, now) = (self.started, self.now);
        self.ledger.depend_on("parameters", provenance::parameters(plan)?.to_string().as_bytes());
        self.ledger.stage(
            "provenance",
            |()| true,
            || {
                // A clock that was set back since would end it before it started.
                let finished = now().max(started);
                let mut statements =
                    vec![provenance::statement(plan, manifest, evidence, (started, finished))?];
                for (profile, report) in reports {
                    statements.extend(evidence::statements(plan, manifest, profile, report)?);
                }
                let mut text = String::new();
                for statement in &statements {
                    let envelope = dsse::Envelope::sign(dsse::IN_TOTO, statement.to_bytes(), &[key])?;
                    text.push_str(&envelope.to_json());
                    text.push('\n');
                }
                write_whole(&folder.join(names::PROVENANCE), text.as_bytes())
            },
        )
    }

    fn notes(
        &mut self,
        manifest: &Manifest,
        reports: &[(&str, &Report)],
        patches: &[PatchRow],
    ) -> Result<(), Error> {
        let (plan, folder, sink) = (self.plan, self.folder.clone(), self.ledger.sink());
        self.ledger.stage(
            "notes",
            |()| true,
            || {
                let previous = plan.previous.as_deref().map(notes::Previous::read).transpose()?;
                let fixes = match &previous {
                    Some(previous) => security::fixes(manifest, &folder, previous, sink)?,
                    None => BTreeMap::new(),
                };
                let notes = Notes {
                    manifest,
                    changelog: &plan.changelog,
                    reports,
                    second_build: plan.second_build,
                    own_settings: &plan.own_settings,
                    folder: &folder,
                    previous: previous.as_ref(),
                    fixes: &fixes,
                    patches,
                };
                write_whole(&folder.join(names::NOTES), notes.render()?.as_bytes())
            },
        )
    }

    /// Writes the checksums of all files, and their signature.
    fn sign(&mut self) -> Result<(), Error> {
        let (key, folder) = (self.key, self.folder.clone());
        let keys = self.plan.keys.as_deref().map(trust::publishable).transpose()?;
        if let Some(keys) = &keys {
            self.ledger.depend_on("keys", keys);
        }
        self.ledger.stage(
            "checksums",
            |()| true,
            || {
                let path = folder.join(key_statement::FILE);
                match &keys {
                    Some(keys) => write_whole(&path, keys)?,
                    // Of an interrupted run that was asked for them.
                    None => patches::remove_file(&path)?,
                }
                seal::checksums(&folder)
            },
        )?;
        self.ledger.stage(
            "sign",
            |()| true,
            || {
                let path = folder.join(sums::FILE);
                let message = fs::read(&path).at("read", &path)?;
                write_whole(&folder.join(sums::SIGNATURE), sshsig::sign(key, &message)?.as_bytes())
            },
        )
    }

    /// Verifies the result as its receivers will. Never reused from an earlier run.
    fn self_check(&mut self) -> Result<(), Error> {
        let (folder, key, now) = (self.folder.clone(), self.key, (self.now)());
        let sink = self.ledger.sink();
        self.ledger.stage(
            "verification",
            |()| false,
            || {
                let work = folder.parent().unwrap_or(&folder);
                match first_problem(&folder, work, key.public(), now, sink)? {
                    None => Ok(()),
                    Some(detail) => Err(Error::SelfCheck { work: work.to_owned(), detail }),
                }
            },
        )
    }
}

/// Verifies a release as a receiver with this key does who has seen no other; `empty` is a folder without a trust store.
pub(super) fn first_problem(
    folder: &Utf8Path,
    empty: &Utf8Path,
    key: &PublicKey,
    now: i64,
    sink: Sink<'_>,
) -> Result<Option<String>, Error> {
    let mut store = TrustStore::open(&empty.join("trust"))?;
    let mut trusted = Trusted::new(vec![Signer::new("release", key.clone())], &store);
    let request =
        verify::Request { folder, now, expect: None, not_older_than: None, commit: None, statements: &[] };
    let verdict = verify::verify(&request, &mut trusted, &mut store, sink);
    Ok(verdict.problems.first().map(ToString::to_string))
}
