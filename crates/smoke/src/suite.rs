//! Runs the chosen checks on a guest.

use std::time::{Duration, Instant};

use rave_process::progress::{Event, Sink, Unit};

use crate::guest::Guest;
use crate::poll::{Problem, Seen};
use crate::registry::Check;
use crate::report::{Outcome, Row};

/// How long a killed QEMU may take to be seen as ended: the system takes its memory back first.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// The progress display's name for the checks.
const STAGE: &str = "checks";

/// Runs the checks in order, each to a row. One that fails does not stop the others; after an interrupt, or once the
/// machine has ended, those that are left are not run.
pub fn run(checks: &[Check], guest: &mut Guest, sink: Sink<'_>) -> Vec<Row> {
    let started = Instant::now();
    sink(Event::StageStarted { stage: STAGE });
    let total = Some(checks.len() as u64);
    let mut rows = Vec::new();
    for check in checks {
        let row = run_one(check, guest);
        if let Outcome::Failed(reason) | Outcome::Error(reason) = &row.outcome {
            // The table, with all of the reason, comes minutes later.
            let headline = reason.lines().next().unwrap_or_default();
            sink(Event::Warning { text: &format!("{}: {headline}", row.name) });
        }
        sink(Event::StageOutput { stage: STAGE, line: &format!("{} {}", row.outcome.word(), row.name) });
        rows.push(row);
        sink(Event::StageProgress { stage: STAGE, done: rows.len() as u64, total, unit: Unit::Checks });
    }
    let outcome = rave_process::progress::Outcome::Built;
    sink(Event::StageFinished { stage: STAGE, elapsed: started.elapsed(), outcome });
    rows
}

/// The rows of a guest that did not become ready.
pub fn not_run(checks: &[Check], reason: &str) -> Vec<Row> {
    let outcome = || Outcome::NotRun(reason.to_owned());
    checks.iter().map(|check| Row::new(check, outcome(), Duration::ZERO)).collect()
}

fn run_one(check: &Check, guest: &mut Guest) -> Row {
    let started = Instant::now();
    let mut seen = Seen::default();
    let ready = rave_process::interrupt::check().map_err(|interrupted| interrupted.to_string());
    let outcome = match ready.and_then(|()| guest.alive()) {
        Err(reason) => Outcome::NotRun(reason),
        Ok(()) => match (check.run)(guest, &mut seen) {
            Ok(()) => Outcome::Passed,
            Err(Problem::Failed(reason)) => Outcome::Failed(with_its_cause(reason, guest)),
            Err(Problem::CouldNotRun(reason)) => Outcome::Error(reason),
            Err(Problem::Interrupted) => Outcome::NotRun("interrupted".into()),
        },
    };
    let row = Row::new(check, outcome, started.elapsed());
    Row { attempts: seen.attempts, last_answer: seen.answer, ..row }
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
