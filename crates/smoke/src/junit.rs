//! The report as `JUnit` XML, which CI systems read.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report as XmlReport, TestCase, TestCaseStatus, TestSuite, XmlString};

use crate::report::{Outcome, Report, Row};

/// One document for all artifacts; a suite each.
pub fn junit(reports: &[Report]) -> String {
    let mut document = XmlReport::new("rave smoke");
    document.add_test_suites(reports.iter().map(suite));
    document.to_string().unwrap_or_else(|error| unreachable!("a String takes every byte: {error}"))
}

fn suite(report: &Report) -> TestSuite {
    let subject = &report.subject;
    let mut suite = TestSuite::new(format!("{}-{}-{}", subject.base, subject.profile, subject.format));
    if let Some(reason) = &report.boot_failure {
        suite.add_test_case(case("boot", "boot", failure(NonSuccessKind::Failure, &reason.to_string())));
    }
    suite.add_test_cases(report.rows.iter().map(row));
    if let Some(serial) = &report.serial {
        suite.set_system_out(format!("the end of the serial log:\n{}", serial.tail.join("\n")));
    }
    suite
}

fn row(row: &Row) -> TestCase {
    let status = match &row.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed(reason) => failure(NonSuccessKind::Failure, reason),
        Outcome::Error(reason) => failure(NonSuccessKind::Error, reason),
        Outcome::NotRun(reason) => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(reason.as_str());
            status
        }
    };
    let mut case = case(&row.group, &row.name, status);
    case.set_time(Duration::try_from_secs_f64(row.seconds).unwrap_or_default());
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
    // XmlString leaves out what XML 1.0 cannot hold, such as a terminal's escape sequences.
    status.set_message(XmlString::new(reason));
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{boot_failure, report};

    #[test]
    fn the_document_is_read_back_with_each_outcome() {
        let text = junit(&[report()]);
        let back = XmlReport::deserialize_from_str(&text).unwrap();
        assert_eq!((back.tests, back.failures, back.errors), (4, 1, 1));
        let cases = &back.test_suites[0].test_cases;
        assert_eq!(cases[0].name.as_str(), "kanban-answers");
        assert!(text.contains("&lt;down&gt; &amp; &quot;out&quot;"), "{text}");
        assert!(!text.contains('\u{1b}'));
        assert!(text.contains("rave login:"), "{text}");
    }

    #[test]
    fn a_guest_that_was_not_ready_is_a_failed_case_of_its_own() {
        let hung = Report { boot_failure: Some(boot_failure()), ..report() };
        let back = XmlReport::deserialize_from_str(&junit(&[hung])).unwrap();
        assert_eq!((back.tests, back.failures), (5, 2));
        assert_eq!(back.test_suites[0].test_cases[0].name.as_str(), "boot");
    }
}
