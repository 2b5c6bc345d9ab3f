//! Cuts a release: stages from the build to the signature, each saved when it is done. An interrupted release resumes
//! in the stage that it was interrupted in.

mod building;
mod disks;
mod evidence;
mod finished;
mod inputs;
mod joining;
mod leaks;
mod ledger;
mod out_folder;
mod pack;
mod part;
mod patches;
mod plan;
mod provenance;
mod remake;
mod results;
mod seal;
mod sealing;
mod security;
mod workshop;

use std::fs;

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::digest::{Digest, Hasher};
use rave_process::FileLock;
use rave_process::progress::{Event, Sink};

use crate::error::{Error, IoContext as _};
use crate::key::SigningKey;
use crate::lock;
use crate::manifest::ProfileRelease;
use crate::sbom::{self, Inventory};
use building::Building;
use finished::finished;
use ledger::Ledger;
pub use ledger::StageTime;
pub use out_folder::work_folder;
use out_folder::{empty, is_empty};
pub(crate) use part::REPORT_LIMIT;
pub use part::ReleasePart;
pub use plan::{Plan, ProfilePlan, Source};
pub use remake::{Remade, remake};
use results::{ProfileResult, Results};
use sealing::Sealing;
pub use workshop::{Built, Workshop};

/// A finished release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Its profiles.
    pub profiles: Vec<ProfileRelease>,
    /// Its stages, in order; empty if it was already finished.
    pub stages: Vec<StageTime>,
}

impl Finished {
    fn before(plan: &Plan, profiles: Vec<ProfileRelease>, sink: Sink<'_>) -> Result<Self, Error> {
        sink(Event::Note { text: &format!("{} is already finished", plan.out) });
        remove(&work_folder(&plan.out))?;
        Ok(Self { profiles, stages: Vec::new() })
    }
}

/// Cuts the release into `plan.out`.
pub fn cut<W: Workshop>(
    plan: &Plan,
    workshop: &W,
    key: &SigningKey,
    sink: Sink<'_>,
) -> Result<Finished, W::Error> {
    let already = || finished(plan, key.public(), workshop.now(), sink);
    let (digest, count) =
        (plan.digest(Some(key.public())), Building::<W>::count(plan) + Sealing::count(plan));
    in_work_folder(plan, (digest, count), workshop.now(), sink, &already, |folder, ledger| {
        let mut building = Building { plan, workshop, folder: folder.clone(), ledger };
        let results = building.results(inputs::pack)?;
        let (started, now) = (ledger.started(), &|| workshop.now());
        Ok::<_, W::Error>(Sealing { plan, key, folder, ledger, started, now }.seal(&results)?.profiles)
    })
}

/// Makes a part of a release in `plan.out`: everything that needs no key, for [`join`] on the host with the key.
pub fn part<W: Workshop>(plan: &Plan, workshop: &W, sink: Sink<'_>) -> Result<Finished, W::Error> {
    let already = || {
        if is_empty(&plan.out)? || !plan.out.join(part::FILE).exists() {
            return empty(&plan.out).map(|()| None);
        }
        let part = ReleasePart::read(&plan.out)?;
        if !part.is_made_by(plan) {
            let detail = "it has a part of another release in it, or of other profiles".into();
            return Err(Error::Occupied { path: plan.out.clone(), detail });
        }
        Ok(Some(part.releases()))
    };
    let (digest, count) = (plan.digest(None), Building::<W>::count(plan) + 1);
    in_work_folder(plan, (digest, count), workshop.now(), sink, &already, |folder, ledger| {
        let mut building = Building { plan, workshop, folder: folder.clone(), ledger };
        // The list of sources covers the whole release.
        let results = building.results(inputs::archive)?;
        let started = ledger.started();
        ledger.stage("describe", |()| false, || part::describe(plan, &results, started, &folder))?;
        Ok::<_, W::Error>(results.profiles.into_iter().map(|result| result.release).collect())
    })
}

