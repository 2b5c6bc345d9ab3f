//! Runs the chosen checks on a guest.

use std::time::{Duration, Instant};

use rave_process::progress::{self, Event, Sink, Unit};

use crate::guest::Guest;
use crate::poll::{CheckError, Observation};
use crate::registry::{Check, Group, Probe};
use crate::report::{CheckResult, Outcome, ScreenshotTrigger, Screenshots};
use crate::side_by_side::side_by_side;

/// How long it may take until a killed QEMU is seen to have ended: the system frees its memory first.
const LAST_BREATH: Duration = Duration::from_secs(1);

/// The progress display's name for the checks.
const STAGE: &str = "checks";

/// How many checks that only look run at once: as many as a guest has processors. Under software emulation on a busy
/// host, four took no less time than two, and each came close to its own limit.
const AT_ONCE: usize = 2;

/// Runs the checks, and returns their results in the same order. Checks that only look run side by side. A failed check
/// does not stop the others; after an interrupt, or once the machine has ended, the remaining ones are not run.
pub fn run(checks: &[Check], guest: &mut Guest, sink: Sink<'_>) -> Vec<CheckResult> {
    run_all(checks, guest, &mut |_, _| (), sink)
}

/// The same, with screenshots: whenever a check fails, and before the first check that disturbs the guest.
pub fn run_with_pictures(
    checks: &[Check],
    guest: &mut Guest,
    screenshots: &mut Screenshots,
    sink: Sink<'_>,
) -> Vec<CheckResult> {
    let mut take = |guest: &Guest, trigger| {
        // After an interrupt, do not wait for a screenshot.
        if rave_process::interrupt::requested().is_none() {
            screenshots.take(guest.instance().as_mut(), trigger);
        }
    };
    run_all(checks, guest, &mut take, sink)
}

type ReadProbe = fn(&Guest, &mut Observation) -> Result<(), CheckError>;
type Change = fn(&mut Guest, &mut Observation) -> Result<(), CheckError>;

/// What checks are run on.
trait Subject: Sync {
    fn parallel(&self, check: &Check, probe: ReadProbe) -> CheckResult;
    fn alone(&mut self, check: &Check, probe: Change) -> CheckResult;
}

/// Checks that are run together, each with its index among all.
enum Step<'a> {
    Parallel(Vec<(usize, &'a Check, ReadProbe)>),
    Alone(usize, &'a Check, Change),
}

/// The checks in their order: adjacent checks that only look form one step.
fn steps(checks: &[Check]) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::new();
    for (index, check) in checks.iter().enumerate() {
        match (check.probe, steps.last_mut()) {
            (Probe::Parallel(probe), Some(Step::Parallel(probes))) => probes.push((index, check, probe)),
            (Probe::Parallel(probe), _) => steps.push(Step::Parallel(vec![(index, check, probe)])),
            (Probe::Alone(probe), _) => steps.push(Step::Alone(index, check, probe)),
        }
    }
    steps
}

/// Runs one step after another and reports progress. `picture` takes a screenshot.
fn run_all<S: Subject>(
    checks: &[Check],
    subject: &mut S,
    picture: &mut dyn FnMut(&S, ScreenshotTrigger),
    sink: Sink<'_>,
) -> Vec<CheckResult> {
    let started = Instant::now();
    sink(Event::StageStarted { stage: STAGE });
    let mut is_disturbed = false;
    let mut results = Results { of_all: Vec::new(), total: checks.len(), sink };
    for step in steps(checks) {
        match step {
            Step::Parallel(probes) => {
                let subject = &*subject;
                let run_one =
                    |(_, check, probe): &(usize, &Check, ReadProbe)| subject.parallel(check, *probe);
                side_by_side(AT_ONCE, &probes, run_one, |begun, result| {
                    let (index, ..) = probes[begun];
                    results.add(index, result, &mut |trigger| picture(subject, trigger));
                });
            }
            Step::Alone(index, check, probe) => {
                if check.group == Group::Life && !is_disturbed {
                    is_disturbed = true;
                    picture(subject, ScreenshotTrigger::Looked);
                }
                let result = subject.alone(check, probe);
                results.add(index, result, &mut |trigger| picture(subject, trigger));
            }
        }
    }
    if !is_disturbed {
        picture(subject, ScreenshotTrigger::Looked);
    }
    let outcome = progress::StageOutcome::Built;
    sink(Event::StageFinished { stage: STAGE, elapsed: started.elapsed(), outcome });
    results.of_all.sort_by_key(|(index, _)| *index);
    results.of_all.into_iter().map(|(_, result)| result).collect()
}

/// The results so far, with the indexes of their checks.
struct Results<'a> {
    of_all: Vec<(usize, CheckResult)>,
    total: usize,
    sink: Sink<'a>,
}

