//! `tests/bad/NAME.toml`, each with the messages it must get in `NAME.txt`. What else reads `rave.toml` is fed the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::load_one;

/// The text of every file of `tests/bad` with that extension, by the name before it.
fn texts(extension: &str) -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

#[test]
fn each_bad_file_gets_its_messages() {
    let (files, messages) = (texts("toml"), texts("txt"));
    assert!(!files.is_empty());
    assert!(files.keys().eq(messages.keys()), "each .toml has its .txt and each .txt its .toml");
    let mut wrong = Vec::new();
    for (name, text) in &files {
        let got = match load_one(text) {
            Ok(_) => "nothing was wrong\n".to_owned(),
            Err(errors) => format!("{errors}\n"),
        };
        if got != messages[name] {
            wrong.push(format!("{name}.toml\n  expected: {}  got:      {got}", messages[name]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_password_is_never_repeated() {
    for value in [r#""hunter:2""#, r#""hunter\n2""#, "[\"hunter2\"]", "4711", "{ hunter = 2 }"] {
        let text = crate::GOOD.replace(r#"password = "agent""#, &format!("password = {value}"));
        let message = load_one(&text).unwrap_err().to_string();
        assert!(message.contains("guest.password: the password"), "{message}");
        assert!(!message.contains("hunter") && !message.contains("4711"), "{message}");
    }
}