/// Makes a release in `plan.out` from parts that other hosts built. `now` returns seconds since 1970.
pub fn join(
    plan: &Plan,
    parts: &[ReleasePart],
    key: &SigningKey,
    now: &dyn Fn() -> i64,
    sink: Sink<'_>,
) -> Result<Finished, Error> {
    parts.iter().try_for_each(|part| part.check(plan))?;
    let names: Vec<String> =
        parts.iter().flat_map(ReleasePart::profiles).map(|profile| profile.profile).collect();
    if let Some((_, twice)) = names.iter().enumerate().find(|(number, name)| names[..*number].contains(name))
    {
        return Err(Error::damaged(&plan.out, format!("two parts have the profile {twice}")));
    }
    let count = plan.profiles.len() as u64 + u64::from(plan.inputs) + Sealing::count(plan);
    let mut digest = Hasher::default();
    digest.field("plan", plan.digest(Some(key.public())).bytes());
    for part in parts {
        digest.field("part", part.digest().bytes());
    }
    let already = || finished(plan, key.public(), now(), sink);
    in_work_folder(plan, (digest.finish(), count), now(), sink, &already, |folder, ledger| {
        let mut profiles = Vec::new();
        for part in parts {
            for (number, profile) in part.profiles().enumerate() {
                let name = format!("take {}", profile.profile);
                let release = ledger.stage(&name, |_| true, || part.take(number, &folder))?;
                let report = part::report(&release, &folder)?;
                profiles.push(ProfileResult { release, report, searched: part.searched(number) });
            }
        }
        let inputs = if plan.inputs {
            Some(ledger.stage("inputs", |_| true, || joining::join(plan, parts, &folder))?)
        } else {
            None
        };
        let results = Results { profiles, inputs };
        let started = parts.iter().map(ReleasePart::started).min().unwrap_or_else(|| ledger.started());
        Ok::<_, Error>(Sealing { plan, key, folder, ledger, started, now }.seal(&results)?.profiles)
    })
}

/// Lets `make` fill a work folder in `count` stages, and renames it to `plan.out` when it is complete. Finished stages
/// are kept until then. `already` returns what is complete.
fn in_work_folder<E: From<Error>>(
    plan: &Plan,
    (digest, count): (Digest, u64),
    now: i64,
    sink: Sink<'_>,
    already: &dyn Fn() -> Result<Option<Vec<ProfileRelease>>, Error>,
    make: impl FnOnce(Utf8PathBuf, &mut Ledger<'_>) -> Result<Vec<ProfileRelease>, E>,
) -> Result<Finished, E> {
    if let Some(profiles) = already()? {
        return Ok(Finished::before(plan, profiles, sink)?);
    }
    let work = work_folder(&plan.out);
    fs::create_dir_all(&work).at("create", &work)?;
    let lock = lock(&work, sink)?;
    // The process that was waited for may have completed it, and has removed the work folder then.
    if let Some(profiles) = already()? {
        return Ok(Finished::before(plan, profiles, sink)?);
    }
    let mut ledger = Ledger::open(&work, digest, count, now, sink)?;
    let folder = work.join("folder");
    fs::create_dir_all(&folder).at("create", &folder)?;
    let profiles = make(folder.clone(), &mut ledger)?;
    if let Some(parent) = plan.out.parent() {
        fs::create_dir_all(parent).at("create", parent)?;
    }
    fs::rename(&folder, &plan.out).at("rename into", &plan.out)?;
    remove(&work)?;
    drop(lock);
    Ok(Finished { profiles, stages: ledger.finish() })
}

fn lock(work: &Utf8Path, sink: Sink<'_>) -> Result<FileLock, Error> {
    let path = work.join("lock");
    let wait = &mut |holder: &rave_process::Holder| {
        let text = format!("waiting for another release into the same folder (process {})", holder.pid);
        sink(Event::Note { text: &text });
    };
    lock::take(&path, wait)
}

fn remove(folder: &Utf8Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", folder, error)),
        _ => Ok(()),
    }
}

/// The components known from the build, as an inventory of a release.
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
