//! A release is cut: stages from the build to the signature, each kept when it is done. One that died goes on in the stage
//! that it died in.

mod evidence;
mod ledger;
mod pack;
mod plan;
mod provenance;
mod seal;
mod workshop;

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_process::FileLock;
use rave_process::progress::{Event, Sink};
use rave_smoke::report::{Report, Verdict};

use crate::error::{Error, IoContext as _};
use crate::key::SigningKey;
use crate::manifest::{Bill, Manifest, ProfileRelease};
use crate::notes::{self, Notes};
use crate::parts::write_whole;
use crate::sbom::{self, Inventory};
use crate::signers::Signer;
use crate::sums;
use crate::trust::{TrustStore, Trusted};
use crate::{key_statement, names, sshsig, verify};
use ledger::Ledger;
pub use ledger::StageTime;
pub use plan::{Plan, ProfilePlan, Source};
pub use workshop::{Built, Workshop};

/// A finished release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// What is in it.
    pub manifest: Manifest,
    /// Its stages, in order; none where it was finished before.
    pub stages: Vec<StageTime>,
}

/// Where a release is until it is finished: beside its folder, so that the last step is a rename.
pub fn work_folder(out: &Utf8Path) -> Utf8PathBuf {
    out.with_file_name(format!(".{}.release", out.file_name().unwrap_or_default()))
}

/// Cuts the release into `plan.out`.
pub fn cut<W: Workshop>(
    plan: &Plan,
    workshop: &W,
    key: &SigningKey,
    sink: Sink<'_>,
) -> Result<Finished, W::Error> {
    let work = work_folder(&plan.out);
    if let Some(manifest) = finished(plan)? {
        sink(Event::Note { text: &format!("{} is already finished", plan.out) });
        remove(&work)?;
        return Ok(Finished { manifest, stages: Vec::new() });
    }
    fs::create_dir_all(&work).at("create", &work)?;
    let lock = lock(&work, sink)?;
    let ledger = Ledger::open(&work, plan.digest(key.public()), workshop.now(), sink)?;
    let mut cut = Cut { plan, workshop, key, folder: work.join("folder"), ledger };
    fs::create_dir_all(&cut.folder).at("create", &cut.folder)?;
    let manifest = cut.stages()?;
    if let Some(parent) = plan.out.parent() {
        fs::create_dir_all(parent).at("create", parent)?;
    }
    fs::rename(&cut.folder, &plan.out).at("rename into", &plan.out)?;
    let stages = cut.ledger.into_times();
    remove(&work)?;
    drop(lock);
    Ok(Finished { manifest, stages })
}

/// What is already there: the same release, or something that is in the way.
fn finished(plan: &Plan) -> Result<Option<Manifest>, Error> {
    let out = &plan.out;
    let occupied = |detail: String| Err(Error::Occupied { path: out.clone(), detail });
    let mut entries = match fs::read_dir(out) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("read", out, error)),
    };
    if entries.next().is_none() {
        return Ok(None);
    }
    let Ok(bytes) = fs::read(out.join(names::MANIFEST)) else {
        return occupied("it is not empty, and has no release in it".into());
    };
    match Manifest::parse(&bytes) {
        Ok(manifest) if plan.made(&manifest) && out.join(sums::SIGNATURE).exists() => Ok(Some(manifest)),
        Ok(manifest) => occupied(format!(
            "it has release {} of commit {} in it, with other contents than asked for",
            manifest.version, manifest.commit
        )),
        Err(why) => occupied(format!("its {} is not one of a release: {why}", names::MANIFEST)),
    }
}

fn lock(work: &Utf8Path, sink: Sink<'_>) -> Result<FileLock, Error> {
    let path = work.join("lock");
    let wait = &mut |holder: &rave_process::Holder| {
        let text = format!("waiting for another release into the same folder (process {})", holder.pid);
        sink(Event::Note { text: &text });
    };
    FileLock::acquire(&path, wait).map_err(|error| match error {
        rave_process::Error::Interrupted { .. } => Error::Interrupted,
        error => Error::io("lock", &path, std::io::Error::other(error.to_string())),
    })
}

