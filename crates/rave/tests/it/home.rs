//! Which checkout the program works with.

use std::fs;
use std::path::{Path, PathBuf};

use duct::cmd;

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the checkout exists")
}

pub(crate) struct CommandOutput {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the program in `folder`; `home` is `RAVE_HOME`.
pub(crate) fn rave(folder: &Path, home: Option<&Path>, arguments: &[&str]) -> CommandOutput {
    rave_on_path(folder, home, None, arguments)
}

/// The same, on a host that has the programs of one folder.
pub(crate) fn rave_on_path(
    folder: &Path,
    home: Option<&Path>,
    programs: Option<&Path>,
    arguments: &[&str],
) -> CommandOutput {
    command(Path::new(env!("CARGO_BIN_EXE_rave")), folder, home, programs, arguments)
}

fn command(
    program: &Path,
    folder: &Path,
    home: Option<&Path>,
    programs: Option<&Path>,
    arguments: &[&str],
) -> CommandOutput {
    let command = cmd(program, arguments)
        .dir(folder)
        .stdin_null()
        .stdout_capture()
        .stderr_capture()
        .unchecked()
        .env("RAVE_STATE", folder.join("state"))
        .env("RAVE_CACHE", folder.join("cache"))
        .env_remove("RAVE_PROFILE");
    let command = match home {
        Some(home) => command.env("RAVE_HOME", home),
        None => command.env_remove("RAVE_HOME"),
    };
    let command = match programs {
        Some(programs) => command.env("PATH", programs),
        None => command,
    };
    let output = command.run().expect("the program starts");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    CommandOutput { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

/// A copy of the home's files that the program reads, in a separate folder.
pub(crate) fn copied_home() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("a home ").tempdir().expect("a folder");
    let copy = |file: &str| {
        let to = folder.path().join(file);
        fs::create_dir_all(to.parent().expect("below the folder")).expect("a folder");
        fs::copy(checkout().join(file), to).expect("a copy");
    };
    for file in ["rave.toml", "debian.lock", "nix/facts.json", "docs/smoke-report.schema.json"] {
        copy(file);
    }
    for profile in ["cloud", "full", "headless", "simple"] {
        copy(&format!("profiles/{profile}.toml"));
    }
    folder
}

#[test]
fn rave_home_applies_in_any_folder() {
    let (elsewhere, home) = (tempfile::tempdir().expect("a folder"), copied_home());
    let text = fs::read_to_string(home.path().join("rave.toml")).expect("text");
    fs::write(home.path().join("rave.toml"), text.replace("cpus = 2", "cpus = 3")).expect("written");
    let printed = rave(elsewhere.path(), Some(home.path()), &["config", "--json"]);
    assert_eq!((printed.code, printed.stderr.as_str()), (Some(0), ""));
    assert!(printed.stdout.contains("\"value\": 3"), "{}", printed.stdout);
}

#[test]
fn the_nearest_checkout_is_the_default_home_and_none_is_a_usage_error() {
    let home = copied_home();
    // Cargo's target folder may be outside the checkout, so a copy of the program stands for one that was built in it.
    let program = home.path().join("rave");
    fs::copy(env!("CARGO_BIN_EXE_rave"), &program).expect("a copy");
    let own = command(&program, &home.path().join("profiles"), None, None, &["config"]);
    assert_eq!((own.code, own.stderr.as_str()), (Some(0), ""));
    let printed = rave(home.path(), None, &["config"]);
    assert_eq!(printed.code, Some(2));
    assert!(
        printed.stderr.contains("is not the checkout that this program was built in"),
        "{}",
        printed.stderr
    );
    let elsewhere = tempfile::tempdir().expect("a folder");
    let printed = rave(elsewhere.path(), None, &["config"]);
    assert_eq!(printed.code, Some(2));
    assert!(printed.stderr.starts_with("error: no rave.toml in "), "{}", printed.stderr);
}

#[test]
fn incompatible_and_invalid_homes_are_refused_by_name() {
    let (elsewhere, home) = (tempfile::tempdir().expect("a folder"), copied_home());
    fs::write(home.path().join("nix/facts.json"), "{}").expect("written");
    let printed = rave(elsewhere.path(), Some(home.path()), &["config"]);
    assert_eq!(printed.code, Some(2));
    assert!(printed.stderr.contains("does not fit its home"), "{}", printed.stderr);
    assert!(printed.stderr.contains("remedy: run `cargo xtask install` in "), "{}", printed.stderr);
    let printed = rave(elsewhere.path(), Some(elsewhere.path()), &["config"]);
    assert_eq!(printed.code, Some(2));
    assert!(printed.stderr.starts_with("error: RAVE_HOME: no rave.toml in "), "{}", printed.stderr);
}

#[test]
fn help_and_messages_name_the_program_that_was_called() {
    let elsewhere = tempfile::tempdir().expect("a folder");
    let printed = rave(elsewhere.path(), None, &["--help"]);
    assert_eq!(printed.code, Some(0));
    assert!(
        printed.stdout.contains("rave smoke --yes") && !printed.stdout.contains("xtask"),
        "{}",
        printed.stdout
    );
    let home = copied_home();
    let printed = rave(home.path(), Some(home.path()), &["smoke", "--only", "nothing", "--base", "debian"]);
    assert!(printed.stderr.contains("`rave smoke --list`"), "{}", printed.stderr);
}
