//! The report as `JUnit` XML, for CI systems.

use std::time::Duration;

use chrono::DateTime;
use quick_junit::{NonSuccessKind, Report as XmlReport, TestCase, TestCaseStatus, TestSuite, XmlString};

use crate::report::{ArtifactChecks, CheckResult, Outcome, Report, Run};

/// One document with a suite for each artifact, and another one if some are missing.
pub fn junit(report: &Report) -> String {
    let mut document = XmlReport::new("rave smoke");
    document.set_time(duration(report.seconds));
    if let Ok(started) = DateTime::parse_from_rfc3339(&report.started) {
        document.set_timestamp(started);
    }
    document.add_test_suites(report.made.iter().map(artifact_suite));
    document.add_test_suites(report.runs.iter().map(suite));
    if let Some(reason) = &report.incomplete {
        let mut missing = TestSuite::new("smoke");
        missing.add_test_case(case("smoke", "every-artifact", failure(NonSuccessKind::Error, reason)));
        document.add_test_suite(missing);
    }
    document.to_string().unwrap_or_else(|error| unreachable!("writing to a String cannot fail: {error}"))
}

fn artifact_suite(made: &ArtifactChecks) -> TestSuite {
    let mut suite = TestSuite::new(format!("made-{}", made.format));
    suite.add_test_cases(made.rows.iter().map(row));
    if !made.not_here.is_empty() {
        suite.set_system_out(format!("not run on this host:\n{}", made.not_here.join("\n")));
    }
    suite
}

fn suite(run: &Run) -> TestSuite {
    let subject = &run.subject;
    let mut suite = TestSuite::new(format!("{}-{}-{}", subject.base, subject.profile, subject.row));
    suite.set_time(duration(run.seconds));
    if let Some(reason) = run.boot_failure() {
        suite.add_test_case(case("boot", "boot", failure(NonSuccessKind::Failure, &reason.to_string())));
    }
    suite.add_test_cases(run.rows.iter().map(row));
    if let Some(serial) = &run.serial {
        suite.set_system_out(format!("the last lines of the serial log:\n{}", serial.tail.join("\n")));
    }
    suite
}

fn row(row: &CheckResult) -> TestCase {
    let status = match &row.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed(reason) => failure(NonSuccessKind::Failure, reason),
        Outcome::Error(reason) => failure(NonSuccessKind::Error, reason),
        Outcome::NotRun(reason) | Outcome::NotYet(reason) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason.as_str());
            status
        }
    };
    let mut case = case(&row.group, &row.name, status);
    case.set_time(duration(row.seconds));
    case.set_system_out(format!(
        "{}\nasked {} times; last answer: {}",
        row.title, row.attempts, row.last_answer
    ));
    case
}

fn case(group: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(group);
    case
}

fn failure(kind: NonSuccessKind, reason: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    // XmlString removes what XML 1.0 cannot represent, such as terminal escape sequences.
    status.set_message(XmlString::new(reason));
    status
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::{failed_boot, mixed, report};

    #[test]
    fn the_document_round_trips_with_each_outcome() {
        let text = junit(&report(vec![mixed()]));
        let back = XmlReport::deserialize_from_str(&text).unwrap();
        assert_eq!((back.tests, back.failures, back.errors), (4, 1, 1));
        let cases = &back.test_suites[0].test_cases;
        assert_eq!(cases[0].name.as_str(), "kanban-answers");
        assert!(text.contains("&lt;down&gt; &amp; &quot;out&quot;"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(text.contains("rave login:"), "{text}");
        assert!(text.contains("2026-11-24T11:40:26"), "{text}");
    }

    #[test]
    fn a_guest_that_was_not_ready_is_a_failed_test_case() {
        let back = XmlReport::deserialize_from_str(&junit(&report(vec![failed_boot()]))).unwrap();
        assert_eq!((back.tests, back.failures), (5, 1));
        assert_eq!(back.test_suites[0].test_cases[0].name.as_str(), "boot");
    }

    #[test]
    fn a_missing_artifact_is_an_error() {
        let incomplete = Report { incomplete: Some("QEMU did not start".into()), ..report(Vec::new()) };
        let back = XmlReport::deserialize_from_str(&junit(&incomplete)).unwrap();
        assert_eq!((back.tests, back.errors), (1, 1));
    }
}
