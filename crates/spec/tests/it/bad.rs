//! `tests/bad.toml`: invalid settings, each with its expected messages.

use toml::de::{DeTable, DeValue};

use crate::{GOOD, load_one};

const CASES: &str = include_str!("../bad.toml");

/// One case of `bad.toml`.
struct Case {
    name: String,
    text: String,
    expect: Vec<String>,
}

/// All cases, by name.
fn cases() -> Vec<Case> {
    let table = DeTable::parse(CASES).unwrap().into_inner();
    let case = |(name, case): (_, &DeValue<'_>)| {
        let name = String::from(name);
        let text = match (case.get("text"), case.get("edits")) {
            (Some(text), None) => string(text.get_ref()),
            (None, Some(edits)) => {
                list(edits.get_ref()).iter().fold(GOOD.to_owned(), |text, edit| edited(&name, &text, edit))
            }
            _ => panic!("{name}: needs either text or edits"),
        };
        Case { text, expect: list(case.get("expect").unwrap().get_ref()).iter().map(string).collect(), name }
    };
    table.iter().map(|(name, value)| case((name.get_ref().as_ref(), value.get_ref()))).collect()
}

fn edited(case: &str, text: &str, edit: &DeValue<'_>) -> String {
    let pair: Vec<String> = list(edit).iter().map(string).collect();
    let [find, replace] = pair.as_slice() else { panic!("{case}: an edit is a pair") };
    assert_eq!(text.matches(find).count(), 1, "{case}: how often {find:?} occurs");
    text.replace(find, replace)
}

fn list<'t>(value: &DeValue<'t>) -> Vec<DeValue<'t>> {
    let DeValue::Array(items) = value else { panic!("{value:?} is not a list") };
    items.iter().map(|item| item.get_ref().clone()).collect()
}

fn string(value: &DeValue<'_>) -> String {
    let DeValue::String(text) = value else { panic!("{value:?} is not a string") };
    text.clone().into_owned()
}

#[test]
fn each_case_has_its_messages() {
    let cases = cases();
    assert!(cases.len() > 100, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for Case { name, text, expect } in cases {
        let got = match load_one(&text) {
            Ok(_) => "accepted".to_owned(),
            Err(errors) => errors.to_string(),
        };
        let expect = expect.join("\n");
        if got != expect {
            wrong.push(format!("{name}\n  expected: {expect}\n  got:      {got}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_password_is_never_printed() {
    for value in [r#""hunter:2""#, r#""hunter\n2""#, "[\"hunter2\"]", "4711", "{ hunter = 2 }"] {
        let text = GOOD.replace(r#"password = "agent""#, &format!("password = {value}"));
        let message = load_one(&text).unwrap_err().to_string();
        assert!(message.contains("guest.password: the password"), "{message}");
        assert!(!message.contains("hunter") && !message.contains("4711"), "{message}");
    }
}
