//! What came of a suite, as data: for the table, JSON and `JUnit`.

use std::fmt;
use std::time::Duration;

use rave_vm::boot::{self, Timeline};
use serde::{Deserialize, Serialize};

pub use crate::junit::junit;

/// The version of the JSON's shape.
pub const SCHEMA: u32 = 1;

/// One artifact's suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// What was booted.
    pub subject: Subject,
    /// Where the boot's time went; absent when the guest did not become ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<BootTimes>,
    /// Why the guest did not become ready, with the stage that hung.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_failure: Option<BootFailure>,
    /// Every chosen check, in order.
    pub rows: Vec<Row>,
    /// The guest's serial log, kept where a check did not pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<SerialLog>,
}

/// A guest's serial log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialLog {
    /// Where all of it is.
    pub file: String,
    /// Its last lines.
    pub tail: Vec<String>,
}

/// Why the guest did not become ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootFailure {
    /// The stage that it did not get past: `firmware`, `kernel`, `sshd`.
    pub stage: String,
    /// Why the wait ended.
    pub cause: String,
    /// What speaks for the stage.
    pub evidence: String,
    /// What to do next.
    pub remedy: String,
}

impl From<&boot::BootFailure> for BootFailure {
    fn from(failure: &boot::BootFailure) -> Self {
        Self {
            stage: failure.stage.to_string(),
            cause: failure.cause.to_string(),
            evidence: failure.evidence.clone(),
            remedy: failure.remedy(),
        }
    }
}

impl fmt::Display for BootFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, cause, evidence, remedy } = self;
        write!(f, "the guest did not get past {stage}: {cause}\n  {evidence}\n  {remedy}")
    }
}

/// What was booted, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The base, the profile and the format.
    pub base: String,
    /// See above.
    pub profile: String,
    /// See above.
    pub format: String,
    /// The artifact's file name.
    pub artifact: String,
    /// Its SHA-256.
    pub sha256: String,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// `bios` or `uefi`.
    pub firmware: String,
}

/// The phases of the boot in seconds; see [`Timeline`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct BootTimes {
    /// Until the boot loader.
    pub firmware: f64,
    /// Until the kernel.
    pub loader: f64,
    /// Until the root file system's init.
    pub kernel_initrd: f64,
    /// Until readiness.
    pub userspace: f64,
    /// The whole.
    pub ready: f64,
}

impl From<&Timeline> for BootTimes {
    fn from(timeline: &Timeline) -> Self {
        Self {
            firmware: timeline.firmware.as_secs_f64(),
            loader: timeline.loader.as_secs_f64(),
            kernel_initrd: timeline.kernel_initrd.as_secs_f64(),
            userspace: timeline.userspace.as_secs_f64(),
            ready: timeline.ready.as_secs_f64(),
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The check's name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// What holds when it passes.
    pub title: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Seconds.
    pub seconds: f64,
    /// How often it asked.
    pub attempts: u32,
    /// The last answer that it saw, shortened.
    pub last_answer: String,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result", content = "reason")]
pub enum Outcome {
    /// It holds.
    Passed,
    /// It does not.
    Failed(String),
    /// It could not be found out.
    Error(String),
    /// It was not tried, because of what came before.
    NotRun(String),
}

impl Outcome {
    /// One word for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed(_) => "FAILED",
            Self::Error(_) => "ERROR",
            Self::NotRun(_) => "not run",
        }
    }

    /// Whether it does not hold, or could not be found out.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Error(_))
    }

    /// Why, unless it passed.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Failed(reason) | Self::Error(reason) | Self::NotRun(reason) => Some(reason),
        }
    }
}

/// How many of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Passed.
    pub passed: usize,
    /// Failed, or could not be found out.
    pub failed: usize,
    /// Not tried.
    pub not_run: usize,
}

impl Report {
    /// Counts the rows; a guest that did not become ready counts as one failure.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { failed: usize::from(self.boot_failure.is_some()), ..Counts::default() };
        for row in &self.rows {
            match row.outcome {
                Outcome::Passed => counts.passed += 1,
                Outcome::Failed(_) | Outcome::Error(_) => counts.failed += 1,
                Outcome::NotRun(_) => counts.not_run += 1,
            }
        }
        counts
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            not_run: self.not_run + other.not_run,
        }
    }
}

impl Row {
    pub(crate) fn new(check: &crate::registry::Check, outcome: Outcome, elapsed: Duration) -> Self {
        Self {
            name: check.name.into(),
            group: check.group.name().into(),
            title: check.title.into(),
            outcome,
            seconds: elapsed.as_secs_f64(),
            attempts: 0,
            last_answer: String::new(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::registry::CHECKS;

    pub(crate) fn report() -> Report {
        let outcomes = [
            Outcome::Passed,
            Outcome::Failed("<down> & \"out\"\u{1b}[0m".into()),
            Outcome::Error("no ssh".into()),
            Outcome::NotRun("the guest is gone".into()),
        ];
        let rows = outcomes
            .into_iter()
            .zip(CHECKS)
            .map(|(outcome, check)| Row::new(check, outcome, Duration::from_millis(1500)));
        let word = |text: &str| text.to_owned();
        Report {
            schema: SCHEMA,
            subject: Subject {
                base: word("debian"),
                profile: word("headless"),
                format: word("qemu"),
                artifact: word("a.qcow2"),
                sha256: word("00"),
                accelerator: word("tcg"),
                firmware: word("bios"),
            },
            boot: Some(BootTimes {
                firmware: 0.5,
                loader: 1.0,
                kernel_initrd: 2.0,
                userspace: 3.0,
                ready: 6.5,
            }),
            boot_failure: None,
            rows: rows.collect(),
            serial: Some(SerialLog { file: word("serial.log"), tail: vec![word("rave login:")] }),
        }
    }

    pub(crate) fn boot_failure() -> BootFailure {
        BootFailure::from(&boot::BootFailure {
            stage: boot::Stage::Initrd,
            evidence: "the kernel's start of its first program was seen".into(),
            cause: boot::Cause::Timeout { after: Duration::from_secs(300) },
            serial_tail: Vec::new(),
        })
    }

    #[test]
    fn json_comes_back_the_same() {
        let text = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report());
        assert!(text.contains(r#""outcome":{"result":"passed"}"#), "{text}");
    }

    #[test]
    fn an_error_counts_as_a_failure_and_so_does_a_boot_that_hangs() {
        assert_eq!(report().counts(), Counts { passed: 1, failed: 2, not_run: 1 });
        let hung = Report { boot_failure: Some(boot_failure()), ..report() };
        assert_eq!(hung.counts().failed, 3);
        let text = serde_json::to_string(&hung).unwrap();
        assert!(text.contains(r#""stage":"initrd","cause":"not ready after 300 s""#), "{text}");
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), hung);
    }
}