fn remove(folder: &Utf8Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", folder, error)),
        _ => Ok(()),
    }
}

struct Cut<'a, W> {
    plan: &'a Plan,
    workshop: &'a W,
    key: &'a SigningKey,
    folder: Utf8PathBuf,
    ledger: Ledger<'a>,
}

/// What the stages found out of a profile.
struct ProfileResult {
    release: ProfileRelease,
    report: Report,
    inventory: Vec<Bill>,
}

impl<W: Workshop> Cut<'_, W> {
    fn stages(&mut self) -> Result<Manifest, W::Error> {
        let mut results = Vec::new();
        for profile in &self.plan.profiles {
            results.push(self.profile(profile)?);
        }
        let (plan, folder) = (self.plan, self.folder.clone());
        let manifest: Manifest = self.ledger.stage(
            "manifest",
            |_| true,
            || {
                let profiles = results.iter().map(|result| {
                    let bills = result.inventory.clone();
                    ProfileRelease { bills, ..result.release.clone() }
                });
                let manifest = plan.manifest(profiles.collect());
                write_whole(&folder.join(names::MANIFEST), manifest.to_json().as_bytes())?;
                Ok::<_, Error>(manifest)
            },
        )?;
        let reports: Vec<(&str, &Report)> =
            results.iter().map(|result| (result.release.profile.as_str(), &result.report)).collect();
        self.provenance(&manifest, &reports)?;
        self.notes(&manifest, &reports)?;
        self.seal()?;
        self.self_check()?;
        Ok(manifest)
    }

    fn profile(&mut self, profile: &ProfilePlan) -> Result<ProfileResult, W::Error> {
        let (plan, workshop, folder) = (self.plan, self.workshop, self.folder.clone());
        let name = &profile.profile;
        let built: Built = self.ledger.stage(
            &format!("build {name}"),
            |built: &Built| rave_image::Manifest::read(&built.out_dir).is_ok_and(|now| now == built.manifest),
            || workshop.build(profile),
        )?;
        if plan.second_build {
            self.ledger.stage(
                &format!("second build {name}"),
                |()| true,
                || workshop.build_again(profile),
            )?;
        }
        let report: Report = self.ledger.stage(
            &format!("smoke {name}"),
            |_| true,
            || {
                let report = workshop.smoke(profile)?;
                passed(name, &report)?;
                let report = evidence::public(report);
                let text = serde_json::to_vec_pretty(&report)
                    .map_err(|error| Error::damaged("the report", error))?;
                let path = format!("{}/{name}/report.json", names::SMOKE);
                write_whole(&folder.join(path), &text)?;
                Ok::<_, W::Error>(report)
            },
        )?;
        let release: ProfileRelease = self.ledger.stage(
            &format!("pack {name}"),
            |_| true,
            || pack::pack(plan, profile, &built, &folder),
        )?;
        let sink = self.ledger.sink();
        let bills: Vec<Bill> = self.ledger.stage(
            &format!("bills of materials {name}"),
            |_| true,
            || {
                let stem = plan.stem(profile);
                let inventory = workshop.inventory(profile, &built, &stem)?;
                let (all, without) = (inventory.components.len(), inventory.unlicensed());
                let text = format!("licences of {name}: {without} of {all} packages are NOASSERTION in the bills of materials");
                sink(Event::Note { text: &text });
                Ok::<_, W::Error>(seal::write_bills(&inventory, &stem, &folder)?)
            },
        )?;
        Ok(ProfileResult { release, report, inventory: bills })
    }

    fn provenance(&mut self, manifest: &Manifest, reports: &[(&str, &Report)]) -> Result<(), W::Error> {
        let (plan, key, folder, workshop) = (self.plan, self.key, self.folder.clone(), self.workshop);
        let started = self.ledger.started();
        self.ledger.stage(
            "provenance",
            |()| true,
            || {
                let mut statements = vec![provenance::statement(plan, manifest, started, workshop.now())];
                for (profile, report) in reports {
                    statements.extend(evidence::statements(plan, manifest, profile, report));
                }
                let mut text = String::new();
                for statement in &statements {
                    let envelope =
                        crate::dsse::Envelope::sign(crate::dsse::IN_TOTO, statement.to_bytes(), &[key])?;
                    text.push_str(&envelope.to_json());
                    text.push('\n');
                }
                write_whole(&folder.join(names::PROVENANCE), text.as_bytes())
            },
        )?;
        Ok(())
    }

    fn notes(&mut self, manifest: &Manifest, reports: &[(&str, &Report)]) -> Result<(), W::Error> {
        let (plan, folder) = (self.plan, self.folder.clone());
        self.ledger.stage(
            "notes",
            |()| true,
            || {
                let previous = plan.previous.as_deref().map(notes::Previous::read).transpose()?;
                let notes = Notes {
                    manifest,
                    changelog: &plan.changelog,
                    reports,
                    second_build: plan.second_build,
                    folder: &folder,
                    previous: previous.as_ref(),
                };
                write_whole(&folder.join(names::NOTES), notes.render()?.as_bytes())
            },
        )?;
        Ok(())
    }

    /// The checksums of all that is there, and their signature.
    fn seal(&mut self) -> Result<(), W::Error> {
        let (plan, key, folder) = (self.plan, self.key, self.folder.clone());
        self.ledger.stage(
            "checksums",
            |()| true,
            || {
                if let Some(keys) = &plan.keys {
                    let text = fs::read(keys).at("read", keys)?;
                    key_statement::parse_file(&text).map_err(|why| Error::damaged(keys, why))?;
                    write_whole(&folder.join(key_statement::FILE), &text)?;
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
        )?;
        Ok(())
    }

    /// What was made is verified as its receivers will. Never taken from an earlier run.
    fn self_check(&mut self) -> Result<(), W::Error> {
        let (folder, key, now) = (self.folder.clone(), self.key, self.workshop.now());
        let sink = self.ledger.sink();
        self.ledger.stage(
            "verification",
            |()| false,
            || {
                let mut store = TrustStore::open(&folder.with_file_name("trust"))?;
                let signer = Signer::new("release", key.public().clone());
                let mut trusted = Trusted::new(vec![signer], &store);
                let request = verify::Request {
                    folder: &folder,
                    now,
                    expect: None,
                    not_older_than: None,
                    statements: &[],
                };
                let verdict = verify::verify(&request, &mut trusted, &mut store, sink);
                match verdict.problems.first() {
                    None => Ok(()),
                    Some(first) => Err(Error::SelfCheck { detail: first.to_string() }),
                }
            },
        )?;
        Ok(())
    }
}

fn passed(profile: &str, report: &Report) -> Result<(), Error> {
    if report.verdict == Verdict::Passed {
        return Ok(());
    }
    let counts = report.counts;
    let detail = match &report.incomplete {
        Some(why) => why.clone(),
        None => format!("{} passed, {} failed, {} not run", counts.passed, counts.failed, counts.not_run),
    };
    Err(Error::SmokeFailed { profile: profile.to_owned(), detail })
}

/// The components that the build knows, as an inventory of a release.
pub fn inventory_of(
    plan: &Plan,
    built: &Built,
    name: &str,
    suite: &str,
    crates: &sbom::known::Crates<'_>,
) -> Result<Inventory, Error> {
    let components = sbom::known::components(&built.manifest, suite, crates)
        .map_err(|why| Error::damaged("what the build knows of its packages", why))?;
    Ok(Inventory::new(name.to_owned(), plan.version.to_string(), plan.epoch, components))
}
