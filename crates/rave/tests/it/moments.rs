//! Snapshots, restores and forks that are killed or run out of disk space: what exists is complete, and the next
//! command needs no cleanup.

use std::fs;
use std::thread;
use std::time::Duration;

use camino::Utf8Path;
use duct::cmd;
use rave_sandbox::Place;

use crate::faults::in_room;
use crate::sandbox::{State, kill, pid, wait_until, work};

const SSH: [(&str, u16, Option<u16>); 1] = [("ssh", 22, None)];

/// Milliseconds after which a command is killed: it takes tens of milliseconds.
const MOMENTS: [u64; 14] = [0, 4, 8, 12, 16, 20, 25, 30, 35, 40, 50, 60, 80, 120];

/// Adds a layer on top of the existing ones, as a start does.
fn begin(place: &Place) {
    let layers = place.layers();
    let beneath = layers.backing_layer().unwrap().or_else(|| place.disk().base()).unwrap();
    let arguments = ["create", "-q", "-f", "qcow2", "-u", "-F", "qcow2", "-b", beneath.file_name().unwrap()];
    cmd("qemu-img", arguments.into_iter().chain([layers.active().unwrap().as_str(), "64M"])).run().unwrap();
}

/// What is restored together: the active layer, the identity, the merge base.
fn what(place: &Place) -> (u32, Option<String>, Option<String>) {
    let text = |path: &Utf8Path| fs::read_to_string(path).ok();
    let base = place.folder().join("workspace/base.json");
    (place.layers().number().unwrap(), text(&place.identity()), text(&base))
}

/// A sandbox with a workspace and the snapshots `one` and `two`.
struct Kept {
    state: State,
    place: Place,
    one: (u32, Option<String>, Option<String>),
    two: (u32, Option<String>, Option<String>),
}

fn kept() -> Kept {
    let state = State::new();
    let place = state.make("demo", &SSH);
    let source = state.path().join("project");
    fs::create_dir(&source).unwrap();
    let copy = state.path().join("copy");
    let mut all = Vec::new();
    for label in ["one", "two"] {
        begin(&place);
        fs::write(source.join("a"), label).unwrap();
        work(&place, &source, copy.as_std_path(), |_| {});
        fs::write(place.identity(), label).unwrap();
        state.run(&["snapshot", "demo", label]).expect(0);
        all.push(what(&place));
    }
    let two = all.pop().unwrap();
    let one = all.pop().unwrap();
    assert!(one.0 < two.0 && one.2 != two.2);
    Kept { state, place, one, two }
}

#[test]
fn a_killed_restore_is_complete_or_absent() {
    let Kept { state, place, one, two } = kept();
    let mut restored = 0;
    for moment in MOMENTS {
        state.run(&["restore", "--force", "demo", "two"]).expect(0);
        assert_eq!(what(&place), two, "at {moment} ms");
        let restore = state.start(&["restore", "--force", "demo", "one"]);
        thread::sleep(Duration::from_millis(moment));
        restore.kill();
        // Any command that takes the sandbox's lock.
        state.run(&["snapshot", "demo", "--remove", "none"]).expect(2).expect_output("has no snapshot none");
        let now = what(&place);
        assert!(now == one || now == two, "at {moment} ms: {now:?}");
        restored += usize::from(now == one);
        for left in ["disk.new", "restored.old", "disk/restored", "identity-before.json"] {
            assert!(!place.folder().join(left).exists(), "at {moment} ms: {left}");
        }
    }
    assert!(restored < MOMENTS.len(), "at least one was killed before it changed anything");
    state.run(&["restore", "--force", "demo", "one"]).expect(0);
    assert_eq!(what(&place), one);
    state.nothing_runs();
}

#[test]
fn a_killed_snapshot_is_complete_or_absent() {
    let Kept { state, place, .. } = kept();
    for moment in MOMENTS {
        begin(&place);
        let label = format!("at-{moment}");
        let snapshot = state.start(&["snapshot", "demo", &label]);
        thread::sleep(Duration::from_millis(moment));
        snapshot.kill();
        let listed = state.run(&["snapshot", "demo", "--list", "--json"]);
        let listed: serde_json::Value = serde_json::from_str(&listed.expect(0).stdout).unwrap();
        assert!(listed.as_array().unwrap().iter().all(|one| one["damage"].is_null()), "{listed}");
        state.run(&["snapshot", "demo", "next"]).expect(0);
        assert!(!place.folder().join("snapshots/.new").exists(), "at {moment} ms");
        state.run(&["snapshot", "demo", "--remove", "next"]).expect(0);
    }
    state.nothing_runs();
}

#[test]
fn a_full_disk_fails_snapshot_and_restore_without_loss() {
    let Kept { state, .. } = kept();
    let script = r#"
        sandbox="$RAVE_STATE/sandboxes/demo"
        state() { (cd "$sandbox"; find disk workspace snapshots identity*.json -type f | sort | xargs sha256sum); }
        before=$(state)
        cat /dev/zero > "$RAVE_STATE/filler" 2>/dev/null || true
        if "$RAVE" snapshot demo three; then echo "a snapshot was taken on a full disk"; exit 9; fi
        if "$RAVE" restore --force demo one; then echo "a snapshot was restored on a full disk"; exit 9; fi
        test "$before" = "$(state)"
        test ! -e "$sandbox/disk.new" && test ! -e "$sandbox/snapshots/.new"
        rm "$RAVE_STATE/filler"
        "$RAVE" restore --force demo one
        test "$(cat "$sandbox/identity.json")" = one
    "#;
    let done = rave_testing::or_skip!(in_room(&state, script));
    done.expect(0).expect_output("No space left on device").expect_output("not enough disk space");
    state.nothing_runs();
}

#[test]
fn forks_whose_machines_exit_are_reported_and_removed() {
    let state = State::new();
    let place = state.make("demo", &SSH);
    begin(&place);
    let fork = thread::scope(|scope| {
        let fork = scope.spawn(|| state.run(&["fork", "demo", "left", "right"]));
        for name in ["left", "right"] {
            let mut qemu = None;
            wait_until("it boots to its barrier", || {
                let rows = state.rows();
                let row = rows.iter().find(|row| row["name"] == name);
                qemu = row.and_then(|row| row["qemu"].as_u64()).or(qemu);
                qemu.is_some() || fork.is_finished()
            });
            kill("KILL", pid(&qemu.into()));
        }
        fork.join().unwrap()
    });
    fork.expect(3)
        .expect_output("the fork left was not made")
        .expect_output("right: ")
        .expect_output("no fork was made");
    let names: Vec<String> = state.rows().iter().map(|row| row["name"].to_string()).collect();
    assert_eq!(names, ["\"demo\""]);
    state.nothing_runs();
}
