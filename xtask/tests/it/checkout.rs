//! The checkout and the built program, for the other tests.

use camino::{Utf8Path, Utf8PathBuf};
use expect_test::Expect;
use rave_process::Cmd;

/// The checkout's folder.
pub(crate) fn root() -> &'static Utf8Path {
    Utf8Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace")
}

/// The files that git tracks or would add, relative to [`root`], whose names end in `end`.
pub(crate) fn files(end: &str) -> Vec<Utf8PathBuf> {
    let list = Cmd::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root().as_std_path())
        .output()
        .expect("git lists the files");
    let text = list.text();
    let files: Vec<Utf8PathBuf> = text
        .split('\0')
        .filter(|name| name.ends_with(end) && root().join(name).is_file())
        .map(Utf8PathBuf::from)
        .collect();
    assert!(!files.is_empty(), "no file ends in {end:?}");
    files
}

/// The text of a file below [`root`]; empty if it is not text.
pub(crate) fn read(file: &Utf8Path) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_default()
}

/// The shipped rave.toml.
pub(crate) fn own_toml() -> String {
    read("rave.toml".into())
}

/// The result of the program.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Checks the whole output, stdout first, and the exit code.
pub(crate) fn shows(ran: &Ran, code: i32, expected: &Expect) {
    let lines = ran.stdout.lines().chain(ran.stderr.lines());
    // clap leaves spaces on empty lines, which editors remove.
    expected.assert_eq(&(lines.map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"));
    assert_eq!(ran.code, code);
}

/// A checkout with this rave.toml and the shipped profiles, at a path with spaces.
pub(crate) fn fresh(rave_toml: &str) -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("check out ").tempdir().expect("a folder");
    fill(folder.path(), rave_toml);
    folder
}

/// Makes `folder` a checkout with this rave.toml, the shipped lock and the shipped profiles.
pub(crate) fn fill(folder: &std::path::Path, rave_toml: &str) {
    std::fs::write(folder.join("rave.toml"), rave_toml).expect("rave.toml is written");
    std::fs::write(folder.join("debian.lock"), read("debian.lock".into())).expect("debian.lock is written");
    std::fs::create_dir(folder.join("profiles")).expect("a new folder");
    for profile in files(".toml").iter().filter(|file| file.starts_with("profiles")) {
        std::fs::write(folder.join(profile), read(profile)).expect("the profile is written");
    }
}

/// Runs xtask in a [`fresh`] checkout, with separate state and cache folders.
pub(crate) fn xtask(rave_toml: &str, arguments: &[&str]) -> Ran {
    run_in(fresh(rave_toml).path(), arguments, &[])
}

/// Runs xtask in `folder`.
pub(crate) fn run_in(folder: &std::path::Path, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    run_under(&[], folder, arguments, variables)
}

/// Runs xtask in `folder` through a program that runs another, such as setpriv(1).
pub(crate) fn run_under(
    runner: &[&str],
    folder: &std::path::Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Ran {
    let own = tempfile::tempdir().expect("a folder");
    let (out, err) = (own.path().join("stdout"), own.path().join("stderr"));
    // A shell redirects the two streams into files.
    let script = r#"out=$1 err=$2; shift 2; "$@" >"$out" 2>"$err" </dev/null; echo $?"#;
    let mut command = Cmd::new("sh").args(["-c", script, "sh"]).arg(&out).arg(&err);
    command = command.args(runner.iter().copied());
    command = command.arg(env!("CARGO_BIN_EXE_xtask")).args(arguments.iter().copied()).current_dir(folder);
    for name in ["CARGO_MANIFEST_DIR", "RAVE_PROFILE", "RAVE_BASE", "RAVE_ACCEL", "RAVE_YES", "COLUMNS"] {
        command = command.env_remove(name);
    }
    command = command.env("RAVE_STATE", own.path().join("state")).env("RAVE_CACHE", own.path().join("cache"));
    command = variables.iter().fold(command, |command, (name, value)| command.env(*name, *value));
    let code = command.output().expect("the shell runs").text().trim().parse().expect("an exit code");
    let read = |path| std::fs::read_to_string(path).expect("the stream is text");
    Ran { code, stdout: read(out), stderr: read(err) }
}
