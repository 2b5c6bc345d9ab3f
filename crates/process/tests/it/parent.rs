//! What happens to commands when the process that started them dies.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::helper::{note, pid, send, start};
use crate::{runs, wait_for, wait_gone};

/// The watchdog of the process `parent`.
fn watchdog(parent: u32) -> u32 {
    wait_for("the watchdog", || {
        fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let command = fs::read_to_string(entry.path().join("cmdline")).ok()?;
            let status = fs::read_to_string(entry.path().join("status")).ok()?;
            let child = status.lines().any(|line| line == format!("PPid:\t{parent}"));
            (child && command.contains("rave-watchdog")).then(|| entry.file_name().to_str()?.parse().ok())?
        })
    })
}

fn family(folder: &Path) -> [u32; 2] {
    [pid(folder, "child"), pid(folder, "grandchild")]
}

#[test]
fn sigkill_of_the_parent_ends_the_whole_group() {
    let scratch = tempfile::tempdir().unwrap();
    let mut parent = start("run", scratch.path());
    let family = family(scratch.path());
    let watchdog = watchdog(parent.pid());
    assert!(family.iter().all(|pid| runs(*pid)));
    parent.kill().unwrap();
    let killed = Instant::now();
    family.into_iter().for_each(wait_gone);
    wait_gone(watchdog);
    assert!(killed.elapsed() < Duration::from_secs(2));
}

#[test]
fn the_watchdog_ignores_terminal_signals() {
    let scratch = tempfile::tempdir().unwrap();
    let mut parent = start("run", scratch.path());
    let family = family(scratch.path());
    let watchdog = watchdog(parent.pid());
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        send(watchdog, signal);
    }
    parent.kill().unwrap();
    family.into_iter().for_each(wait_gone);
}

#[test]
fn a_killed_watchdog_is_replaced_and_knows_earlier_commands() {
    let scratch = tempfile::tempdir().unwrap();
    let mut parent = start("two commands", scratch.path());
    let first = family(scratch.path());
    let old = watchdog(parent.pid());
    send(old, Signal::KILL);
    wait_gone(old);
    fs::write(scratch.path().join("go on"), "").unwrap();
    let second = family(&scratch.path().join("second"));
    parent.kill().unwrap();
    first.into_iter().chain(second).for_each(wait_gone);
}

#[test]
fn a_detached_command_outlives_its_parent() {
    let scratch = tempfile::tempdir().unwrap();
    let mut parent = start("detach", scratch.path());
    let [child, grandchild] = family(scratch.path());
    let watchdog = watchdog(parent.pid());
    fs::write(scratch.path().join("leave"), "").unwrap();
    assert!(wait_for("the parent's end", || parent.try_wait().unwrap()).success());
    wait_gone(watchdog);
    assert!(runs(child) && runs(grandchild));
    assert!(note(scratch.path(), "log").starts_with("$ sh -c"));
    send(grandchild, Signal::KILL);
    wait_gone(child);
}
