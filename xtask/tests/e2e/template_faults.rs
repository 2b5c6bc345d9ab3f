//! Templates whose image has gone, clones that hang before they have an identity, and many clones at once.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use crate::command::signal;
use crate::named_sandboxes::Sandboxes;
use crate::tool::{finish, link_all, shared_out, wait_until};

/// How many are started at once.
const MANY: usize = 30;

/// Without an identity a clone is a copy of another machine: it is ended, and the sandbox boots.
#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_clone_that_hangs_before_it_has_an_identity_is_ended() {
    let sandboxes = Sandboxes::with_templates();
    finish(&sandboxes.up("first")).expect_code(0);
    let running = sandboxes.up("demo").start(&sandboxes.place.path("output"));
    let mut hung = BTreeSet::new();
    while !running.has_ended() {
        let clone = sandboxes.qemu_of("demo").filter(|pid| !hung.contains(pid));
        if let Some(pid) = clone.filter(|pid| is_clone(*pid)) {
            signal("STOP", pid);
            hung.insert(pid);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(running.wait().code(), Some(0));
    assert!(!hung.is_empty());
    assert!(sandboxes.origin("demo")["disk-instead"]["why"].is_string(), "{}", sandboxes.origin("demo"));
    assert_eq!(sandboxes.text("demo", "hostname"), "demo");
    assert_ne!(sandboxes.text("demo", "cat /etc/machine-id"), sandboxes.text("first", "cat /etc/machine-id"));
    for pid in hung {
        wait_until("the hung machine is gone", || !sandboxes.place.processes().contains_key(&pid));
    }
}

/// Whether QEMU waits for a machine to continue with.
fn is_clone(pid: u32) -> bool {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).any(|argument| argument == b"-incoming")
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_sandbox_outlives_its_image_and_its_template_goes_with_the_last_one() {
    let sandboxes = Sandboxes::new();
    let out = sandboxes.place.path("image");
    link_all(&shared_out("headless"), &out);
    let up = |name: &str| {
        let mut up = sandboxes.place.xtask(&["up", name, "--base", "debian", "--no-build", "--out"]);
        finish(up.arg(&out))
    };
    up("one").expect_code(0).expect_said("kept as a template");
    sandboxes.text("one", "echo mine > /home/agent/file; sync");
    sandboxes.run(&["stop", "one"]).expect_code(0);

    fs::remove_dir_all(&out).unwrap();
    up("two").expect_code(4).expect_said("remedy: ");
    assert_eq!(sandboxes.rows().len(), 1, "what was refused is not listed");
    sandboxes.run(&["prune", "--templates", "--older-than", "1000h", "--yes"]).expect_code(0);
    sandboxes.run(&["start", "one"]).expect_code(0);
    assert_eq!(sandboxes.text("one", "cat /home/agent/file"), "mine");

    sandboxes.run(&["rm", "--force", "one"]).expect_code(0);
    sandboxes.run(&["prune", "--templates", "--yes"]).expect_code(0);
    let left: Vec<_> = fs::read_dir(sandboxes.place.path("state/templates"))
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn many_sandboxes_that_are_started_at_once_are_machines_of_their_own() {
    let sandboxes = Sandboxes::with_templates();
    finish(&sandboxes.up("first")).expect_code(0);
    let names: Vec<String> = (1..=MANY).map(|number| format!("many-{number}")).collect();
    std::thread::scope(|scope| {
        let started: Vec<_> =
            names.iter().map(|name| (name, scope.spawn(|| finish(&sandboxes.up(name))))).collect();
        for (name, up) in started {
            let up = up.join().unwrap();
            assert_eq!(up.status.code(), Some(0), "{name}: {}", up.stderr);
        }
    });
    let rows = sandboxes.rows();
    assert_eq!(rows.len(), 1 + MANY);
    assert!(rows.iter().all(|row| row["state"] == "running"), "{rows:#?}");
    let ids: BTreeSet<String> =
        names.iter().map(|name| sandboxes.text(name, "cat /etc/machine-id")).collect();
    assert_eq!(ids.len(), MANY);
    for name in &names {
        sandboxes.run(&["rm", "--force", name]).expect_code(0);
    }
    sandboxes.run(&["rm", "--force", "first"]).expect_code(0);
    sandboxes.place.expect_no_process();
}
