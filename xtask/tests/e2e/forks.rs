//! Forks and snapshots of a sandbox with the real headless image: they resume with its memory, as independent machines.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use camino::Utf8Path;
use rave_vm::qmp::Client;
use serde_json::{Value, json};

use crate::command::signal;
use crate::named_sandboxes::Sandboxes;
use crate::tool::{DEADLINE, finish, wait_until};

/// Counts in the guest's memory until it is killed.
const COUNT: &str = "rm -f /dev/shm/count; (n=0; while :; do n=$((n+1)); echo $n > /dev/shm/count.new; \
     mv /dev/shm/count.new /dev/shm/count; sleep 0.2; done) > /dev/null 2>&1 < /dev/null &";

/// The machine's identity, one line each.
const OWN: &str = "cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub";

/// Restores a sandbox to a snapshot with memory. If it boots instead, it says why: that is a different fault than
/// losing the memory's content.
fn restore(sandboxes: &Sandboxes, name: &str, label: &str) {
    let done = sandboxes.run(&["restore", name, label]);
    done.expect_code(0).expect_said(&format!("{name} continues from {label}"));
    assert_eq!(sandboxes.origin(name), "moment");
}

fn count(sandboxes: &Sandboxes, name: &str) -> u64 {
    sandboxes.text(name, "cat /dev/shm/count").parse().unwrap()
}

fn kill(sandboxes: &Sandboxes, name: &str, of: &str) {
    let row = sandboxes.row(name);
    let pid = if of == "qemu" { &row["qemu"] } else { &row["status"][of] };
    signal("KILL", u32::try_from(pid.as_u64().unwrap()).unwrap());
}

/// Entries of the sandboxes' folder that are not sandboxes.
fn left(sandboxes: &Sandboxes) -> Vec<PathBuf> {
    let entries = fs::read_dir(sandboxes.place.path("state/sandboxes")).unwrap().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| !path.join("record.json").exists()).collect()
}

#[test]
#[ignore = "it takes minutes: cargo xtask test matrix"]
fn forks_go_on_with_the_parents_memory_as_machines_of_their_own() {
    let sandboxes = &Sandboxes::new();
    finish(&sandboxes.up("demo")).expect_code(0);
    sandboxes.text("demo", &format!("echo of the parent > /home/agent/file; {COUNT}"));

    let made = sandboxes.json(&["fork", "demo", "one", "two", "--json"]);
    assert_eq!(made.as_array().unwrap().len(), 2, "{made}");
    let origins: Vec<&Value> = made.as_array().unwrap().iter().map(|one| &one["status"]["origin"]).collect();
    assert_eq!(origins, ["moment", "moment"], "{made}");
    for name in ["one", "two"] {
        assert_eq!(sandboxes.text(name, "cat /home/agent/file"), "of the parent");
        assert_eq!(sandboxes.origin(name), "moment");
        assert_eq!(sandboxes.row(name)["record"]["parent"]["name"], "demo");
    }
    for name in ["demo", "one", "two"] {
        let before = count(sandboxes, name);
        wait_until("it counts on", || count(sandboxes, name) > before);
    }
    differ(sandboxes);

    sandboxes.text("one", "echo of one > /home/agent/file; echo memory > /dev/shm/mine");
    for name in ["demo", "two"] {
        assert_eq!(
            sandboxes.text(name, "cat /home/agent/file; ls /dev/shm/mine 2> /dev/null; true"),
            "of the parent"
        );
    }
    sandboxes.run(&["fork", "demo", "one"]).expect_code(2).expect_said("the sandbox one already exists");
    sandboxes.run(&["fork", "demo", "a/b"]).expect_code(2).expect_said("not a name for a sandbox");
    assert!(left(sandboxes).is_empty(), "{:?}", left(sandboxes));

    snapshots(sandboxes);
    fenced(sandboxes);
    // The fork does not depend on the parent.
    sandboxes.run(&["rm", "--force", "demo"]).expect_code(0);
    assert_eq!(sandboxes.text("two", "cat /home/agent/file"), "of the parent");
    let own = sandboxes.text("two", OWN);
    sandboxes.run(&["stop", "two"]).expect_code(0);
    disk_alone(sandboxes, &own);
    sandboxes.run(&["start", "two"]).expect_code(0);
    assert_eq!(sandboxes.text("two", "cat /home/agent/file; hostname"), "of the parent\ntwo");
    killed(sandboxes);
}