impl Results<'_> {
    /// Adds a result and reports it.
    fn add(&mut self, index: usize, result: CheckResult, picture: &mut dyn FnMut(ScreenshotTrigger)) {
        let sink = self.sink;
        if let Outcome::Failed(reason) | Outcome::Error(reason) = &result.outcome {
            picture(ScreenshotTrigger::CheckFailed(result.name.clone()));
            // The table, with the complete reason, is only printed minutes later.
            let headline = reason.lines().next().unwrap_or_default();
            sink(Event::Warning { text: &format!("{}: {headline}", result.name) });
        }
        sink(Event::StageOutput {
            stage: STAGE,
            line: &format!("{} {}", result.outcome.as_str(), result.name),
        });
        self.of_all.push((index, result));
        let (done, total) = (self.of_all.len() as u64, Some(self.total as u64));
        sink(Event::StageProgress { stage: STAGE, done, total, unit: Unit::Checks });
    }
}

/// The rows for a guest that did not become ready.
pub fn not_run(checks: &[Check], reason: &str) -> Vec<CheckResult> {
    let outcome = || Outcome::NotRun(reason.to_owned());
    checks.iter().map(|check| CheckResult::new(check, outcome(), Duration::ZERO)).collect()
}

impl Subject for Guest {
    fn parallel(&self, check: &Check, probe: ReadProbe) -> CheckResult {
        measure(check, |seen| match ready(self) {
            Ok(()) => outcome(probe(self, seen), self),
            Err(reason) => Outcome::NotRun(reason),
        })
    }

    fn alone(&mut self, check: &Check, probe: Change) -> CheckResult {
        measure(check, |seen| match ready(self) {
            Ok(()) => outcome(probe(self, seen), self),
            Err(reason) => Outcome::NotRun(reason),
        })
    }
}

fn measure(check: &Check, run: impl FnOnce(&mut Observation) -> Outcome) -> CheckResult {
    let started = Instant::now();
    let mut seen = Observation::default();
    let outcome = run(&mut seen);
    let result = CheckResult::new(check, outcome, started.elapsed());
    CheckResult { attempts: seen.attempts, last_answer: seen.answer, ..result }
}

/// Fails with the reason if no check is worth trying.
fn ready(guest: &Guest) -> Result<(), String> {
    rave_process::interrupt::check().map_err(|interrupted| interrupted.to_string())?;
    guest.alive()
}

fn outcome(answer: Result<(), CheckError>, guest: &Guest) -> Outcome {
    match answer {
        Ok(()) => Outcome::Passed,
        Err(CheckError::Failed(reason) | CheckError::Crashed(reason)) => {
            Outcome::Failed(with_its_cause(reason, guest))
        }
        Err(CheckError::CouldNotRun(reason)) => Outcome::Error(reason),
        Err(CheckError::NotYet(reason)) => Outcome::NotYet(reason),
        Err(CheckError::Interrupted) => Outcome::NotRun("interrupted".into()),
    }
}

