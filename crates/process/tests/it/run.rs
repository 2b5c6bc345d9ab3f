//! Running to the end: output, input, errors.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use rave_process::{CAPTURE_LIMIT, Cmd, Error, Status, Stream, TAIL_LINES};

fn sh(script: &str) -> Cmd {
    Cmd::new("sh").args(["-c", script])
}

#[test]
fn lines_arrive_from_both_streams() {
    let mut lines = Vec::new();
    let output = sh("echo out; echo err >&2; printf 'no end'")
        .run(&mut |line| lines.push((line.stream, line.text.to_owned())))
        .unwrap();
    assert!(lines.contains(&(Stream::Stdout, "out".into())));
    assert!(lines.contains(&(Stream::Stderr, "err".into())));
    assert!(lines.contains(&(Stream::Stdout, "no end".into())));
    assert_eq!(output.tail.len(), 3);
    assert!(output.stdout.is_empty());
}

#[test]
fn output_captures_stdout_separately_from_stderr() {
    let output = sh("echo data; echo talk >&2").output().unwrap();
    assert_eq!(output.stdout, b"data\n");
    assert_eq!(output.text(), "data");
    assert_eq!(output.tail, ["talk"]);
}

#[test]
fn too_much_output_is_an_error_and_not_truncated() {
    let limit = CAPTURE_LIMIT;
    let exact = Cmd::new("head").args(["-c", &limit.to_string(), "/dev/zero"]).output().unwrap();
    assert_eq!(exact.stdout.len(), limit);
    let over = Cmd::new("head").args(["-c", &(limit + 1).to_string(), "/dev/zero"]).output();
    assert!(matches!(over, Err(Error::TooMuchOutput { limit: l, .. }) if l == limit));
}

#[test]
fn a_failure_has_status_command_and_a_bounded_tail() {
    let error = sh("seq 1 5000; echo 'the reason' >&2; exit 3").run(&mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Failed { status: Status::Code(3), .. }));
    assert_eq!(error.tail().len(), TAIL_LINES);
    let text = error.to_string();
    assert!(text.contains("exit code 3") && text.contains("the reason") && text.contains("sh -c"), "{text}");

    let error = sh("echo only on stdout; kill -9 $$").output().unwrap_err();
    assert!(error.to_string().contains("killed by SIGKILL"), "{error}");
    assert_eq!(error.tail(), ["only on stdout"]);
}

#[test]
fn a_command_that_cannot_start_has_a_reason() {
    let error = Cmd::new("no-such-program-here").output().unwrap_err();
    assert!(matches!(&error, Error::NotFound { program } if program == "no-such-program-here"));
    let error = sh("true").current_dir("/no/such/folder").output().unwrap_err();
    assert!(matches!(error, Error::Spawn { .. }));
    assert!(error.to_string().contains("/no/such/folder"), "{error}");
}

#[test]
fn arguments_and_folders_may_contain_any_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let mut name = b"two words \xff".to_vec();
    let folder = scratch.path().join(OsString::from_vec(name.clone()));
    fs::create_dir(&folder).unwrap();
    let cmd = sh("pwd; printf '%s' \"$1\"; printf '%s' \"$VARIABLE\" >&2")
        .arg("sh")
        .arg(OsString::from_vec(b"a\xfeb".to_vec()))
        .env("VARIABLE", "value")
        .current_dir(&folder);
    let output = cmd.output().unwrap();
    name.extend_from_slice(b"\na\xfeb");
    assert!(output.stdout.ends_with(&name), "{:?}", output.stdout);
    assert_eq!(output.tail, ["value"]);
    assert!(cmd.to_string().starts_with("VARIABLE=value sh -c"), "{cmd}");
    assert!(cmd.argv().last().unwrap().contains('\u{fffd}'));
}

