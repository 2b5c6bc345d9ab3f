//! Evidence of boots: a statement for each row of the smoke matrix, about the artifact by its digest.

use rave_image::formats;
use rave_smoke::report::{Boot, Outcome, Report, Run};
use serde_json::{Value, json};

use super::plan::Plan;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::names;
use crate::statement::{BOOT, Statement, Subject};

/// The report without host-specific parts: logs, their paths, screenshots, and warnings that mention files.
pub(super) fn public(mut report: Report) -> Report {
    for run in &mut report.runs {
        run.serial = None;
        run.screenshots.clear();
        run.warnings.clear();
    }
    report
}

/// One statement per boot.
pub(super) fn statements(
    plan: &Plan,
    manifest: &Manifest,
    profile: &str,
    report: &Report,
) -> Result<Vec<Statement>, Error> {
    let Some(release) = plan.profiles.iter().find(|one| one.profile == profile) else {
        return Ok(Vec::new());
    };
    let (stem, image_stem) = (plan.stem(release), formats::stem(manifest.base, profile));
    let runs = report.runs.iter();
    runs.map(|run| {
        let about = || format!("the report of {profile}, on {}", run.subject.artifact);
        let name = names::artifact(&stem, &image_stem, &run.subject.artifact)
            .map_err(|why| Error::damaged(about(), why))?;
        let sha256 = run.subject.sha256.parse().map_err(|why| Error::damaged(about(), why))?;
        let subject = Subject::new(name.as_str(), sha256);
        Ok(Statement::new(BOOT, vec![subject], predicate(run, report)))
    })
    .collect()
}

fn predicate(run: &Run, report: &Report) -> Value {
    let subject = &run.subject;
    let checks: Vec<Value> = run
        .rows
        .iter()
        .map(
            |check| json!({"name": check.name, "group": check.group, "result": outcome_name(&check.outcome)}),
        )
        .collect();
    let ready = match &run.boot {
        Boot::Ready(times) => Some(times.ready),
        Boot::Failed(_) => None,
    };
    json!({
        "row": subject.row, "medium": subject.medium, "firmware": subject.firmware, "bus": subject.bus,
        "nic": subject.nic, "memoryMib": subject.memory_mib, "cpus": subject.cpus,
        "accelerator": subject.accelerator, "qemu": report.host.qemu, "started": report.started,
        "readySeconds": ready, "checks": checks
    })
}

fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed(_) => "failed",
        Outcome::Error(_) => "error",
        Outcome::NotRun(_) | Outcome::NotYet(_) => "not run",
    }
}
