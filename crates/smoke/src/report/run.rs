//! The results for one artifact.

use std::fmt;
use std::time::Duration;

use rave_vm::boot::{self, Timeline};
use serde::{Deserialize, Serialize};

use super::counts::{Counts, seconds};

/// One artifact's boot and checks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What was booted.
    pub subject: Subject,
    /// From QEMU's start to its end, seconds.
    pub seconds: f64,
    /// The result of the boot.
    pub boot: Boot,
    /// Every chosen check, in order.
    pub rows: Vec<CheckResult>,
    /// Screenshots of the guest, in the order in which they were taken.
    pub screenshots: Vec<Screenshot>,
    /// What this report lacks, and why.
    pub warnings: Vec<String>,
    /// The guest's serial log: kept if a check did not pass, or if a report folder was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<SerialLog>,
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
    /// The row of the matrix, [`crate::matrix::ROWS`].
    pub row: String,
    /// How it was attached to the machine: `disk`, `usb stick`, `cd`, `installed`.
    pub medium: String,
    /// The artifact's file name.
    pub artifact: String,
    /// Its SHA-256.
    pub sha256: String,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// `bios` or `uefi`.
    pub firmware: String,
    /// The disk's controller: `virtio-blk`, `ahci`, `pvscsi`.
    pub bus: String,
    /// The network card: `virtio-net`, `e1000`, `vmxnet3`.
    pub nic: String,
    /// The machine's memory in MiB.
    pub memory_mib: u64,
    /// The machine's processors.
    pub cpus: u32,
}

/// The result of the boot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum Boot {
    /// The guest became ready.
    Ready(BootTimes),
    /// It did not.
    Failed(BootFailure),
}

/// The phases of a boot in seconds; see [`Timeline`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BootTimes {
    /// Until the boot loader.
    pub firmware: f64,
    /// Until the kernel.
    pub loader: f64,
    /// Until the root file system's init.
    pub kernel_initrd: f64,
    /// Until readiness.
    pub userspace: f64,
    /// The total.
    pub ready: f64,
    /// When the guest reported each of its stages.
    pub stages: Vec<StageTime>,
}

/// A stage of a boot, and when it was reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageTime {
    /// Its name: `firmware`, `kernel`, `sshd`.
    pub stage: String,
    /// Seconds since the boot's beginning.
    pub at: f64,
}

/// Why the guest did not become ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BootFailure {
    /// The stage that it did not get past: `firmware`, `kernel`, `sshd`.
    pub stage: String,
    /// Why the wait ended.
    pub cause: String,
    /// The evidence for the stage.
    pub evidence: String,
    /// What to do next.
    pub remedy: String,
    /// The stages that it reached, each with its beginning.
    pub reached: Vec<StageTime>,
    /// How long we waited for it, seconds.
    pub waited: f64,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check's name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// What is true if it passes.
    pub title: String,
    /// Its outcome.
    pub outcome: Outcome,
    /// Its duration, seconds.
    pub seconds: f64,
    /// How often it asked.
    pub attempts: u32,
    /// The last answer that it got, shortened.
    pub last_answer: String,
}

/// The outcome of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result", content = "reason")]
pub enum Outcome {
    /// It passed.
    Passed,
    /// It failed.
    Failed(String),
    /// It could not be performed.
    Error(String),
    /// It was not tried, because of an earlier problem.
    NotRun(String),
    /// It was not tried, because its subject is installed in the guest later: not a fault of the guest.
    NotYet(String),
}

/// A screenshot of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Screenshot {
    /// Its PNG's name, beside `report.json` or in the folder of `--screenshot`.
    pub file: String,
    /// When it was taken.
    pub taken: ScreenshotTrigger,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
}

/// When a screenshot was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "when", content = "check")]
pub enum ScreenshotTrigger {
    /// After the checks that only look, before those that disturb.
    Looked,
    /// When this check failed.
    CheckFailed(String),
    /// When the wait for the guest failed.
    BootFailed,
}

/// A guest's serial log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialLog {
    /// The complete log: a name beside `report.json`, or a path if no report folder was requested.
    pub file: String,
    /// Its last lines.
    pub tail: Vec<String>,
}

/// The results of the host's programs for an artifact's files, without booting them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactChecks {
    /// The artifact's format.
    pub format: String,
    /// The individual checks.
    pub rows: Vec<CheckResult>,
    /// Programs that this host lacks, and what they would have checked.
    pub not_here: Vec<String>,
}

impl ArtifactChecks {
    /// Counts the rows.
    pub fn counts(&self) -> Counts {
        count(&self.rows)
    }
}

