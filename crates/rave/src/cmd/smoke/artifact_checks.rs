//! The checks of the files by the host's programs, as rows of the report.

use std::time::Instant;

use rave_image::manifest::Artifact;
use rave_image::verify::{Verification, VerifyOutcome, verify};
use rave_process::progress::{Event, StageOutcome};
use rave_smoke::report::{ArtifactChecks, CheckResult, Outcome};

use crate::settings::Settings;
use crate::ui::Ui;

/// The group of these rows.
const GROUP: &str = "made";

pub(super) fn verify_files(artifact: &Artifact, settings: &Settings, ui: &Ui) -> ArtifactChecks {
    let sink = ui.sink();
    let stage = &format!("files of {}", artifact.format);
    let started = Instant::now();
    sink(Event::StageStarted { stage });
    let verifications = verify(&settings.out_dir, artifact, settings.ovf_schema.as_deref());
    sink(Event::StageFinished { stage, elapsed: started.elapsed(), outcome: StageOutcome::Built });
    let checks = checks_of(artifact.format.as_str(), verifications);
    for row in checks.rows.iter().filter(|row| row.outcome.is_failure()) {
        let reason = row.outcome.reason().unwrap_or_default().lines().next().unwrap_or_default();
        ui.warn(&format!("{}: {reason}", row.name));
    }
    checks
}

fn checks_of(format: &str, verifications: Vec<Verification>) -> ArtifactChecks {
    let mut checks = ArtifactChecks { format: format.to_owned(), rows: Vec::new(), not_here: Vec::new() };
    for Verification { name, title, outcome, elapsed } in verifications {
        let (outcome, last_answer) = match outcome {
            VerifyOutcome::ToolMissing => {
                checks.not_here.push(format!("{name}: {title}"));
                continue;
            }
            VerifyOutcome::Valid(answer) => (Outcome::Passed, answer),
            VerifyOutcome::Invalid(why) => (Outcome::Failed(why), String::new()),
            VerifyOutcome::Unknown(why) => (Outcome::Error(why), String::new()),
        };
        let seconds = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
        let group = GROUP.to_owned();
        checks.rows.push(CheckResult { name, group, title, outcome, seconds, attempts: 1, last_answer });
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_missing_program_is_reported_without_a_row() {
        let verification = |name: &str, outcome| Verification {
            name: name.into(),
            title: "all is well".into(),
            outcome,
            elapsed: Duration::from_millis(5),
        };
        let checks = checks_of(
            "virtualbox",
            vec![
                verification("qemu-img-ova", VerifyOutcome::Valid("No errors".into())),
                verification("vboxmanage", VerifyOutcome::ToolMissing),
                verification("xmllint-ovf", VerifyOutcome::Invalid("no XML".into())),
            ],
        );
        let names: Vec<&str> = checks.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["qemu-img-ova", "xmllint-ovf"]);
        assert_eq!((checks.counts().passed, checks.counts().failed), (1, 1));
        assert_eq!(checks.not_here, ["vboxmanage: all is well"]);
    }
}
