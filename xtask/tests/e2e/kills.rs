//! SIGKILL of a command, of a supervisor and of QEMU at every stage of operations on sandboxes of the real headless
//! image: `ps` reports the real state, nothing runs that it does not show, no port stays in use, and the next command
//! needs no manual cleanup.

mod moment;
mod stand;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use moment::Moment::{self, After, Gone, Made};
use stand::Stand;

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
    (Made("new/lock"), &[Command]),
    (Made("new/disk/base.qcow2"), &[Command]),
    (Made("new/ssh-key"), &[Command]),
    (Made("new/network.json"), &[Command]),
    (Made("new/record.json"), &[Command]),
    (Made("new/supervisor.lock"), &[Command, Supervisor]),
    (Made("new/run/qmp.sock"), ALL),
    (Made("new/run/instance.json"), ALL),
    (Made("new/identity.json"), ALL),
    (Made("new/ctl.sock"), ALL),
    (Made("new/workspace/base.json"), ALL),
];

const FORK: Stages = &[
    (Made(".moment-*"), ALL),
    (Made(".moment-*/memory"), ALL),
    (Made(".moment-*/devices"), ALL),
    (Made(".moment-*/moment.json"), ALL),
    (Made("new/fork.json"), &[Command]),
    (Made("new/record.json"), ALL),
];

const GOING_ON: Stages = &[
    (Made("new/run/qmp.sock"), ALL),
    (Made("new/run/instance.json"), ALL),
    (Made("new/identity.json"), ALL),
    (Made("new/ctl.sock"), ALL),
];

const SNAPSHOT: Stages = &[
    (Made("demo/snapshots/.new*"), ALL),
    (Made("demo/snapshots/.new*/memory"), ALL),
    (Made("demo/snapshots/.new*/devices"), ALL),
    (Made("demo/snapshots/.new*/moment.json"), ALL),
    (Made("demo/snapshots/kept"), ALL),
];

const RESTORE: Stages = &[
    (Made("demo/disk.new"), ALL),
    (Made("demo/disk.new/restored/identity.json"), ALL),
    (Made("demo/end.json"), &[Command, Supervisor]),
    (Gone("demo/ctl.sock"), &[Command]),
    (Gone("demo/disk.new"), &[Command]),
    (Made("demo/run/instance.json"), ALL),
    (Made("demo/identity.json"), ALL),
    (Made("demo/ctl.sock"), ALL),
];

const RM: Stages = &[
    (After(0), ALL),
    (Made("demo/end.json"), &[Command, Supervisor]),
    (Gone("demo/ctl.sock"), &[Command]),
    (Made(".removed-*"), &[Command]),
    (Gone("demo/record.json"), &[Command]),
];

const STOP: Stages =
    &[(After(500), ALL), (After(3000), ALL), (Made("demo/end.json"), &[Command, Supervisor])];

const START: Stages = &[
    (Gone("demo/end.json"), &[Command, Supervisor]),
    (Made("demo/run/instance.json"), ALL),
    (Made("demo/ctl.sock"), ALL),
];

