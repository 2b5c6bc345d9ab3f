//! Locks between processes.

use std::fs;

use rave_process::FileLock;
use rustix::process::Signal;

use crate::helper::{note, send, start};

#[test]
fn a_waiter_names_the_holder_and_takes_over_when_it_is_killed() {
    let scratch = tempfile::tempdir().unwrap();
    let mut holder = start("hold a lock", scratch.path());
    note(scratch.path(), "held");
    let mut named = Vec::new();
    let pid = holder.pid();
    let lock = FileLock::acquire(scratch.path().join("lock"), &mut |other| {
        named.push(other.clone());
        holder.kill().unwrap();
    });
    assert_eq!(named.len(), 1);
    assert_eq!(named[0].pid, pid);
    assert!(named[0].command.contains("helper::plays_a_role"), "{}", named[0].command);
    let text = fs::read_to_string(lock.unwrap().path()).unwrap();
    assert_eq!(text.lines().next(), Some(std::process::id().to_string().as_str()));
}

#[test]
fn a_released_lock_goes_to_the_waiter() {
    let scratch = tempfile::tempdir().unwrap();
    let _holder = start("hold a lock", scratch.path());
    note(scratch.path(), "held");
    let folder = scratch.path().to_owned();
    let mut reported = 0;
    FileLock::acquire(folder.join("lock"), &mut |_| {
        reported += 1;
        fs::write(folder.join("let go"), "").unwrap();
    })
    .unwrap();
    assert_eq!(reported, 1);
    // Free again, with no holder to wait for.
    FileLock::acquire(folder.join("lock"), &mut |_| panic!("nothing holds the lock")).unwrap();
}

#[test]
fn waiting_can_be_interrupted_and_keeps_the_record() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("lock");
    let _lock = FileLock::acquire(&path, &mut |_| {}).unwrap();
    let before = fs::read_to_string(&path).unwrap();
    let waiter = start("wait for a lock", scratch.path());
    assert_eq!(note(scratch.path(), "waits for"), std::process::id().to_string());
    send(waiter.pid(), Signal::INT);
    let end = note(scratch.path(), "end");
    assert!(end.contains("interrupted by SIGINT") && end.contains("lock"), "{end}");
    assert_eq!(fs::read_to_string(path).unwrap(), before);
}