fn count(rows: &[CheckResult]) -> Counts {
    let mut counts = Counts::default();
    for row in rows {
        match row.outcome {
            Outcome::Passed => counts.passed += 1,
            Outcome::Failed(_) | Outcome::Error(_) => counts.failed += 1,
            Outcome::NotRun(_) | Outcome::NotYet(_) => counts.not_run += 1,
        }
    }
    counts
}

impl Run {
    /// Counts the rows; a guest that did not become ready counts as one failure.
    pub fn counts(&self) -> Counts {
        let dead = Counts { failed: usize::from(self.boot_failure().is_some()), ..Counts::default() };
        dead + count(&self.rows)
    }

    /// Why the guest did not become ready, if it did not.
    pub fn boot_failure(&self) -> Option<&BootFailure> {
        match &self.boot {
            Boot::Ready(_) => None,
            Boot::Failed(failure) => Some(failure),
        }
    }

    /// The files of this run beside `report.json`.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        let pictures = self.screenshots.iter().map(|screenshot| screenshot.file.as_str());
        // A log elsewhere has a path instead of a name.
        pictures.chain(self.serial.iter().map(|serial| serial.file.as_str())).filter(|file| is_name(file))
    }
}

/// Whether it names a file in the same folder.
pub(super) fn is_name(file: &str) -> bool {
    !file.is_empty() && !file.starts_with('.') && !file.contains('/')
}

impl Subject {
    /// The machine in one line: `cd, uefi, sata-cd, virtio-net`.
    pub fn hardware(&self) -> String {
        format!("{}, {}, {}, {}", self.medium, self.firmware, self.bus, self.nic)
    }
}

impl From<&Timeline> for BootTimes {
    fn from(timeline: &Timeline) -> Self {
        let stage = |(stage, at): &(rave_guest::protocol::GuestStage, Duration)| StageTime {
            stage: stage.to_string(),
            at: seconds(*at),
        };
        Self {
            firmware: seconds(timeline.firmware),
            loader: seconds(timeline.loader),
            kernel_initrd: seconds(timeline.kernel_initrd),
            userspace: seconds(timeline.userspace),
            ready: seconds(timeline.ready),
            stages: timeline.stages.iter().map(stage).collect(),
        }
    }
}

impl BootFailure {
    /// Of a boot that reached these stages, and was waited for this long.
    pub fn new(
        failure: &boot::BootFailure,
        reached: &[(boot::BootStage, Duration)],
        waited: Duration,
    ) -> Self {
        let stage = |(stage, at): &(boot::BootStage, Duration)| StageTime {
            stage: stage.to_string(),
            at: seconds(*at),
        };
        Self {
            stage: failure.stage.to_string(),
            cause: failure.cause.to_string(),
            evidence: failure.evidence.clone(),
            remedy: failure.remedy(),
            reached: reached.iter().map(stage).collect(),
            waited: seconds(waited),
        }
    }
}

impl fmt::Display for BootFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stage, cause, evidence, remedy, .. } = self;
        write!(f, "the guest did not get past {stage}: {cause}\n  {evidence}\n  {remedy}")
    }
}

impl CheckResult {
    pub(crate) fn new(check: &crate::registry::Check, outcome: Outcome, elapsed: Duration) -> Self {
        Self {
            name: check.name.into(),
            group: check.group.name().into(),
            title: check.title.into(),
            outcome,
            seconds: seconds(elapsed),
            attempts: 0,
            last_answer: String::new(),
        }
    }
}

impl Outcome {
    /// One word for tables.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed(_) => "FAILED",
            Self::Error(_) => "ERROR",
            Self::NotRun(_) | Self::NotYet(_) => "not run",
        }
    }

    /// Whether it failed or could not be performed.
    pub fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_) | Self::Error(_))
    }

    /// Why, unless it passed.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Passed => None,
            Self::Failed(reason) | Self::Error(reason) | Self::NotRun(reason) | Self::NotYet(reason) => {
                Some(reason)
            }
        }
    }
}

impl ScreenshotTrigger {
    /// The part of a file name that identifies it.
    pub(super) fn slug(&self) -> String {
        match self {
            Self::Looked => "screen".into(),
            Self::CheckFailed(check) => format!("failed-{check}"),
            Self::BootFailed => "boot-failed".into(),
        }
    }
}

impl fmt::Display for ScreenshotTrigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Looked => f.write_str("after the checks that only look"),
            Self::CheckFailed(check) => write!(f, "when {check} failed"),
            Self::BootFailed => f.write_str("when the boot was given up"),
        }
    }
}
