//! Long-lived commands and timeouts.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

use rave_process::{Cmd, Error, STOP_GRACE, Status, TAIL_LINES};
use rustix::process::Signal;

use crate::helper::{DEAF_FAMILY, FAMILY, family, pid};
use crate::{wait_for, wait_gone};

const KILLED: Status = Status::Signal(Signal::KILL.as_raw());
const LONG: Duration = Duration::from_secs(20);

#[test]
fn a_timeout_stops_the_whole_group() {
    let scratch = tempfile::tempdir().unwrap();
    let script = format!("echo before; {FAMILY}");
    let limit = Duration::from_millis(500);
    let error = family(&script, scratch.path()).timeout(limit).output().unwrap_err();
    assert!(matches!(error, Error::TimedOut { after, .. } if after == limit), "{error}");
    assert_eq!(error.tail(), ["before"]);
    wait_gone(pid(scratch.path(), "child"));
    wait_gone(pid(scratch.path(), "grandchild"));
}

#[test]
fn a_timeout_kills_a_group_that_ignores_sigterm() {
    let scratch = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let cmd = family(DEAF_FAMILY, scratch.path()).timeout(Duration::from_millis(300));
    // Also while its input is written and it does not read.
    let error = cmd
        .run_with_input(
            |input| loop {
                input.write_all(&[0; 4096])?;
            },
            &mut |_| {},
        )
        .unwrap_err();
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert!(started.elapsed() >= STOP_GRACE);
    wait_gone(pid(scratch.path(), "child"));
    wait_gone(pid(scratch.path(), "grandchild"));
}

#[test]
fn terminate_sends_sigterm_and_kills_after_the_grace_period() {
    let scratch = tempfile::tempdir().unwrap();
    let script = format!("trap 'echo bye; exit 5' TERM; {FAMILY}");
    let mut child = family(&script, scratch.path()).spawn().unwrap();
    let grandchild = pid(scratch.path(), "grandchild");
    pid(scratch.path(), "child");
    assert_eq!(child.try_wait().unwrap(), None);
    assert_eq!(child.terminate(LONG).unwrap(), Status::Code(5));
    assert_eq!(child.tail(), ["bye"]);
    wait_gone(grandchild);

    let scratch = tempfile::tempdir().unwrap();
    let mut child = family(DEAF_FAMILY, scratch.path()).spawn().unwrap();
    let grandchild = pid(scratch.path(), "grandchild");
    pid(scratch.path(), "child");
    assert_eq!(child.terminate(Duration::from_millis(50)).unwrap(), KILLED);
    assert_eq!(child.try_wait().unwrap(), Some(KILLED), "the status stays the same");
    wait_gone(grandchild);
}

#[test]
fn a_dropped_child_is_killed_with_its_group() {
    let scratch = tempfile::tempdir().unwrap();
    let child = family(FAMILY, scratch.path()).spawn().unwrap();
    let members = [pid(scratch.path(), "child"), pid(scratch.path(), "grandchild")];
    assert_eq!(child.pid(), members[0]);
    drop(child);
    members.into_iter().for_each(wait_gone);
}

#[test]
fn an_early_exit_is_reported_with_its_last_output() {
    let mut child =
        Cmd::new("sh").args(["-c", "seq 100; echo 'cannot open disk' >&2; exit 1"]).spawn().unwrap();
    let status = child.wait_timeout(LONG).unwrap().unwrap();
    let error = child.failure(status);
    assert_eq!(error.tail().len(), TAIL_LINES);
    assert_eq!(error.tail().last().map(String::as_str), Some("cannot open disk"));
}

#[test]
fn a_log_is_complete_and_the_tail_is_of_this_run() {
    let scratch = tempfile::tempdir().unwrap();
    let log = scratch.path().join("log");
    fs::write(&log, "from an earlier run\n").unwrap();
    let script = "echo out; echo token=hunter2 >&2; read -r line; echo got $line";
    let cmd = Cmd::new("sh").args(["-c", script]).stdin_piped().secret("hunter2").log_file(&log);
    let mut child = cmd.spawn().unwrap();
    let mut stdin = child.take_stdin().unwrap();
    assert!(child.take_stdin().is_none());
    wait_for("both lines", || (child.tail().len() == 2).then_some(()));
    assert_eq!(child.tail(), ["out", "token=***"]);
    stdin.write_all(b"input\n").unwrap();
    assert!(child.wait_timeout(LONG).unwrap().unwrap().success());
    assert_eq!(child.tail(), ["out", "token=***", "got input"]);
    assert!(fs::read_to_string(log).unwrap().starts_with("from an earlier run\n$ sh -c"));
}

#[test]
fn bytes_can_be_written_to_a_child() {
    let mut child = Cmd::new("wc").arg("-c").stdin_bytes(vec![0; 300_000]).spawn().unwrap();
    assert!(child.wait_timeout(LONG).unwrap().unwrap().success());
    assert_eq!(child.tail(), ["300000"]);
}

#[test]
fn a_panicking_listener_leaves_no_process() {
    let scratch = tempfile::tempdir().unwrap();
    let script = format!("({FAMILY}) & while ! [ -e \"$1/child\" ]; do sleep 0.01; done; echo ready; wait");
    let result = std::panic::catch_unwind(|| {
        family(&script, scratch.path()).run(&mut |_| panic!("the listener")).unwrap();
    });
    assert!(result.is_err());
    wait_gone(pid(scratch.path(), "grandchild"));
    wait_gone(pid(scratch.path(), "child"));
}
