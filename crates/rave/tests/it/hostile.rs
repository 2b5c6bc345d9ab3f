//! A foreign folder cannot configure `rave`, whatever it contains.

use std::fs;

use crate::home::{copied_home, rave};

/// Files that an attacker might put into a project in the hope that they are read.
const FILES: [(&str, &str); 7] = [
    ("rave.toml", "schema = 1\n[guest]\npassword = \"hostile\"\n[network]\nmode = \"open\"\n"),
    ("rave.local.toml", "[guest]\npassword = \"hostile\"\n[extra]\npackages = [\"hostile\"]\n"),
    ("secrets.toml", "[[secret]]\nname = \"hostile\"\nhost = \"a.example\"\nvalue.command = [\"hostile\"]\n"),
    (".rave.toml", "[network]\nmode = \"open\"\n[extra]\nunits = [\"hostile.service\"]\n"),
    (".env", "RAVE_GUEST_PASSWORD=hostile\nRAVE_HOME=.\n"),
    (".envrc", "export RAVE_GUEST_PASSWORD=hostile\n"),
    ("profiles/headless.toml", "description = \"hostile\"\nfeatures = []\n"),
];

#[test]
fn nothing_in_a_foreign_folder_applies() {
    let (plain, hostile, home) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"), copied_home());
    fs::create_dir(hostile.path().join("profiles")).expect("a folder");
    for (file, text) in FILES {
        fs::write(hostile.path().join(file), text).expect("written");
    }
    let [expected, output] =
        [&plain, &hostile].map(|folder| rave(folder.path(), Some(home.path()), &["config", "--json"]));
    assert_eq!((expected.code, output.code), (Some(0), Some(0)), "{}", output.stderr);
    assert_eq!(output.stdout, expected.stdout);
    assert!(!output.stdout.contains("hostile"));
    // A program that was not installed does not treat it as its checkout either.
    let output = rave(hostile.path(), None, &["config", "--json"]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(2), ""));
}

#[test]
fn the_users_file_applies_and_is_named() {
    let (elsewhere, home, own) =
        (tempfile::tempdir().expect("a folder"), copied_home(), tempfile::tempdir().expect("a folder"));
    fs::create_dir(own.path().join("rave")).expect("a folder");
    let file = own.path().join("rave/rave.toml");
    fs::write(&file, "[network]\nmode = \"learn\"\nallow = [\"mirror.example\"]\n").expect("written");
    let output = duct::cmd!(env!("CARGO_BIN_EXE_rave"), "config")
        .dir(elsewhere.path())
        .env("RAVE_HOME", home.path())
        .env("XDG_CONFIG_HOME", own.path())
        .read()
        .expect("it ran");
    let line = output.lines().find(|line| line.starts_with("network.mode")).expect("a line");
    assert!(line.contains("learn") && line.contains(file.to_str().expect("text")), "{line}");
}

#[test]
fn trust_refuses_unknown_keys_and_prints_what_it_trusts() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_str().expect("text");
    let trust = || rave(folder.path(), None, &["trust", path]);
    assert_eq!(trust().code, Some(2), "there is no file");
    fs::write(folder.path().join(".rave.toml"), FILES[3].1).expect("written");
    let output = trust();
    assert_eq!(output.code, Some(2));
    assert!(output.stderr.contains("unknown key \"extra\""), "{}", output.stderr);
    assert!(!folder.path().join("state/trusted").exists());
    fs::write(folder.path().join(".rave.toml"), "[network]\nmode = \"offline\"\n").expect("written");
    let output = trust();
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("offline"), "{}", output.stdout);
    assert_eq!(fs::read_dir(folder.path().join("state/trusted")).expect("a folder").count(), 1);
}
