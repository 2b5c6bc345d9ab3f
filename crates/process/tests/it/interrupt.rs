//! Ctrl-C, SIGTERM and SIGHUP to the process that runs commands.

use std::time::{Duration, Instant};

use rave_process::{Cmd, STOP_GRACE, Status};
use rustix::process::Signal;

use crate::helper::{cmd, note, pid, send, start};
use crate::{runs, wait_for, wait_gone};

#[test]
fn the_first_signal_stops_the_group_and_later_commands() {
    for (signal, name) in
        [(Signal::INT, "SIGINT (Ctrl-C)"), (Signal::TERM, "SIGTERM"), (Signal::HUP, "SIGHUP")]
    {
        let scratch = tempfile::tempdir().unwrap();
        let parent = start("run interruptible", scratch.path());
        let family = [pid(scratch.path(), "child"), pid(scratch.path(), "grandchild")];
        let sent = Instant::now();
        send(parent.pid(), signal);
        let end = note(scratch.path(), "end");
        assert!(sent.elapsed() < STOP_GRACE, "it stopped when asked, before it was killed");
        assert_eq!(end, format!("interrupted by {name}; then interrupted by {name}"));
        family.into_iter().for_each(wait_gone);
    }
}

#[test]
fn without_handlers_a_signal_ends_the_tool_and_the_watchdog_ends_the_group() {
    let scratch = tempfile::tempdir().unwrap();
    let mut parent = start("run", scratch.path());
    let family = [pid(scratch.path(), "child"), pid(scratch.path(), "grandchild")];
    send(parent.pid(), Signal::INT);
    let end = wait_for("the parent's end", || parent.try_wait().unwrap());
    assert_eq!(end, Status::Signal(Signal::INT.as_raw()));
    family.into_iter().for_each(wait_gone);
}

#[test]
fn a_second_signal_kills_a_group_that_ignores_the_first() {
    let scratch = tempfile::tempdir().unwrap();
    let parent = start("run deaf", scratch.path());
    let family = [pid(scratch.path(), "child"), pid(scratch.path(), "grandchild")];
    let sent = Instant::now();
    wait_for("the group's death", || {
        // Signals that arrive together with the first count as the same request.
        send(parent.pid(), Signal::INT);
        (!runs(family[0])).then_some(())
    });
    assert!(sent.elapsed() < STOP_GRACE, "killed by the second signal, not by the end of the grace");
    wait_gone(family[1]);
    // A third signal would have ended the parent, and the watchdog the group.
    assert!(note(scratch.path(), "end").starts_with("interrupted by"));
    assert!(sent.elapsed() > Duration::from_millis(150), "killed by the first signal");
}

#[test]
fn a_group_that_ignores_signals_is_killed_after_the_grace_period() {
    let scratch = tempfile::tempdir().unwrap();
    let parent = start("run deaf", scratch.path());
    let family = [pid(scratch.path(), "child"), pid(scratch.path(), "grandchild")];
    let sent = Instant::now();
    send(parent.pid(), Signal::INT);
    family.into_iter().for_each(wait_gone);
    assert!(sent.elapsed() >= STOP_GRACE);
    assert!(note(scratch.path(), "end").starts_with("interrupted by"));
}

#[test]
fn a_command_may_be_left_running_for_its_owner() {
    let scratch = tempfile::tempdir().unwrap();
    let parent = start("spawn survivor", scratch.path());
    let child = pid(scratch.path(), "child");
    send(parent.pid(), Signal::INT);
    assert_eq!(note(scratch.path(), "end"), "ran on: true, cleaned up: true, killed by SIGTERM");
    wait_gone(child);
}

#[test]
fn the_third_signal_ends_a_process_that_ignores_interrupts() {
    let scratch = tempfile::tempdir().unwrap();
    let mut parent = start("stubborn", scratch.path());
    note(scratch.path(), "ready");
    let end = wait_for("the process ends", || {
        send(parent.pid(), Signal::INT);
        parent.try_wait().unwrap()
    });
    assert_eq!(end, Status::Signal(Signal::INT.as_raw()));
}

#[test]
fn a_signal_ignored_at_start_stays_ignored() {
    let scratch = tempfile::tempdir().unwrap();
    let helper = cmd("run interruptible", scratch.path());
    // As nohup(1) does. The helper's variables are passed through the shell.
    let parent = Cmd::new("sh").args(["-c", &format!("trap '' HUP; exec env {helper}")]).spawn().unwrap();
    let child = pid(scratch.path(), "child");
    send(parent.pid(), Signal::HUP);
    send(parent.pid(), Signal::TERM);
    assert!(note(scratch.path(), "end").starts_with("interrupted by SIGTERM"));
    wait_gone(child);
}