/// A broken connection says little: if QEMU has ended, that is the cause.
fn with_its_cause(reason: String, guest: &Guest) -> String {
    // The check of the shutdown has ended the machine itself.
    if guest.instance().is_none() {
        return reason;
    }
    let started = Instant::now();
    loop {
        match guest.alive() {
            Err(ended) if reason.starts_with(&ended) => return reason,
            Err(ended) => return format!("{ended}\n{reason}"),
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
    use std::sync::{Condvar, Mutex};

    /// A guest on which these checks fail. Concurrent checks wait until `at_once` of them are running.
    struct Fake {
        failing: Vec<&'static str>,
        at_once: usize,
        log: Mutex<Vec<String>>,
        running: Mutex<usize>,
        changed: Condvar,
    }

    impl Fake {
        fn result(&self, check: &Check) -> CheckResult {
            let fails = self.failing.contains(&check.name);
            let outcome = if fails { Outcome::Failed("down".into()) } else { Outcome::Passed };
            CheckResult::new(check, outcome, Duration::ZERO)
        }

        fn note(&self, text: String) {
            self.log.lock().unwrap().push(text);
        }
    }

    impl Subject for Fake {
        fn parallel(&self, check: &Check, _: ReadProbe) -> CheckResult {
            let mut running = self.running.lock().unwrap();
            *running += 1;
            self.changed.notify_all();
            let met = self.changed.wait_timeout_while(running, LIMIT, |running| *running < self.at_once);
            assert!(!met.unwrap().1.timed_out(), "{} runs on its own", check.name);
            self.note(format!("look {}", check.name));
            self.result(check)
        }

        fn alone(&mut self, check: &Check, _: Change) -> CheckResult {
            self.note(format!("alone {}", check.name));
            self.result(check)
        }
    }

    const LIMIT: Duration = Duration::from_secs(60);

    /// What was done with these checks, of which `failing` fail, and the names of the results. `at_once` of them run at
    /// the same time.
    fn run_fake(names: &[&str], failing: &[&'static str], at_once: usize) -> (Vec<String>, Vec<String>) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut fake = Fake {
            failing: failing.to_vec(),
            at_once,
            log: Mutex::default(),
            running: Mutex::default(),
            changed: Condvar::new(),
        };
        let checks = select(&names, &[], &["desktop".to_owned()].into()).unwrap();
        let mut picture = |fake: &Fake, trigger| fake.note(format!("picture {trigger}"));
        let results = run_all(&checks, &mut fake, &mut picture, &|_| ());
        (fake.log.into_inner().unwrap(), results.into_iter().map(|result| result.name).collect())
    }

    const SCREENSHOT_TAKEN: &str = "picture after the checks that only look";

    #[test]
    fn checks_that_only_read_run_in_parallel_and_results_keep_the_registrys_order() {
        let names = ["sudo", "tool-node", "tool-git", "tool-vim", "reboot"];
        let (mut done, results) = run_fake(&names, &[], AT_ONCE);
        assert_eq!(results, names);
        assert_eq!(done[4..], [SCREENSHOT_TAKEN, "alone reboot"]);
        done[..4].sort();
        assert_eq!(done[..4], ["look sudo", "look tool-git", "look tool-node", "look tool-vim"]);
    }

    #[test]
    fn exclusive_checks_wait_for_the_others() {
        let names = ["sudo", "desktop-browser", "tool-git", "desktop-calm", "stopped-service-told", "reboot"];
        let (done, results) = run_fake(&names, &[], 2);
        assert_eq!(results, names);
        let alone = ["alone desktop-calm", SCREENSHOT_TAKEN, "alone stopped-service-told", "alone reboot"];
        assert_eq!(done[3..], alone);
    }

    #[test]
    fn screenshots_are_taken_before_disruptive_checks_and_after_failures() {
        let (done, _) = run_fake(&["sudo", "reboot", "clean-shutdown"], &["sudo", "reboot"], 1);
        assert_eq!(
            done,
            [
                "look sudo",
                "picture when sudo failed",
                SCREENSHOT_TAKEN,
                "alone reboot",
                "picture when reboot failed",
                "alone clean-shutdown"
            ]
        );
        assert_eq!(run_fake(&["tool-git"], &[], 1).0, ["look tool-git", SCREENSHOT_TAKEN]);
        assert_eq!(run_fake(&["reboot"], &[], 1).0, [SCREENSHOT_TAKEN, "alone reboot"]);
    }
}
