//! The stages that need no key: builds, boots, artifacts under their release names, bills of materials.

use camino::{Utf8Path, Utf8PathBuf};
use rave_image::inputs::Input;
use rave_process::progress::Event;
use rave_smoke::report::{Boot, Report, Verdict};
use rave_spec::Format;

use super::inputs::Packed;
use super::leaks::{self, Searched};
use super::ledger::Ledger;
use super::plan::{Plan, ProfilePlan};
use super::results::{ProfileResult, Results};
use super::workshop::{Built, Workshop};
use super::{evidence, pack, seal};
use crate::error::Error;
use crate::manifest::{Bill, ProfileRelease};
use crate::parts::write_whole;
use crate::{leak, names};

/// Writes inputs as files of the folder.
type Pack = fn(&Plan, &[Input], &Utf8Path) -> Result<Packed, Error>;

pub(super) struct Building<'a, 'l, W> {
    pub(super) plan: &'a Plan,
    pub(super) workshop: &'a W,
    pub(super) folder: Utf8PathBuf,
    pub(super) ledger: &'a mut Ledger<'l>,
}

impl<W: Workshop> Building<'_, '_, W> {
    /// The number of these stages in a plan.
    pub(super) fn count(plan: &Plan) -> u64 {
        plan.profiles.len() as u64 * (5 + u64::from(plan.second_build)) + u64::from(plan.inputs)
    }

    /// Every profile of the plan, and the downloads of their builds.
    pub(super) fn results(&mut self, pack: Pack) -> Result<Results, W::Error> {
        let (plan, workshop) = (self.plan, self.workshop);
        let (mut profiles, mut builds) = (Vec::new(), Vec::new());
        for profile in &plan.profiles {
            let (result, built) = self.profile(profile)?;
            profiles.push(result);
            builds.push(built);
        }
        if !plan.inputs {
            return Ok(Results { profiles, inputs: None });
        }
        let (folder, builds) = (&self.folder, builds.iter().collect::<Vec<_>>());
        let archive = || Ok::<_, W::Error>(pack(plan, &workshop.inputs(&builds)?, folder)?);
        let inputs = Some(self.ledger.stage("inputs", |_| true, archive)?);
        Ok(Results { profiles, inputs })
    }

    fn profile(&mut self, profile: &ProfilePlan) -> Result<(ProfileResult, Built), W::Error> {
        let (plan, workshop, folder) = (self.plan, self.workshop, self.folder.clone());
        let name = &profile.profile;
        let built: Built = self.ledger.stage(
            &format!("build {name}"),
            |built: &Built| rave_image::Manifest::read(&built.out_dir).is_ok_and(|now| now == built.manifest),
            || {
                let built = workshop.build(profile)?;
                shippable(plan, name, &built.manifest)?;
                Ok::<_, W::Error>(built)
            },
        )?;
        if plan.second_build {
            self.ledger.stage(&format!("second build {name}"), |()| true, || workshop.rebuild(profile))?;
        }
        let report: Report = self.ledger.stage(
            &format!("smoke {name}"),
            |_| true,
            || {
                let report = workshop.smoke(profile)?;
                passed(name, &profile.formats, &report)?;
                let report = evidence::public(report);
                let text = serde_json::to_vec_pretty(&report)
                    .map_err(|error| Error::damaged("the report", error))?;
                leaks::look_at_report(name, &text, &workshop.builder(profile, &built))?;
                write_whole(&folder.join(names::report(name)), &text)?;
                Ok::<_, W::Error>(report)
            },
        )?;
        let sink = self.ledger.sink();
        let searched: Searched = self.ledger.stage(
            &format!("{} {name}", leak::STAGE),
            |_| true,
            || leaks::search(&built, &workshop.builder(profile, &built), sink),
        )?;
        let release: ProfileRelease = self.ledger.stage(
            &format!("pack {name}"),
            |_| true,
            || pack::pack(plan, profile, &built, &folder),
        )?;
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
        let release = ProfileRelease { bills, ..release };
        Ok((ProfileResult { release, report, searched }, built))
    }
}

/// Refuses images that were built for tests, unless the release is for tests too.
fn shippable(plan: &Plan, profile: &str, manifest: &rave_image::Manifest) -> Result<(), Error> {
    if manifest.origin.is_payload() && !plan.payload {
        return Err(Error::Payload { profile: profile.to_owned() });
    }
    Ok(())
}

/// Refuses a profile that did not pass its checks, or of which a format was not booted.
pub(super) fn passed(profile: &str, formats: &[Format], report: &Report) -> Result<(), Error> {
    let is_ready = |format: &&Format| {
        let name = format.to_string();
        report.runs.iter().any(|run| run.subject.format == name && matches!(run.boot, Boot::Ready(_)))
    };
    let not_booted = formats.iter().find(|format| !is_ready(format));
    let detail = match (report.verdict, not_booted, &report.incomplete) {
        (Verdict::Passed, None, _) => return Ok(()),
        (Verdict::Passed, Some(format), _) => format!("its report has no boot of the format {format}"),
        (_, _, Some(why)) => why.clone(),
        (_, _, None) => {
            let counts = report.counts;
            format!("{} passed, {} failed, {} not run", counts.passed, counts.failed, counts.not_run)
        }
    };
    Err(Error::SmokeFailed { profile: profile.to_owned(), detail })
}
