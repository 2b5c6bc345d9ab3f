//! The stages that need no key: builds, boots, artifacts under their names, bills of materials.

use camino::Utf8PathBuf;
use rave_process::progress::Event;
use rave_smoke::report::{Report, Verdict};

use super::ledger::Ledger;
use super::plan::{Plan, ProfilePlan};
use super::workshop::{Built, Workshop};
use super::{evidence, pack, seal};
use crate::error::Error;
use crate::manifest::{Bill, ProfileRelease};
use crate::names;
use crate::parts::write_whole;

/// What the stages found out of a profile.
pub(super) struct ProfileResult {
    /// With its bills.
    pub(super) release: ProfileRelease,
    pub(super) report: Report,
}

pub(super) struct Building<'a, 'l, W> {
    pub(super) plan: &'a Plan,
    pub(super) workshop: &'a W,
    pub(super) folder: Utf8PathBuf,
    pub(super) ledger: &'a mut Ledger<'l>,
}

impl<W: Workshop> Building<'_, '_, W> {
    /// How many stages a plan has here.
    pub(super) fn count(plan: &Plan) -> u64 {
        plan.profiles.len() as u64 * if plan.second_build { 5 } else { 4 }
    }

    /// Every profile of the plan.
    pub(super) fn profiles(&mut self) -> Result<Vec<ProfileResult>, W::Error> {
        let plan = self.plan;
        plan.profiles.iter().map(|profile| self.profile(profile)).collect()
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
                write_whole(&folder.join(names::report(name)), &text)?;
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
        Ok(ProfileResult { release: ProfileRelease { bills, ..release }, report })
    }
}

/// A release has nothing in it that did not pass.
pub(super) fn passed(profile: &str, report: &Report) -> Result<(), Error> {
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