const APPLY: Stages = &[
    (Made("demo/workspace/pull.json"), ALL),
    (Made("demo/workspace/apply.json"), ALL),
    (Made("../../project/a"), &[Command]),
    (Made("../../project/z"), &[Command]),
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
    let mut stand = Stand::new();
    let mut is_removed = false;
    everywhere(&[UP], 4000, |moment, victim| {
        stand.kill(&["up", "new"], "new", moment, victim);
        is_removed = !is_removed;
        if is_removed && stand.state("new").is_some() {
            stand.succeeds(&["rm", "--force", "new"]);
        }
        stand.succeeds(&["up", "new"]);
        assert_eq!(stand.text("new", "hostname; cat work/new/a"), "new\nof the host");
        stand.nothing_is_left();
        stand.succeeds(&["rm", "--force", "new"]);
        stand.nothing_is_left();
    });
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_rm_removes_or_leaves_a_removable_sandbox() {
    let mut stand = Stand::new();
    everywhere(&[RM], 500, |moment, victim| {
        stand.succeeds(&["up", "demo"]);
        stand.kill(&["rm", "--force", "demo"], "demo", moment, victim);
        if stand.state("demo").is_some() {
            stand.succeeds(&["rm", "--force", "demo"]);
        }
        stand.succeeds(&["prune", "--yes"]);
        stand.nothing_is_left();
    });
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_stop_loses_no_flushed_data() {
    let mut stand = Stand::with_demo();
    everywhere(&[STOP], 4000, |moment, victim| {
        stand.text("demo", "echo flushed > flushed; sync");
        stand.kill(&["stop", "demo"], "demo", moment, victim);
        stand.succeeds(&["stop", "demo"]);
        assert!(["stopped", "crashed"].contains(&stand.state("demo").unwrap().as_str()));
        stand.succeeds(&["start", "demo"]);
        assert_eq!(stand.text("demo", "cat flushed; rm flushed"), "flushed");
        stand.nothing_is_left();
    });
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_start_is_resumed_by_the_next() {
    let mut stand = Stand::with_demo();
    everywhere(&[START], 4000, |moment, victim| {
        stand.succeeds(&["stop", "--timeout", "1s", "demo"]);
        stand.kill(&["start", "demo"], "demo", moment, victim);
        stand.succeeds(&["start", "demo"]);
        assert_eq!(stand.text("demo", "cat disk; hostname"), "disk\ndemo");
        stand.nothing_is_left();
    });
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_fork_harms_neither_its_parent_nor_the_next_fork() {
    let mut stand = Stand::with_demo();
    let mut case = |of: &str, moment, victim| {
        stand.kill(&["fork", "demo", "new"], of, moment, victim);
        stand.goes_on("demo", of != "demo" || victim != Qemu);
        if stand.state("new").is_some() {
            stand.succeeds(&["rm", "--force", "new"]);
        }
        stand.succeeds(&["fork", "demo", "new"]);
        assert_eq!(stand.text("new", "cat disk /dev/shm/memory; hostname"), "disk\nmemory\nnew");
        stand.succeeds(&["rm", "--force", "new"]);
        stand.nothing_is_left();
    };
    everywhere(&[FORK], 2000, |moment, victim| case("demo", moment, victim));
    everywhere(&[GOING_ON], 2000, |moment, victim| case("new", moment, victim));
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_snapshot_of_a_running_sandbox_is_complete_or_absent() {
    let mut stand = Stand::with_demo();
    everywhere(&[SNAPSHOT], 2000, |moment, victim| {
        stand.kill(&["snapshot", "demo", "kept"], "demo", moment, victim);
        if victim == Qemu {
            stand.goes_on("demo", false);
        }
        // Not immediately: the process that saves it for the killed command may still be working.
        stand.succeeds(&["snapshot", "demo", "next"]);
        for (label, saved) in stand.snapshots() {
            assert_eq!(saved.as_deref(), Some("memory"), "{label}");
            if label == "kept" {
                stand.succeeds(&["restore", "--force", "demo", "kept"]);
            }
            if label != "base" {
                stand.succeeds(&["snapshot", "demo", "--remove", &label]);
            }
        }
        stand.goes_on("demo", true);
        stand.nothing_is_left();
    });
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_restore_of_a_running_sandbox_is_complete_or_absent() {
    let mut stand = Stand::with_demo();
    everywhere(&[RESTORE], 3000, |moment, victim| {
        stand.text("demo", "echo later > disk; sync");
        stand.kill(&["restore", "--force", "demo", "base"], "demo", moment, victim);
        stand.succeeds(&["start", "demo"]);
        let disk = stand.text("demo", "cat disk");
        assert!(["disk", "later"].contains(&disk.as_str()), "{disk}");
        stand.succeeds(&["restore", "--force", "demo", "base"]);
        assert_eq!(stand.text("demo", "cat disk /dev/shm/memory"), "disk\nmemory");
        stand.nothing_is_left();
    });
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn a_killed_apply_is_completed_by_the_next() {
    let mut stand = Stand::with_demo();
    let mut turn = 0;
    everywhere(&[APPLY], 3000, |moment, victim| {
        turn += 1;
        let (old, new) = (stand.read("a"), format!("{turn} of the guest\n"));
        stand.text("demo", &format!("cd work/demo; echo {turn} of the guest | tee a > z; sync"));
        stand.kill(&["apply", "demo"], "demo", moment, victim);
        for file in ["a", "z"] {
            let now = stand.read(file);
            assert!(now == old || now == new, "{file} is {now}");
        }
        if victim == Qemu {
            stand.succeeds(&["start", "demo"]);
        }
        stand.succeeds(&["apply", "demo"]);
        assert_eq!((stand.read("a"), stand.read("z")), (new.clone(), new));
        stand.nothing_is_left();
    });
}
