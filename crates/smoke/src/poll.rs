//! Retries until the answer is correct: with growing pauses, never a fixed sleep.

use std::time::{Duration, Instant};

use rave_process::interrupt;

/// The first pause between two attempts; each following pause is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The most bytes of an answer that a report keeps.
const ANSWER_LIMIT: usize = 200;

/// Why a check did not pass.
#[derive(Debug)]
pub(crate) enum CheckError {
    /// The guest is not as it should be.
    Failed(String),
    /// A program in the guest crashed. This is never retried: a second attempt that passes would hide the crash.
    Crashed(String),
    /// The check itself could not be performed.
    CouldNotRun(String),
    /// The subject of the check is not in the guest yet, and is not expected to be.
    NotYet(String),
    /// Ctrl-C or SIGTERM.
    Interrupted,
}

impl From<rave_vm::Error> for CheckError {
    fn from(error: rave_vm::Error) -> Self {
        match error {
            rave_vm::Error::Interrupted(_) => Self::Interrupted,
            // The guest was reached with a key that it must accept, so a failing SSH is the guest's failure, not ours.
            error @ (rave_vm::Error::Ssh { .. }
            | rave_vm::Error::TooSlow { .. }
            | rave_vm::Error::Boot(_)) => Self::Failed(error.to_string()),
            error => Self::CouldNotRun(error.to_string()),
        }
    }
}

impl From<rave_process::Error> for CheckError {
    fn from(error: rave_process::Error) -> Self {
        match error {
            rave_process::Error::Interrupted { .. } => Self::Interrupted,
            error => Self::CouldNotRun(error.to_string()),
        }
    }
}

/// What a check has observed so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Observation {
    /// How often it asked.
    pub(crate) attempts: u32,
    /// The last answer, shortened.
    pub(crate) answer: String,
}

impl Observation {
    /// Records one answer: its first line that is not empty.
    pub(crate) fn note(&mut self, answer: impl AsRef<str>) {
        self.attempts += 1;
        let line = answer.as_ref().lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let mut end = line.len().min(ANSWER_LIMIT);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        let cut = if end < line.len() { "…" } else { "" };
        self.answer = format!("{}{cut}", &line[..end]);
    }
}

/// Retries until the answer is correct or the time is over; the last wrong answer is the reason for the failure. `ask`
/// records its observations. If `alive` fails, nothing can answer any more: this ends the wait, with its reason.
pub(crate) fn until<T>(
    limit: Duration,
    seen: &mut Observation,
    mut alive: impl FnMut() -> Result<(), String>,
    mut ask: impl FnMut(&mut Observation) -> Result<T, CheckError>,
) -> Result<T, CheckError> {
    let started = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        let answer = ask(seen);
        if let (Err(CheckError::Failed(reason)), Err(ended)) = (&answer, alive()) {
            return Err(CheckError::Failed(format!("{ended}\n{reason}")));
        }
        match answer {
            Err(CheckError::Failed(reason)) if started.elapsed() + pause >= limit => {
                let seconds = limit.as_secs_f64();
                return Err(CheckError::Failed(format!(
                    "{reason} (asked {} times in {seconds:.0} s)",
                    seen.attempts
                )));
            }
            Err(CheckError::Failed(_)) => interrupt::pause(pause).map_err(|_| CheckError::Interrupted)?,
            other => return other,
        }
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// Fails with a reason unless the condition holds.
pub(crate) fn ensure(holds: bool, reason: impl FnOnce() -> String) -> Result<(), CheckError> {
    if holds { Ok(()) } else { Err(CheckError::Failed(reason())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polling_repeats_until_the_answer_is_right() {
        let mut seen = Observation::default();
        let value = until(
            Duration::from_secs(5),
            &mut seen,
            || Ok(()),
            |seen| {
                seen.note(format!("answer {}", seen.attempts));
                if seen.attempts < 3 { Err(CheckError::Failed("not yet".into())) } else { Ok(seen.attempts) }
            },
        );
        assert_eq!(value.unwrap(), 3);
        assert_eq!(seen, Observation { attempts: 3, answer: "answer 2".into() });
    }

    #[test]
    fn the_last_reason_is_kept_at_the_timeout_and_other_errors_end_polling() {
        let mut seen = Observation::default();
        let fail = |seen: &mut Observation| -> Result<(), CheckError> {
            seen.note("no");
            Err(CheckError::Failed("still down".into()))
        };
        let wait = until(Duration::from_millis(250), &mut seen, || Ok(()), fail);
        let Err(CheckError::Failed(reason)) = wait else { panic!() };
        assert!(reason.starts_with("still down (asked "), "{reason}");
        let mut asked = 0;
        let broken = until(
            Duration::from_secs(5),
            &mut seen,
            || Ok(()),
            |_| -> Result<(), CheckError> {
                asked += 1;
                Err(CheckError::CouldNotRun("no ssh".into()))
            },
        );
        assert!(matches!(broken, Err(CheckError::CouldNotRun(_))));
        assert_eq!(asked, 1);
    }

    #[test]
    fn polling_stops_after_a_crash() {
        let mut asked = 0;
        let crash = until(
            Duration::from_secs(60),
            &mut Observation::default(),
            || Ok(()),
            |_| -> Result<(), CheckError> {
                asked += 1;
                Err(CheckError::Crashed("`node --version` failed (killed by SIGILL)".into()))
            },
        );
        assert!(matches!(crash, Err(CheckError::Crashed(_))), "{crash:?}");
        assert_eq!(asked, 1);
    }

    #[test]
    fn polling_stops_when_the_machine_has_exited() {
        let mut answers_left = 2;
        let alive = || {
            answers_left -= 1;
            if answers_left > 0 { Ok(()) } else { Err("QEMU ended: killed by SIGKILL".to_owned()) }
        };
        let started = Instant::now();
        let wait = until(Duration::from_secs(60), &mut Observation::default(), alive, |_| -> Result<(), _> {
            Err(CheckError::Failed("connection refused".into()))
        });
        let Err(CheckError::Failed(reason)) = wait else { panic!("{wait:?}") };
        assert_eq!(reason, "QEMU ended: killed by SIGKILL\nconnection refused");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn answers_are_one_short_line() {
        let mut seen = Observation::default();
        seen.note(format!("\n  {}\nsecond", "ä".repeat(150)));
        assert_eq!(seen.answer, format!("{}…", "ä".repeat(100)));
    }
}
