//! SIGKILL of a command, of a supervisor and of QEMU at every stage of operations on sandboxes of the real headless
//! image: `ps` reports the real state, nothing runs that it does not show, no port stays in use, and the next command
//! needs no manual cleanup.

mod moment;
mod scene;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use moment::Moment::{self, After, Created, Removed};
use scene::Scene;

/// The process to kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Command,
    Supervisor,
    Qemu,
}

use Victim::{Command, Qemu, Supervisor};

const ALL: &[Victim] = &[Command, Supervisor, Qemu];

/// Moments, with the processes that exist then.
type Stages = &'static [(Moment, &'static [Victim])];

const UP: Stages = &[
    (Created("new/lock"), &[Command]),
    (Created("new/disk/base.qcow2"), &[Command]),
    (Created("new/ssh-key"), &[Command]),
    (Created("new/network.json"), &[Command]),
    (Created("new/record.json"), &[Command]),
    (Created("new/supervisor.lock"), &[Command, Supervisor]),
    (Created("new/run/qmp.sock"), ALL),
    (Created("new/run/instance.json"), ALL),
    (Created("new/identity.json"), ALL),
    (Created("new/ctl.sock"), ALL),
    (Created("new/workspace/base.json"), ALL),
];

const FORK: Stages = &[
    (Created(".moment-*"), ALL),
    (Created(".moment-*/memory"), ALL),
    (Created(".moment-*/devices"), ALL),
    (Created(".moment-*/moment.json"), ALL),
    (Created("new/fork.json"), &[Command]),
    (Created("new/record.json"), ALL),
];

const RESUME: Stages = &[
    (Created("new/run/qmp.sock"), ALL),
    (Created("new/run/instance.json"), ALL),
    (Created("new/identity.json"), ALL),
    (Created("new/ctl.sock"), ALL),
];

const SNAPSHOT: Stages = &[
    (Created("demo/snapshots/.new*"), ALL),
    (Created("demo/snapshots/.new*/memory"), ALL),
    (Created("demo/snapshots/.new*/devices"), ALL),
    (Created("demo/snapshots/.new*/moment.json"), ALL),
    (Created("demo/snapshots/kept"), ALL),
];

const RESTORE: Stages = &[
    (Created("demo/disk.new"), ALL),
    (Created("demo/disk.new/restored/identity.json"), ALL),
    (Created("demo/end.json"), &[Command, Supervisor]),
    (Removed("demo/ctl.sock"), &[Command]),
    (Removed("demo/disk.new"), &[Command]),
    (Created("demo/run/instance.json"), ALL),
    (Created("demo/identity.json"), ALL),
    (Created("demo/ctl.sock"), ALL),
];

const RM: Stages = &[
    (After(0), ALL),
    (Created("demo/end.json"), &[Command, Supervisor]),
    (Removed("demo/ctl.sock"), &[Command]),
    (Created(".removed-*"), &[Command]),
    (Removed("demo/record.json"), &[Command]),
];

const STOP: Stages =
    &[(After(500), ALL), (After(3000), ALL), (Created("demo/end.json"), &[Command, Supervisor])];

const START: Stages = &[
    (Removed("demo/end.json"), &[Command, Supervisor]),
    (Created("demo/run/instance.json"), ALL),
    (Created("demo/ctl.sock"), ALL),
];

const APPLY: Stages = &[
    (Created("demo/workspace/pull.json"), ALL),
    (Created("demo/workspace/apply.json"), ALL),
    (Created("../../project/a"), &[Command]),
    (Created("../../project/z"), &[Command]),
];

/// Additional kills of each command at random moments.
const BY_CHANCE: usize = 3;

/// Random numbers; the seed is printed.
struct Chance(u64);

impl Chance {
    /// Seeded with `KILLS_SEED`, or differently each time.
    fn new() -> Self {
        let given = std::env::var("KILLS_SEED").ok().map(|seed| seed.parse().expect("a number"));
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let seed = given.unwrap_or_else(clock);
        eprintln!("KILLS_SEED={seed}");
        Self(seed)
    }

    /// A number below `most`, by `splitmix64`.
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }
}

