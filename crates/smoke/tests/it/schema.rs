//! Every kind of report conforms to `docs/smoke-report.schema.json`, which accepts nothing else.

use jsonschema::Validator;
use rave_smoke::report::Report;
use serde_json::{Value, json};

use crate::samples::{boot_failed, failed, passed, report};

/// Fields that not every report has.
const OPTIONAL: [&str; 2] = ["incomplete", "serial"];

fn validator() -> Validator {
    let schema = include_str!("../../../../docs/smoke-report.schema.json");
    jsonschema::draft202012::new(&serde_json::from_str(schema).unwrap()).unwrap()
}

/// One report of each kind.
fn kinds() -> Vec<(&'static str, Report)> {
    let mut bare = passed("qemu");
    (bare.serial, bare.screenshots) = (None, Vec::new());
    vec![
        ("passed", report(vec![passed("qemu")], None)),
        ("without pictures and log", report(vec![bare], None)),
        ("failed", report(vec![passed("qemu"), failed("raw")], None)),
        ("boot failed", report(vec![boot_failed("qemu")], None)),
        ("broken off", report(vec![passed("qemu")], Some("interrupted"))),
        ("not begun", report(Vec::new(), Some("QEMU did not start"))),
    ]
}

#[track_caller]
fn refuses(validator: &Validator, document: &Value, what: &str) {
    assert!(!validator.is_valid(document), "accepted: {what}");
}

#[test]
fn every_kind_of_report_matches_the_schema() {
    let validator = validator();
    for (kind, report) in kinds() {
        let document = serde_json::to_value(&report).unwrap();
        let errors: Vec<String> = validator
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{kind}: {errors:#?}");
    }
}

#[test]
fn the_schema_is_valid() {
    let schema = include_str!("../../../../docs/smoke-report.schema.json");
    jsonschema::meta::validate(&serde_json::from_str(schema).unwrap()).unwrap();
}

/// The paths of all objects, as JSON pointers.
fn objects(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.push(at.to_owned());
            fields.iter().for_each(|(name, value)| objects(value, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| objects(item, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

#[test]
fn fields_are_all_required_and_no_others_are_allowed() {
    let validator = validator();
    for (kind, report) in kinds() {
        let document = serde_json::to_value(&report).unwrap();
        let mut places = Vec::new();
        objects(&document, "", &mut places);
        // A few rows are enough.
        for place in places.iter().filter(|place| !place.contains("/rows/1") && !place.contains("/rows/2")) {
            let mut more = document.clone();
            more.pointer_mut(place).unwrap()["unknown"] = json!(1);
            refuses(&validator, &more, &format!("{kind}: {place}/unknown"));
            let fields = document.pointer(place).unwrap().as_object().unwrap();
            for name in fields.keys().filter(|name| !OPTIONAL.contains(&name.as_str())) {
                let mut less = document.clone();
                less.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(name);
                refuses(&validator, &less, &format!("{kind}: without {place}/{name}"));
            }
        }
    }
}

#[test]
fn impossible_values_are_refused() {
    let validator = validator();
    let document = serde_json::to_value(report(vec![failed("qemu")], None)).unwrap();
    for (place, value) in [
        ("/schema", json!(1)),
        ("/verdict", json!("ok")),
        ("/started", json!("24 November 2026")),
        ("/seconds", json!(-1)),
        ("/host/accelerator", json!("hvf")),
        ("/runs/0/subject/sha256", json!("00")),
        ("/runs/0/boot/result", json!("failed")),
        ("/runs/0/rows/0/outcome", json!({ "result": "failed" })),
        ("/runs/0/rows/0/outcome", json!({ "result": "passed", "reason": "why" })),
        ("/runs/0/screenshots/0/file", json!("../../etc/passwd")),
        ("/runs/0/screenshots/0/taken", json!({ "when": "check_failed" })),
    ] {
        let mut other = document.clone();
        *other.pointer_mut(place).unwrap() = value.clone();
        refuses(&validator, &other, &format!("{place} = {value}"));
    }
}