/// Forks share their processes' memory, but none of this.
fn differ(sandboxes: &Sandboxes) {
    for (what, script) in [
        ("machine-id", "cat /etc/machine-id"),
        ("host name", "hostname"),
        ("host key", "cat /etc/ssh/ssh_host_ed25519_key.pub"),
        ("random bytes", "head -c 32 /dev/urandom | od -An -tx1"),
    ] {
        let mut all: Vec<String> =
            ["demo", "one", "two"].into_iter().map(|name| sandboxes.text(name, script)).collect();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 3, "{what}: {all:?}");
    }
    for name in ["one", "two"] {
        assert_eq!(sandboxes.text(name, "hostname"), name);
        assert_eq!(
            sandboxes.row(name)["identity"]["machine_id"],
            sandboxes.text(name, "cat /etc/machine-id")
        );
        wait_until("it accepts SSH with its own keys", || {
            sandboxes.run(&["ssh", name, "hostname"]).stdout.trim() == name
        });
    }
    let boot = |name| sandboxes.text(name, "cat /proc/sys/kernel/random/boot_id");
    assert_eq!(boot("demo"), boot("one"), "it is the same boot");
}

fn snapshots(sandboxes: &Sandboxes) {
    sandboxes.run(&["snapshot", "one", "../x"]).expect_code(2).expect_said("not a name for a snapshot");
    sandboxes.run(&["snapshot", "one", &"a".repeat(64)]).expect_code(2);
    sandboxes.run(&["snapshot", "one", "good"]).expect_code(0);
    sandboxes.run(&["snapshot", "one", "good"]).expect_said("already has a snapshot good");
    let listed = sandboxes.json(&["snapshot", "one", "--list", "--json"]);
    assert_eq!((&listed[0]["label"], &listed[0]["saved"]), (&Value::from("good"), &Value::from("memory")));
    let before = count(sandboxes, "one");
    sandboxes.text("one", "echo changed > /home/agent/file; rm /dev/shm/mine; pkill -f 'count[.]new'; true");
    sandboxes.run(&["restore", "one", "none"]).expect_said("has no snapshot none");
    restore(sandboxes, "one", "good");
    assert_eq!(sandboxes.text("one", "cat /home/agent/file /dev/shm/mine; hostname"), "of one\nmemory\none");
    wait_until("what was killed counts on", || count(sandboxes, "one") > before);

    // Damage is reported before anything is lost.
    let memory = sandboxes.place.path("state/sandboxes/one/snapshots/good/memory");
    fs::remove_file(memory).unwrap();
    sandboxes.run(&["restore", "one", "good"]).expect_said("is damaged");
    assert_eq!(sandboxes.text("one", "cat /home/agent/file"), "of one");
    sandboxes.run(&["snapshot", "one", "--remove", "good"]).expect_code(0);
    assert!(sandboxes.json(&["snapshot", "one", "--list", "--json"]).as_array().unwrap().is_empty());
}

/// A QEMU that was compromised after a snapshot cannot write files that others depend on, neither by opening them nor
/// through open files.
fn fenced(sandboxes: &Sandboxes) {
    for (name, label) in [("demo", "first"), ("demo", "second"), ("one", "first")] {
        sandboxes.run(&["snapshot", name, label]).expect_code(0);
    }
    for name in ["demo", "one"] {
        let pid = sandboxes.row(name)["qemu"].as_u64().unwrap();
        assert!(
            fs::read_to_string(format!("/proc/{pid}/status")).unwrap().contains("Seccomp:\t2"),
            "{name}: no fence"
        );
        for (path, about) in writable(pid) {
            assert!(
                about.nlink() <= 1,
                "{name}: QEMU may write {}, which has {} names",
                path.display(),
                about.nlink()
            );
        }
        // QEMU serves one client at a time.
        kill(sandboxes, name, "supervisor");
        let folder = sandboxes.place.path("state/sandboxes").join(name);
        let socket = folder.join("run/qmp.sock");
        let mut qemu = Client::connect(Utf8Path::from_path(&socket).unwrap(), DEADLINE).unwrap();
        let mut open = |file: &Path, read_only: bool| {
            let file =
                json!({ "driver": "file", "filename": file, "locking": "off", "read-only": read_only });
            let node = json!({ "driver": "raw", "node-name": "tried", "read-only": read_only, "file": file });
            let opened = qemu.execute("blockdev-add", node, DEADLINE).is_ok();
            if opened {
                qemu.execute("blockdev-del", json!({ "node-name": "tried" }), DEADLINE).unwrap();
            }
            opened
        };
        let disks = fs::read_dir(folder.join("disk")).unwrap().flatten().map(|entry| entry.path());
        let frozen: Vec<PathBuf> =
            disks.filter(|path| fs::metadata(path).unwrap().mode() & 0o777 == 0o400).collect();
        assert!(frozen.len() >= 2, "{name}: {frozen:?}");
        for file in &frozen {
            assert!(open(file, true), "{name}: it lies on {}", file.display());
            assert!(!open(file, false), "{name}: it may write {}", file.display());
        }
        assert!(!open(&folder.join("snapshots/first/memory"), true), "{name}: it may read a snapshot");
    }
    // A new supervisor knows the disk; a program waits for the session with the guest, a snapshot does not.
    sandboxes.text("demo", "true");
    sandboxes.run(&["snapshot", "demo", "third"]).expect_code(0);
    restore(sandboxes, "one", "first");
    assert_eq!(sandboxes.text("one", "cat /home/agent/file"), "of one");
}