/// Kills each victim at each stage, and then random victims at random moments in the first `usual` milliseconds.
/// `KILLS_ONLY` selects cases by a part of their text, such as `Qemu` or `memory`, to investigate a failure.
fn everywhere(stages: &[Stages], usual: u64, mut case: impl FnMut(Moment, Victim)) {
    let each = |(moment, victims): &(Moment, &'static [Victim])| {
        victims.iter().map(|victim| (*moment, *victim)).collect()
    };
    let mut cases: Vec<(Moment, Victim)> =
        stages.iter().copied().flatten().flat_map::<Vec<_>, _>(each).collect();
    let mut chance = Chance::new();
    for turn in 0..BY_CHANCE {
        cases.push((After(chance.below(usual)), ALL[turn % ALL.len()]));
    }
    let only = std::env::var("KILLS_ONLY").unwrap_or_default();
    for (moment, victim) in cases {
        if format!("{victim:?} at {moment:?}").contains(&only) {
            case(moment, victim);
        }
    }
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_up_leaves_nothing_or_can_be_resumed() {
    let mut scene = Scene::new();
    let mut is_removed = false;
    everywhere(&[UP], 4000, |moment, victim| {
        scene.kill(&["up", "new"], "new", moment, victim);
        is_removed = !is_removed;
        if is_removed && scene.state("new").is_some() {
            scene.succeeds(&["rm", "--force", "new"]);
        }
        scene.succeeds(&["up", "new"]);
        assert_eq!(scene.text("new", "hostname; cat work/new/a"), "new\nof the host");
        scene.assert_nothing_left();
        scene.succeeds(&["rm", "--force", "new"]);
        scene.assert_nothing_left();
    });
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_rm_removes_or_leaves_a_removable_sandbox() {
    let mut scene = Scene::new();
    everywhere(&[RM], 500, |moment, victim| {
        scene.succeeds(&["up", "demo"]);
        scene.kill(&["rm", "--force", "demo"], "demo", moment, victim);
        if scene.state("demo").is_some() {
            scene.succeeds(&["rm", "--force", "demo"]);
        }
        scene.succeeds(&["prune", "--yes"]);
        scene.assert_nothing_left();
    });
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_stop_loses_no_flushed_data() {
    let mut scene = Scene::with_demo();
    everywhere(&[STOP], 4000, |moment, victim| {
        scene.text("demo", "echo flushed > flushed; sync");
        scene.kill(&["stop", "demo"], "demo", moment, victim);
        scene.succeeds(&["stop", "demo"]);
        assert!(["stopped", "crashed"].contains(&scene.state("demo").unwrap().as_str()));
        scene.succeeds(&["start", "demo"]);
        assert_eq!(scene.text("demo", "cat flushed; rm flushed"), "flushed");
        scene.assert_nothing_left();
    });
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_start_is_resumed_by_the_next() {
    let mut scene = Scene::with_demo();
    everywhere(&[START], 4000, |moment, victim| {
        scene.succeeds(&["stop", "--timeout", "1s", "demo"]);
        scene.kill(&["start", "demo"], "demo", moment, victim);
        scene.succeeds(&["start", "demo"]);
        assert_eq!(scene.text("demo", "cat disk; hostname"), "disk\ndemo");
        scene.assert_nothing_left();
    });
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_fork_harms_neither_its_parent_nor_the_next_fork() {
    let mut scene = Scene::with_demo();
    let mut forks = 0;
    let mut case = |scene: &mut Scene, of: &str, moment, victim| {
        // Every fork freezes a layer of the disk, and a machine has a limited number of them.
        forks += 2;
        if forks % 16 == 0 {
            scene.succeeds(&["restore", "--force", "demo", "base"]);
        }
        scene.kill(&["fork", "demo", "new"], of, moment, victim);
        scene.continues("demo", of != "demo" || victim != Qemu);
        if scene.state("new").is_some() {
            scene.succeeds(&["rm", "--force", "new"]);
        }
        scene.succeeds(&["fork", "demo", "new"]);
        assert_eq!(scene.text("new", "cat disk /dev/shm/memory; hostname"), "disk\nmemory\nnew");
        scene.succeeds(&["rm", "--force", "new"]);
        scene.assert_nothing_left();
    };
    everywhere(&[FORK], 2000, |moment, victim| case(&mut scene, "demo", moment, victim));
    everywhere(&[RESUME], 2000, |moment, victim| case(&mut scene, "new", moment, victim));
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_snapshot_of_a_running_sandbox_is_complete_or_absent() {
    let mut scene = Scene::with_demo();
    everywhere(&[SNAPSHOT], 2000, |moment, victim| {
        scene.kill(&["snapshot", "demo", "kept"], "demo", moment, victim);
        if victim == Qemu {
            scene.continues("demo", false);
        }
        // Not immediately: the process that saves it for the killed command may still be working.
        scene.succeeds(&["snapshot", "demo", "next"]);
        for (label, saved) in scene.snapshots() {
            assert_eq!(saved.as_deref(), Some("memory"), "{label}");
            if label == "kept" {
                scene.succeeds(&["restore", "--force", "demo", "kept"]);
            }
            if label != "base" {
                scene.succeeds(&["snapshot", "demo", "--remove", &label]);
            }
        }
        scene.continues("demo", true);
        scene.assert_nothing_left();
    });
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_restore_of_a_running_sandbox_is_complete_or_absent() {
    let mut scene = Scene::with_demo();
    everywhere(&[RESTORE], 3000, |moment, victim| {
        scene.text("demo", "echo later > disk; sync");
        scene.kill(&["restore", "--force", "demo", "base"], "demo", moment, victim);
        scene.succeeds(&["start", "demo"]);
        let disk = scene.text("demo", "cat disk");
        assert!(["disk", "later"].contains(&disk.as_str()), "{disk}");
        scene.succeeds(&["restore", "--force", "demo", "base"]);
        assert_eq!(scene.text("demo", "cat disk /dev/shm/memory"), "disk\nmemory");
        scene.assert_nothing_left();
    });
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_apply_is_completed_by_the_next() {
    let mut scene = Scene::with_demo();
    let mut turn = 0;
    everywhere(&[APPLY], 3000, |moment, victim| {
        turn += 1;
        let (old, new) = (scene.read("a"), format!("{turn} of the guest\n"));
        scene.text("demo", &format!("cd work/demo; echo {turn} of the guest | tee a > z; sync"));
        scene.kill(&["apply", "demo"], "demo", moment, victim);
        for file in ["a", "z"] {
            let now = scene.read(file);
            assert!(now == old || now == new, "{file} is {now}");
        }
        if victim == Qemu {
            scene.succeeds(&["start", "demo"]);
        }
        scene.succeeds(&["apply", "demo"]);
        assert_eq!((scene.read("a"), scene.read("z")), (new.clone(), new));
        scene.assert_nothing_left();
    });
}
