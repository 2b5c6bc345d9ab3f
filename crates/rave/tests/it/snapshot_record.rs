//! Events about snapshots and forks in the record of a sandbox. It is not running: no test waits for a guest.

use duct::cmd;
use serde_json::Value;

use crate::sandbox::{State, wait_until};

/// A sandbox that has run, with a disk as left by a start.
fn stopped(state: &State) {
    let active = state.make("demo", &[]).layers().active().unwrap();
    let arguments =
        ["create", "-q", "-f", "qcow2", "-u", "-b", "base.qcow2", "-F", "qcow2", active.as_str(), "64M"];
    cmd("qemu-img", arguments).run().unwrap();
}

/// The events of one kind in the record of `demo`, each with its text in this field.
fn recorded(state: &State, kind: &str, field: &str) -> Vec<String> {
    let done = state.run(&["audit", "demo", "--json"]);
    let lines = done.expect(0).stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["event"] == kind)
        .map(|line| {
            format!("{} {}", line[field].as_str().unwrap_or_default(), line["name"].as_str().unwrap())
        })
        .collect()
}

#[test]
fn snapshots_are_recorded() {
    let state = State::new();
    stopped(&state);
    state.run(&["snapshot", "demo", "one"]).expect(0);
    state.run(&["restore", "demo", "one"]).expect(0);
    state.run(&["snapshot", "demo", "--remove", "one"]).expect(0);
    assert_eq!(recorded(&state, "snapshot", "action"), ["taken one", "restored one", "removed one"]);
}

#[test]
fn forks_are_recorded_in_the_parents_record() {
    let state = State::new();
    stopped(&state);
    let fork = state.start(&["fork", "demo", "twin"]);
    wait_until("the fork is recorded", || {
        state.run(&["audit", "demo"]).stdout.contains("fork: twin was made of it")
    });
    fork.kill();
}
