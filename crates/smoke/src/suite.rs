//! Runs the chosen checks on a guest.

use std::time::{Duration, Instant};

use rave_process::progress::{Event, Sink, Unit};

use crate::guest::Guest;
use crate::poll::{CheckError, Observation};
use crate::registry::{Check, Group};
use crate::report::{CheckResult, Outcome, ScreenshotTrigger, Screenshots};

/// How long a killed QEMU may take to be seen as ended: the system takes its memory back first.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// The progress display's name for the checks.
const STAGE: &str = "checks";

/// Runs the checks in order, each to a row. One that fails does not stop the others; after an interrupt, or once the
/// machine has ended, those that are left are not run.
pub fn run(checks: &[Check], guest: &mut Guest, sink: Sink<'_>) -> Vec<CheckResult> {
    told(checks, sink, &mut |step| match step {
        Step::Check(check) => Some(run_one(check, guest)),
        Step::Picture(_) => None,
    })
}

/// The same, with pictures of the screen: at once when a check fails, and before the first that disturbs the guest.
pub fn run_with_pictures(
    checks: &[Check],
    guest: &mut Guest,
    screenshots: &mut Screenshots,
    sink: Sink<'_>,
) -> Vec<CheckResult> {
    told(checks, sink, &mut |step| match step {
        Step::Check(check) => Some(run_one(check, guest)),
        Step::Picture(moment) => {
            // Who interrupts does not wait for a picture.
            if rave_process::interrupt::requested().is_none() {
                screenshots.take(guest.instance.as_mut(), moment);
            }
            None
        }
    })
}

/// What is done next.
enum Step<'a> {
    Check(&'a Check),
    Picture(ScreenshotTrigger),
}

/// Takes the steps in order and tells how far they are; the rows that they gave.
fn told(
    checks: &[Check],
    sink: Sink<'_>,
    take: &mut dyn FnMut(Step<'_>) -> Option<CheckResult>,
) -> Vec<CheckResult> {
    let started = Instant::now();
    sink(Event::StageStarted { stage: STAGE });
    let total = Some(checks.len() as u64);
    let mut rows = Vec::new();
    let only_look = checks.iter().take_while(|check| check.group != Group::Life).count();
    for (index, check) in checks.iter().enumerate() {
        if index == only_look {
            take(Step::Picture(ScreenshotTrigger::Looked));
        }
        let Some(row) = take(Step::Check(check)) else { continue };
        if let Outcome::Failed(reason) | Outcome::Error(reason) = &row.outcome {
            take(Step::Picture(ScreenshotTrigger::CheckFailed(row.name.clone())));
            // The table, with all of the reason, comes minutes later.
            let headline = reason.lines().next().unwrap_or_default();
            sink(Event::Warning { text: &format!("{}: {headline}", row.name) });
        }
        sink(Event::StageOutput { stage: STAGE, line: &format!("{} {}", row.outcome.word(), row.name) });
        rows.push(row);
        sink(Event::StageProgress { stage: STAGE, done: rows.len() as u64, total, unit: Unit::Checks });
    }
    if only_look == checks.len() {
        take(Step::Picture(ScreenshotTrigger::Looked));
    }
    let outcome = rave_process::progress::Outcome::Built;
    sink(Event::StageFinished { stage: STAGE, elapsed: started.elapsed(), outcome });
    rows
}

/// The rows of a guest that did not become ready.
pub fn not_run(checks: &[Check], reason: &str) -> Vec<CheckResult> {
    let outcome = || Outcome::NotRun(reason.to_owned());
    checks.iter().map(|check| CheckResult::new(check, outcome(), Duration::ZERO)).collect()
}

fn run_one(check: &Check, guest: &mut Guest) -> CheckResult {
    let started = Instant::now();
    let mut seen = Observation::default();
    let ready = rave_process::interrupt::check().map_err(|interrupted| interrupted.to_string());
    let outcome = match ready.and_then(|()| guest.alive()) {
        Err(reason) => Outcome::NotRun(reason),
        Ok(()) => match (check.run)(guest, &mut seen) {
            Ok(()) => Outcome::Passed,
            Err(CheckError::Failed(reason) | CheckError::Crashed(reason)) => {
                Outcome::Failed(with_its_cause(reason, guest))
            }
            Err(CheckError::CouldNotRun(reason)) => Outcome::Error(reason),
            Err(CheckError::Interrupted) => Outcome::NotRun("interrupted".into()),
        },
    };
    let row = CheckResult::new(check, outcome, started.elapsed());
    CheckResult { attempts: seen.attempts, last_answer: seen.answer, ..row }
}

/// A connection that breaks says little: where QEMU has ended, that is why.
fn with_its_cause(reason: String, guest: &mut Guest) -> String {
    // The check of the end has ended it itself.
    if guest.instance.is_none() {
        return reason;
    }
    let started = Instant::now();
    loop {
        match guest.alive() {
            Err(gone) if reason.starts_with(&gone) => return reason,
            Err(gone) => return format!("{gone}\n{reason}"),
            Ok(()) if started.elapsed() >= LAST_BREATH => return reason,
            Ok(()) => {
                if rave_process::interrupt::pause(LAST_BREATH / 20).is_err() {
                    return reason;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::select;

    /// What was done with these checks, of which `failing` fail: their names, and the pictures.
    fn steps(names: &[&str], failing: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut steps = Vec::new();
        told(&select(&names, &[], &[].into()).unwrap(), &|_| (), &mut |step| match step {
            Step::Check(check) => {
                steps.push(check.name.to_owned());
                let fails = failing.contains(&check.name);
                let outcome = if fails { Outcome::Failed("down".into()) } else { Outcome::Passed };
                Some(CheckResult::new(check, outcome, Duration::ZERO))
            }
            Step::Picture(moment) => {
                steps.push(format!("picture {moment}"));
                None
            }
        });
        steps
    }

    #[test]
    fn the_screen_is_looked_at_before_what_disturbs_and_when_a_check_fails() {
        let looked = "picture after the checks that only look";
        assert_eq!(
            steps(&["sudo", "tool-git", "reboot", "clean-shutdown"], &["sudo", "reboot"]),
            [
                "sudo",
                "picture when sudo failed",
                "tool-git",
                looked,
                "reboot",
                "picture when reboot failed",
                "clean-shutdown"
            ]
        );
        assert_eq!(steps(&["tool-git"], &[]), ["tool-git", looked]);
        assert_eq!(steps(&["reboot"], &[]), [looked, "reboot"]);
    }
}