#[test]
fn secrets_are_masked_in_all_output() {
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("log");
    let cmd = sh("echo pass=hunter2; echo hunter2 >&2; exit 1")
        .arg("hunter2")
        .env("TOKEN", "hunter2")
        .secret("hunter2")
        .log_file(&log);
    let mut lines = String::new();
    let error = cmd.run(&mut |line| lines.push_str(line.text)).unwrap_err();
    let log = fs::read_to_string(log).unwrap();
    for shown in [cmd.to_string(), format!("{cmd:?}"), cmd.argv().join(" "), error.to_string(), lines, log] {
        assert!(shown.contains("***") && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn the_log_grows_with_each_run() {
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("log");
    let cmd = sh("echo one; echo two >&2").log_file(&log);
    cmd.run(&mut |_| {}).unwrap();
    cmd.run(&mut |_| {}).unwrap();
    let text = fs::read_to_string(log).unwrap();
    assert_eq!(text.matches("$ sh -c").count(), 2);
    assert_eq!((text.matches("one\n").count(), text.matches("two\n").count()), (2, 2));
}

#[test]
fn stdin_comes_from_bytes_a_file_or_nowhere() {
    let bytes = vec![7; 1_000_000];
    assert_eq!(Cmd::new("cat").stdin_bytes(bytes.clone()).output().unwrap().stdout, bytes);
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("in"), "from a file").unwrap();
    let cmd = Cmd::new("cat").stdin_file(File::open(scratch.path().join("in")).unwrap());
    assert_eq!(cmd.output().unwrap().text(), "from a file");
    assert_eq!(Cmd::new("cat").output().unwrap().stdout, b"");
}

#[test]
fn stdout_goes_into_a_file() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("out");
    let file = File::create(&path).unwrap();
    let output = sh("echo data; echo talk >&2").stdout_file(file).run(&mut |_| {}).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"data\n");
    assert_eq!(output.tail, ["talk"]);
}

#[test]
fn a_command_can_read_input_while_it_prints() {
    // More data in both directions than pipes hold: an unserved pipe would block the other.
    let mut count = 0;
    sh("while read -r line; do echo \"$line\"; echo \"$line\" >&2; done")
        .run_with_input(|input| (0..20_000).try_for_each(|n| writeln!(input, "line {n}")), &mut |_| {
            count += 1;
        })
        .unwrap();
    assert_eq!(count, 40_000);
}

#[test]
fn an_exit_while_reading_input_is_a_failure_of_the_child() {
    let error = sh("head -c 100 >/dev/null; echo 'no space left' >&2; exit 7")
        .run_with_input(
            |input| {
                loop {
                    input.write_all(&[0; 4096])?;
                }
            },
            &mut |_| {},
        )
        .unwrap_err();
    assert!(matches!(error, Error::Failed { status: Status::Code(7), .. }), "{error}");
    assert_eq!(error.tail(), ["no space left"]);
}

#[test]
fn a_child_that_stops_reading_input_succeeds() {
    let mut fed = 0_u64;
    Cmd::new("head")
        .args(["-c", "10"])
        .run_with_input(
            |input| {
                for _ in 0..1000 {
                    input.write_all(&[b'x'; 4096])?;
                    fed += 4096;
                }
                Ok(())
            },
            &mut |_| {},
        )
        .unwrap();
    assert_eq!(fed, 4096 * 1000, "the feeder wrote everything");
}

#[test]
fn a_failed_input_source_gives_its_own_error() {
    let scratch = tempfile::tempdir().unwrap();
    let done = scratch.path().join("done");
    let error = sh("cat >/dev/null; touch \"$1\"")
        .arg("sh")
        .arg(&done)
        .run_with_input(|_| Err(io::Error::other("source is unreadable")), &mut |_| {})
        .unwrap_err();
    assert!(
        matches!(error, Error::Io { .. }) && error.to_string().contains("source is unreadable"),
        "{error}"
    );
    assert!(!done.exists(), "the command took truncated input for complete input");
}

#[test]
fn a_command_ends_with_its_leader() {
    // `sleep` holds the pipes open; it is killed with its group instead of blocking us.
    let output = sh("sleep 1000 & echo $!").timeout(Duration::from_secs(60)).output().unwrap();
    let pid: u32 = output.text().parse().unwrap();
    assert!(output.elapsed < Duration::from_secs(10));
    crate::wait_gone(pid);
}