/// The files that a process has open for writing.
fn writable(pid: u64) -> Vec<(PathBuf, fs::Metadata)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
    let opened = entries.filter_map(|entry| {
        let number = entry.file_name();
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", number.to_str()?)).ok()?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim().to_owned();
        // The lowest two bits are the access mode, open(2).
        let is_written = u32::from_str_radix(&flags, 8).ok()? & 3 != 0;
        let about = fs::metadata(entry.path()).ok()?;
        (is_written && about.is_file()).then(|| (fs::read_link(entry.path()).unwrap_or_default(), about))
    });
    opened.collect()
}

/// A stopped sandbox is forked with its disk; the fork has its own identity before it starts anything.
fn disk_alone(sandboxes: &Sandboxes, parents: &str) {
    let forked = sandboxes.run(&["fork", "two", "three"]);
    forked.expect_code(0).expect_said("only its disk is saved");
    assert_eq!(sandboxes.text("three", "cat /home/agent/file; hostname"), "of the parent\nthree");
    let own = sandboxes.text("three", OWN);
    assert!(own.lines().all(|line| !parents.contains(line)) && own.lines().count() == 2, "{own} {parents}");
    sandboxes.run(&["rm", "--force", "three"]).expect_code(0);
}

/// Whichever process is killed during a fork, the parent continues or can be started, and the next command needs no
/// cleanup.
fn killed(sandboxes: &Sandboxes) {
    sandboxes.text("two", &format!("echo kept > /home/agent/file; sync; {COUNT}"));
    // The command: its supervisor finishes what it began.
    let fork = sandboxes.place.xtask(&["fork", "two", "four"]).start_until("");
    wait_until("it is being saved", || left(sandboxes).iter().any(|path| path.join("memory").exists()));
    fork.signal("KILL");
    fork.wait();
    wait_until("the parent runs programs", || {
        sandboxes.run(&["exec", "two", "--", "cat", "file"]).stdout == "kept\n"
    });
    sandboxes.run(&["rm", "--force", "four"]);
    // The supervisor.
    let fork = sandboxes.place.xtask(&["fork", "two", "five"]).start_until("");
    wait_until("it is being saved", || left(sandboxes).iter().any(|path| path.join("memory").exists()));
    kill(sandboxes, "two", "supervisor");
    fork.wait();
    let before = count(sandboxes, "two");
    wait_until("the parent counts on", || count(sandboxes, "two") > before);
    // QEMU.
    let fork = sandboxes.place.xtask(&["fork", "two", "six"]).start_until("");
    wait_until("it is being saved", || left(sandboxes).iter().any(|path| path.join("memory").exists()));
    kill(sandboxes, "two", "qemu");
    fork.wait();
    sandboxes.run(&["start", "two"]).expect_code(0);
    assert_eq!(sandboxes.text("two", "cat /home/agent/file"), "kept");
    sandboxes.run(&["fork", "two"]).expect_code(0).expect_said("two-1 continues from here");
    assert_eq!(sandboxes.row("two-1")["status"]["origin"], "moment");
    assert_eq!(sandboxes.text("two-1", "cat /home/agent/file; hostname"), "kept\ntwo-1");
}
