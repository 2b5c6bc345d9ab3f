//! Runs the chosen checks on a guest.

use std::time::Instant;

use rave_process::progress::{Event, Sink, Unit};

use crate::guest::Guest;
use crate::poll::{Problem, Seen};
use crate::registry::Check;
use crate::report::{Outcome, Row};

/// The progress display's name for the checks.
const STAGE: &str = "checks";

/// Ctrl-C or SIGTERM while checks ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

/// Runs the checks in order. One that fails does not stop the others.
pub fn run(checks: &[Check], guest: &mut Guest, sink: Sink<'_>) -> Result<Vec<Row>, Interrupted> {
    let started = Instant::now();
    sink(Event::StageStarted { stage: STAGE });
    let total = Some(checks.len() as u64);
    let mut rows = Vec::new();
    for check in checks {
        let row = run_one(check, guest)?;
        sink(Event::StageOutput { stage: STAGE, line: &format!("{} {}", row.outcome.word(), row.name) });
        rows.push(row);
        sink(Event::StageProgress { stage: STAGE, done: rows.len() as u64, total, unit: Unit::Checks });
    }
    let outcome = rave_process::progress::Outcome::Built;
    sink(Event::StageFinished { stage: STAGE, elapsed: started.elapsed(), outcome });
    Ok(rows)
}

/// The rows of a guest that did not become ready.
pub fn not_run(checks: &[Check], reason: &str) -> Vec<Row> {
    let outcome = || Outcome::NotRun(reason.to_owned());
    checks.iter().map(|check| Row::new(check, outcome(), std::time::Duration::ZERO)).collect()
}

fn run_one(check: &Check, guest: &mut Guest) -> Result<Row, Interrupted> {
    let started = Instant::now();
    let mut seen = Seen::default();
    let outcome = match guest_is_gone(guest) {
        Some(reason) => Outcome::NotRun(reason),
        None => match (check.run)(guest, &mut seen) {
            Ok(()) => Outcome::Passed,
            Err(Problem::Failed(reason)) => Outcome::Failed(reason),
            Err(Problem::CouldNotRun(reason)) => Outcome::Error(reason),
            Err(Problem::Interrupted) => return Err(Interrupted),
        },
    };
    let row = Row::new(check, outcome, started.elapsed());
    Ok(Row { attempts: seen.attempts, last_answer: seen.answer, ..row })
}

/// A guest whose QEMU has ended answers nothing: that is said at once instead of after every time limit.
fn guest_is_gone(guest: &mut Guest) -> Option<String> {
    let Some(instance) = guest.instance.as_mut() else { return Some("the machine has ended".into()) };
    match instance.ended() {
        Ok(None) => None,
        Ok(Some(status)) => Some(instance.died(status).to_string()),
        Err(error) => Some(error.to_string()),
    }
}
