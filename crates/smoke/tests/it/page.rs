//! The page as text.

use camino::Utf8Path;
use rave_smoke::report::{Material, Report, page};
use serde_json::Value;

use crate::samples::{HOSTILE, boot_failed, failed, passed, report};

fn without_files(report: &Report) -> String {
    page(report, &Material { manifest: "", folder: Utf8Path::new("/nonexistent") })
}

/// Puts the hostile text into every string that is not a keyword of the format.
fn poison(value: &mut Value, name: &str) {
    match value {
        Value::String(text) if !["result", "when", "verdict"].contains(&name) => HOSTILE.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, name)),
        Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| poison(value, name)),
        _ => {}
    }
}

/// A report that is hostile wherever it can be.
pub(crate) fn hostile() -> Report {
    let whole = report(vec![failed("qemu"), boot_failed("raw")], Some("interrupted"));
    let mut document = serde_json::to_value(&whole).unwrap();
    poison(&mut document, "");
    serde_json::from_value(document).unwrap()
}

#[test]
fn every_field_is_escaped() {
    let html = without_files(&hostile());
    for markup in ["<script", "<img", "onerror=\"", "</pre><s", "\u{1b}", "\0", "\u{202e}"] {
        assert!(!html.contains(markup), "{markup:?} is in the page");
    }
    assert!(html.contains("&lt;/details&gt;&lt;/pre&gt;&lt;script&gt;"));
}

#[test]
fn the_page_is_self_contained() {
    let html = without_files(&report(vec![passed("qemu"), failed("raw")], None));
    for outside in ["src=\"http", "src=\"/", "@import", "url(", "<script", "<link rel=\"stylesheet"] {
        assert!(!html.contains(outside), "{outside:?} is in the page");
    }
    assert!(html.contains("default-src 'none'"));
}

#[test]
fn the_headline_has_the_outcome() {
    let headline = |report: &Report| {
        let html = without_files(report);
        let (_, rest) = html.split_once("</span>").unwrap();
        rest.split_once("</h1>").unwrap().0.to_owned()
    };
    // One check is about the files.
    let checks = rave_smoke::registry::CHECKS.len() + 1;
    assert_eq!(headline(&report(vec![passed("qemu")], None)), format!("All {checks} checks passed"));
    assert_eq!(headline(&report(vec![failed("qemu")], None)), format!("2 of {checks} checks failed"));
    assert_eq!(headline(&report(vec![boot_failed("qemu")], None)), "The guest did not become ready");
    let two = report(vec![passed("qemu"), boot_failed("raw")], None);
    assert_eq!(headline(&two), "1 of 2 guests did not become ready");
    let both = report(vec![failed("qemu"), boot_failed("raw")], None);
    assert_eq!(headline(&both), "2 checks failed, and 1 of 2 guests did not become ready");
    assert_eq!(headline(&report(Vec::new(), Some("QEMU did not start"))), "Nothing was checked");
    let half = report(vec![passed("qemu")], Some("interrupted"));
    assert_eq!(headline(&half), format!("{checks} passed, and not everything was checked"));
}

#[test]
fn failures_precede_successes() {
    let html = without_files(&report(vec![failed("qemu")], None));
    let place = |name: &str| html.find(&format!("<code>{name}</code>")).unwrap();
    assert!(place("gateway-health") < place("ssh-password"));
    assert!(place("ssh-password") < place("reboot"));
    assert!(place("reboot") < place("kanban-answers"));
}

#[test]
fn missing_screenshots_and_logs_are_reported_and_the_log_tail_is_kept() {
    let html = without_files(&report(vec![passed("qemu")], None));
    assert!(html.contains("picture simple-qemu-screen.png: No such file"), "{html}");
    assert!(html.contains("rave login:"));
}

#[test]
fn no_element_has_a_duplicate_attribute() {
    // A browser uses the first one and reports no error.
    let html = without_files(&report(vec![passed("qemu"), boot_failed("raw")], Some("interrupted")));
    for element in html.split('<').filter_map(|rest| rest.split_once('>')).map(|(element, _)| element) {
        for attribute in ["class", "id", "style"] {
            let times = element.matches(&format!(" {attribute}=\"")).count();
            assert!(times <= 1, "<{element}>");
        }
    }
}

#[test]
fn common_reasons_are_shown_once_and_the_rows_are_folded() {
    let checks = rave_smoke::registry::CHECKS.len();
    let html = without_files(&report(vec![boot_failed("qemu")], None));
    assert!(
        html.contains(&format!("<summary>{checks} checks not run: the guest did not become ready</summary>"))
    );
    assert!(!without_files(&report(vec![failed("qemu")], None)).contains("checks not run"));
}
