//! What came of one artifact.

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
    /// What came of the boot.
    pub boot: Boot,
    /// Every chosen check, in order.
    pub rows: Vec<CheckResult>,
    /// Pictures of the guest's screen, in the order in which they were taken.
    pub screenshots: Vec<Screenshot>,
    /// What this report lacks, and why.
    pub warnings: Vec<String>,
    /// The guest's serial log: kept where a check did not pass, or where a report folder was asked for.
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
    /// As what it was in the machine: `disk`, `usb stick`, `cd`, `installed`.
    pub medium: String,
    /// The artifact's file name.
    pub artifact: String,
    /// Its SHA-256.
    pub sha256: String,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// `bios` or `uefi`.
    pub firmware: String,
    /// What the disk hangs on: `virtio-blk`, `ahci`, `pvscsi`.
    pub bus: String,
    /// The network card: `virtio-net`, `e1000`, `vmxnet3`.
    pub nic: String,
    /// The machine's memory in MiB.
    pub memory_mib: u64,
    /// The machine's processors.
    pub cpus: u32,
}

/// What came of the boot.
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
    /// The whole.
    pub ready: f64,
    /// When the guest announced each of its stages.
    pub stages: Vec<StageTime>,
}

/// A stage of a boot, and when it was come to.
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
    /// What speaks for the stage.
    pub evidence: String,
    /// What to do next.
    pub remedy: String,
    /// The stages that it came to, each with its beginning.
    pub reached: Vec<StageTime>,
    /// How long it was waited for, seconds.
    pub waited: f64,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
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
    /// It was not tried, because what it looks at comes into the guest later: no fault of the guest.
    NotYet(String),
}

/// A picture of the guest's screen.
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

/// When a picture was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "when", content = "check")]
pub enum ScreenshotTrigger {
    /// After the checks that only look, before those that disturb.
    Looked,
    /// When this check failed.
    CheckFailed(String),
    /// When the wait for the guest ended in vain.
    BootFailed,
}

/// A guest's serial log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SerialLog {
    /// Where all of it is: a name beside `report.json`, or a path where no report folder was asked for.
    pub file: String,
    /// Its last lines.
    pub tail: Vec<String>,
}

/// What programs of the host say of an artifact's files, without booting them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArtifactChecks {
    /// The artifact's format.
    pub format: String,
    /// What was looked at.
    pub rows: Vec<CheckResult>,
    /// Programs that this host does not have, and what they would have looked at.
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

    /// Why the guest did not become ready, where that is so.
    pub fn boot_failure(&self) -> Option<&BootFailure> {
        match &self.boot {
            Boot::Ready(_) => None,
            Boot::Failed(failure) => Some(failure),
        }
    }

    /// The files of this run that lie beside `report.json`.
    pub(super) fn files(&self) -> impl Iterator<Item = &str> {
        let pictures = self.screenshots.iter().map(|screenshot| screenshot.file.as_str());
        // A log that is elsewhere has a path, not a name.
        pictures.chain(self.serial.iter().map(|serial| serial.file.as_str())).filter(|file| is_name(file))
    }
}

/// Whether it names a file of the very folder.
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
    /// Of a boot that came to these stages, and was waited for so long.
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
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Failed(_) => "FAILED",
            Self::Error(_) => "ERROR",
            Self::NotRun(_) | Self::NotYet(_) => "not run",
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
            Self::Failed(reason) | Self::Error(reason) | Self::NotRun(reason) | Self::NotYet(reason) => {
                Some(reason)
            }
        }
    }
}

impl ScreenshotTrigger {
    /// The part of a file's name that tells it.
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
