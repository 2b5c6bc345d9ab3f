//! The results of one run of `smoke`, as data: `--json` prints it, `report.json` stores it, and the table, the `JUnit`
//! document and the page are generated from it. `docs/smoke-report.schema.json` describes its JSON.

mod counts;
mod folder;
mod junit;
mod page;
mod run;
#[cfg(test)]
pub(crate) mod samples;
mod screenshots;

use std::time::{Duration, SystemTime};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

pub use counts::Counts;
pub(crate) use counts::seconds;
pub use folder::{PAGE, WriteError, write, write_pictures};
pub use junit::junit;
pub use page::{Material, page};
pub use run::{
    ArtifactChecks, Boot, BootFailure, BootTimes, CheckResult, Outcome, Run, Screenshot, ScreenshotTrigger,
    SerialLog, StageTime, Subject,
};
pub use screenshots::Screenshots;

/// The version of the JSON's structure.
pub const SCHEMA: u32 = 3;

/// All results of one run of `smoke`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The overall verdict.
    pub verdict: Verdict,
    /// The rows of all runs.
    pub counts: Counts,
    /// When the first artifact was booted: RFC 3339 in UTC, to the second.
    pub started: String,
    /// From there to the end of the last run, seconds.
    pub seconds: f64,
    /// The version of RAVE.
    pub version: String,
    /// The host it ran on.
    pub host: Host,
    /// The results for the artifacts' files on the host; empty if `--only` selected checks of the guest.
    pub made: Vec<ArtifactChecks>,
    /// Every row of the matrix that was booted, in order.
    pub runs: Vec<Run>,
    /// Why some chosen artifacts have no run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// The host that the artifacts ran on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Operating system and processor: `linux x86_64`.
    pub system: String,
    /// Processors that this process may use.
    pub cpus: usize,
    /// QEMU's version.
    pub qemu: String,
    /// `kvm` or `tcg`.
    pub accelerator: String,
    /// The results about the accelerators, in words.
    pub accelerator_reason: String,
}

/// The overall verdict of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every chosen check of every chosen artifact passed, except those of software that is installed in the guest
    /// later.
    Passed,
    /// A guest did not become ready, or a check failed or had an error.
    Failed,
    /// Nothing failed, but not everything was tried.
    Incomplete,
}

impl Report {
    /// The report of these runs; `incomplete` is the reason why there are not more.
    pub fn new(
        host: Host,
        started: SystemTime,
        elapsed: Duration,
        made: Vec<ArtifactChecks>,
        runs: Vec<Run>,
        incomplete: Option<String>,
    ) -> Self {
        let counts = made.iter().map(ArtifactChecks::counts).chain(runs.iter().map(Run::counts));
        let counts = counts.fold(Counts::default(), |total, counts| total + counts);
        let rows = runs.iter().flat_map(|run| &run.rows);
        let not_yet = rows.filter(|row| matches!(row.outcome, Outcome::NotYet(_))).count();
        let verdict = if counts.failed > 0 {
            Verdict::Failed
        } else if counts.not_run > not_yet || counts.passed == 0 || incomplete.is_some() {
            Verdict::Incomplete
        } else {
            Verdict::Passed
        };
        Self {
            schema: SCHEMA,
            verdict,
            counts,
            started: DateTime::<Utc>::from(started).to_rfc3339_opts(SecondsFormat::Secs, true),
            seconds: seconds(elapsed),
            version: env!("CARGO_PKG_VERSION").into(),
            host,
            made,
            runs,
            incomplete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::samples::{failed_boot, mixed, report, run};
    use super::*;

    #[test]
    fn json_round_trips() {
        let report = report(vec![mixed(), failed_boot()]);
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        assert!(text.contains(r#""outcome":{"result":"passed"}"#), "{text}");
        assert!(text.contains(r#""started":"2026-11-24T11:40:26Z","seconds":312.346"#), "{text}");
        assert!(
            text.contains(r#""boot":{"result":"failed","stage":"initrd","cause":"not ready after 300 s""#),
            "{text}"
        );
    }

    #[test]
    fn errors_and_hanging_boots_count_as_failures() {
        assert_eq!(mixed().counts(), Counts { passed: 1, failed: 2, not_run: 1 });
        assert_eq!(failed_boot().counts(), Counts { passed: 0, failed: 1, not_run: 4 });
        let both = report(vec![mixed(), failed_boot()]);
        assert_eq!((both.verdict, both.counts.failed), (Verdict::Failed, 3));
    }

    #[test]
    fn only_a_complete_run_is_passed() {
        let verdict = |runs, incomplete: Option<&str>| {
            let host = report(Vec::new()).host;
            let incomplete = incomplete.map(str::to_owned);
            Report::new(host, SystemTime::UNIX_EPOCH, Duration::ZERO, Vec::new(), runs, incomplete).verdict
        };
        let passed = || run(&[Outcome::Passed]);
        assert_eq!(verdict(vec![passed()], None), Verdict::Passed);
        assert_eq!(verdict(vec![passed()], Some("interrupted")), Verdict::Incomplete);
        assert_eq!(
            verdict(vec![passed(), run(&[Outcome::NotRun("gone".into())])], None),
            Verdict::Incomplete
        );
        let later = || Outcome::NotYet("it is being installed".into());
        assert_eq!(verdict(vec![run(&[Outcome::Passed, later()])], None), Verdict::Passed);
        assert_eq!(verdict(vec![run(&[later()])], None), Verdict::Incomplete);
        assert_eq!(
            verdict(vec![run(&[Outcome::Passed, later(), Outcome::NotRun("gone".into())])], None),
            Verdict::Incomplete
        );
        assert_eq!(verdict(Vec::new(), Some("QEMU did not start")), Verdict::Incomplete);
        assert_eq!(verdict(vec![run(&[Outcome::Error("no ssh".into())])], Some("more")), Verdict::Failed);
    }
}
