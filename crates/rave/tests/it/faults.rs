//! The effects of killed processes, ports in use, foreign folders and full disks on sandboxes: `ps` reports the real
//! state, nothing runs that it does not show, no port stays in use, and the next command needs no manual cleanup.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::thread;
use std::time::Duration;

use duct::cmd;

use crate::sandbox::{Started, State, is_free, is_refused, kill, pid, port_of, wait_until, work};

const SSH: [(&str, u16, Option<u16>); 1] = [("ssh", 22, None)];

/// Starts a sandbox whose guest never answers, and kills the command that waits for it.
fn started(state: &State, name: &str) -> serde_json::Value {
    let start = state.start(&["start", name]);
    wait_until("it starts", || state.state_of(name) == "starting");
    start.kill();
    let row = state.row(name);
    assert_eq!(row["state"], "starting", "the sandbox outlives the command");
    row
}

#[test]
fn after_any_kill_ps_reports_the_real_state_and_the_next_command_works() {
    let state = State::new();
    state.make("demo", &SSH);
    let row = started(&state, "demo");
    let (port, qemu) = (port_of(&row), pid(&row["qemu"]));
    assert_eq!(row["ports"][0]["state"], "starting", "{row}");
    assert!(is_refused(port) && !is_free(port), "the sandbox has the port, which refuses so far");

    kill("KILL", pid(&row["status"]["supervisor"]));
    wait_until("nobody attends", || state.state_of("demo") == "unattended");
    wait_until("its port is free", || is_free(port));
    assert_eq!(state.row("demo")["ports"][0]["state"], "closed");
    let again = restart(&state);
    assert_eq!((pid(&again["qemu"]), port_of(&again)), (qemu, port), "the same machine on the same port");

    kill("KILL", qemu);
    wait_until("it crashed", || state.state_of("demo") == "crashed");
    state.nothing_runs();
    wait_until("its port is free", || is_free(port));

    // Both at once, as after a power failure.
    let row = started(&state, "demo");
    assert_eq!(port_of(&row), port, "the port stays the same");
    kill("KILL", pid(&row["status"]["supervisor"]));
    kill("KILL", pid(&row["qemu"]));
    wait_until("it crashed", || state.state_of("demo") == "crashed");
    state.run(&["rm", "demo"]).expect(0);
    assert!(state.rows().is_empty());
    state.nothing_runs();
}

/// A command that needs the supervisor starts a new one, and keeps waiting for the guest.
fn restart(state: &State) -> serde_json::Value {
    let start = state.start(&["start", "demo"]);
    wait_until("a supervisor attends it", || state.state_of("demo") == "starting");
    start.kill();
    state.row("demo")
}

#[test]
fn a_kill_during_start_leaves_nothing_that_ps_does_not_list() {
    let state = State::new();
    state.make("demo", &SSH);
    for moment in [0, 30, 60, 120, 250, 500, 1000] {
        let start = state.start(&["start", "demo"]);
        thread::sleep(Duration::from_millis(moment));
        start.kill();
        // The supervisor, wherever it is, but not the machine.
        let qemu = state.row("demo")["qemu"].as_u64();
        for process in state.processes() {
            if Some(u64::from(process)) != qemu {
                kill("KILL", process);
            }
        }
        wait_until("ps shows what runs, and nothing else runs", || {
            state.row("demo")["qemu"].is_null() == state.processes().is_empty()
        });
        let other = restart(&state);
        assert_eq!(other["state"], "starting", "at {moment} ms");
        kill("KILL", pid(&other["qemu"]));
        state.nothing_runs();
    }
    state.run(&["rm", "demo"]).expect(0);
}

#[test]
fn a_host_restart_leaves_a_crashed_sandbox_that_can_start() {
    let state = State::new();
    let place = state.make("demo", &SSH);
    let row = started(&state, "demo");
    for process in state.processes() {
        kill("KILL", process);
    }
    state.nothing_runs();
    // Leftovers suggest that it runs: its sockets, and a process id that was reused meanwhile.
    let files = place.machine();
    let record = files.run_dir.join("instance.json");
    let text = fs::read_to_string(&record).unwrap();
    let was = format!("\"pid\": {}", row["qemu"]);
    assert!(text.contains(&was), "{text}");
    fs::write(&record, text.replace(&was, &format!("\"pid\": {}", std::process::id()))).unwrap();
    assert!(files.qmp_socket.exists() && place.folder().join("ctl.sock").exists());

    let row = state.row("demo");
    assert_eq!((&row["state"], &row["qemu"], &row["status"]), (&"crashed".into(), &().into(), &().into()));
    assert_eq!(row["forwards"].as_array().unwrap().len(), 0);
    state.run(&["exec", "demo", "--", "true"]).expect(2).expect_output("is not running");
    started(&state, "demo");
    state.run(&["rm", "--force", "demo"]).expect(0);
    state.nothing_runs();
}

#[test]
fn a_logout_ends_no_sandbox() {
    let state = State::new();
    state.make("demo", &SSH);
    let start = state.start(&["start", "demo"]);
    wait_until("it starts", || state.state_of("demo") == "starting");
    // Sent by a shell to its jobs, and by the kernel to the foreground group of a closed terminal.
    cmd("kill", ["-HUP".to_owned(), "--".to_owned(), format!("-{}", start.id())]).run().unwrap();
    start.wait();
    let row = state.row("demo");
    assert_eq!(row["state"], "starting");
    for process in [&row["qemu"], &row["status"]["supervisor"]].map(pid) {
        let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        let fields: Vec<&str> = status.rsplit(')').next().unwrap().split_whitespace().collect();
        // Session and terminal, proc_pid_stat(5).
        assert!(fields[3] != start.id().to_string() && fields[4] == "0", "{status}");
    }
    state.run(&["rm", "--force", "demo"]).expect(0);
    state.nothing_runs();
}

#[test]
fn thirty_sandboxes_start_in_turn_with_distinct_ports() {
    let state = State::new();
    let names: Vec<String> = (0..30).map(|number| format!("s{number}")).collect();
    for name in &names {
        state.make(name, &[("ssh", 22, None), ("gateway", 80, None)]);
    }
    let mut starts: BTreeMap<&str, _> =
        names.iter().map(|name| (name.as_str(), state.start(&["start", name]))).collect();
    // Two per processor; their guests never answer, so a turn ends with its command.
    let most = 2 * thread::available_parallelism().unwrap().get();
    wait_until("all of them start", || {
        let rows = state.rows();
        let begun: Vec<_> = rows
            .iter()
            .filter(|row| row["state"] == "starting")
            .filter_map(|row| starts.remove(row["name"].as_str().unwrap()))
            .collect();
        assert!(begun.len() <= most, "{} start at once", begun.len());
        begun.iter().for_each(Started::kill);
        starts.is_empty()
    });
    let rows = state.rows();
    let ports: BTreeSet<u64> = rows
        .iter()
        .flat_map(|row| [0, 1].map(|port| row["forwards"][port]["host"].as_u64().unwrap()))
        .collect();
    assert_eq!((rows.len(), ports.len()), (30, 60));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    state.run(&[&["rm", "--force"], names.as_slice()].concat()).expect(0);
    assert!(state.rows().is_empty());
    state.nothing_runs();
}

#[test]
fn a_port_taken_meanwhile_is_replaced_or_an_error_with_its_owner() {
    let state = State::new();
    state.make("any", &SSH);
    let port = port_of(&started(&state, "any"));
    for process in state.processes() {
        kill("KILL", process);
    }
    state.nothing_runs();
    // A process that ends is out of /proc/PID/cmdline before the kernel closes its files.
    let mut taker = None;
    wait_until("its port is free", || {
        taker = TcpListener::bind(("127.0.0.1", port)).ok();
        taker.is_some()
    });
    assert_ne!(port_of(&started(&state, "any")), port);

    state.make("fixed", &[("ssh", 22, Some(port))]);
    let refused = state.run(&["start", "fixed"]);
    refused
        .expect(3)
        .expect_output(&format!("port {port} for ssh is taken by process {}", std::process::id()));
    assert_eq!(state.state_of("fixed"), "stopped");
    drop(taker);
    assert_eq!(port_of(&started(&state, "fixed")), port);
    state.run(&["rm", "--force", "any", "fixed"]).expect(0);
    state.nothing_runs();
}

#[test]
fn invalid_names_and_folders_of_other_users_are_refused() {
    let state = State::new();
    let long = "a".repeat(64);
    for name in ["../demo", "/tmp", "a/b", ".", "Demo", &long] {
        for command in ["start", "stop", "rm"] {
            state.run(&[command, name]).expect(2).expect_output("is not a name for a sandbox");
        }
    }
    let place = state.make("demo", &SSH);
    if chown(place.folder(), Some(65_534), None).is_err() {
        rave_testing::skip!("only root can give a folder away");
    }
    for command in ["start", "rm"] {
        state.run(&[command, "demo"]).expect(3).expect_output("belongs to another user (uid 65534)");
    }
    chown(state.path().join("sandboxes"), Some(65_534), None).unwrap();
    state.run(&["ps"]).expect(3).expect_output("belongs to another user");
}

#[test]
fn an_unknown_sandbox_is_reported_once_with_a_remedy() {
    let state = State::new();
    for command in [
        &["exec", "demo", "--", "true"][..],
        &["cp", "demo:a", "b"],
        &["cp", "a", "demo:b"],
        &["diff", "demo"],
        &["fork", "demo"],
        &["restore", "demo", "one"],
        &["logs", "demo"],
        &["inspect", "demo"],
    ] {
        let done = state.run(command);
        done.expect(2).expect_output("sandbox demo").expect_output("ps --all");
        assert!(!done.stderr.contains("warning:"), "{}", done.stderr);
    }
}

#[test]
fn sandboxes_of_an_older_version_are_listed_and_removable() {
    let state = State::new();
    let place = state.make("demo", &SSH);
    let file = place.folder().join("record.json");
    let record = fs::read_to_string(&file).unwrap();
    fs::write(&file, record.replace("\"schema\": 1", "\"schema\": 0")).unwrap();
    let listed = state.run(&["ps", "--all"]);
    assert!(listed.expect(0).stdout.contains("unreadable"), "{}", listed.stdout);
    state.run(&["start", "demo"]).expect(3).expect_output("its schema is Some(0)");
    state.run(&["rm", "demo"]).expect(3).expect_output("rm --force");
    state.run(&["rm", "--force", "demo"]).expect(0);
    assert!(state.rows().is_empty());
}

/// Runs programs in a namespace with a small file system at the state folder's `sandboxes`.
const ROOM: &str = "mount -t tmpfs -o mode=700,size=2m none \"$RAVE_STATE/room\" && mkdir -m 700 \"$RAVE_STATE/room/sandboxes\" && \
     cp -a \"$RAVE_STATE/sandboxes/.\" \"$RAVE_STATE/room/sandboxes/\" && export RAVE_STATE=\"$RAVE_STATE/room\" && ";

/// Runs a script there; an error if this host has no user namespaces.
pub(crate) fn in_room(state: &State, script: &str) -> Result<crate::sandbox::Done, &'static str> {
    let spaces = ["unshare", "--user", "--map-root-user", "--mount"];
    if state.shell(&spaces, "true").code != Some(0) {
        return Err("this host allows no user namespaces");
    }
    fs::create_dir_all(state.path().join("room")).unwrap();
    Ok(state.shell(&spaces, &format!("set -e; {ROOM}{script}")))
}

#[test]
fn a_full_disk_is_reported_and_existing_data_is_kept() {
    let state = State::new();
    state.make("demo", &SSH);
    let script = r#"
        sandbox="$RAVE_STATE/sandboxes/demo"
        "$RAVE" net demo allow one.example
        before=$(sha256sum "$sandbox"/*.json)
        cat /dev/zero > "$RAVE_STATE/filler" 2>/dev/null || true
        if "$RAVE" net demo allow two.example; then echo "a rule was added on a full disk"; exit 9; fi
        if "$RAVE" start demo; then echo "a sandbox started on a full disk"; exit 9; fi
        test "$before" = "$(sha256sum "$sandbox"/[!f]*.json)"
        "$RAVE" ps --all | grep -E 'demo +(stopped|crashed)'
        rm "$RAVE_STATE/filler"
        "$RAVE" net demo allow two.example
        "$RAVE" net demo show | grep one.example
        "$RAVE" rm demo
        test -z "$("$RAVE" ps --all --json | grep name)"
    "#;
    let done = rave_testing::or_skip!(in_room(&state, script));
    done.expect(0).expect_output("No space left on device");
    state.nothing_runs();
}

#[test]
fn a_read_only_state_folder_can_be_inspected() {
    let state = State::new();
    state.make("demo", &SSH);
    let script = r#"
        mount -o remount,ro none "$RAVE_STATE"
        "$RAVE" ps --all | grep -E 'demo +stopped'
        "$RAVE" inspect demo | grep headless
        for command in "start demo" "rm demo" "net demo allow one.example"; do
            if "$RAVE" $command; then echo "$command succeeded"; exit 9; fi
        done
    "#;
    let done = rave_testing::or_skip!(in_room(&state, script));
    done.expect(0).expect_output("Read-only file system");
    state.nothing_runs();
}

#[test]
fn an_apply_on_a_full_disk_leaves_complete_files_and_can_be_repeated() {
    let state = State::new();
    let place = state.make("demo", &SSH);
    let scratch = tempfile::tempdir().unwrap();
    let source = state.path().join("project");
    fs::create_dir(&source).unwrap();
    for name in ["a", "b"] {
        fs::write(source.join(name), format!("{name}\n")).unwrap();
    }
    let copy = scratch.path().join("copy");
    work(&place, &source, &copy, |copy| {
        fs::write(copy.join("a"), "of the guest\n").unwrap();
        fs::write(copy.join("b"), "line\n".repeat(40_000)).unwrap();
    });
    let script = r#"
        project=${RAVE_STATE%/room}/project
        mkdir "$RAVE_STATE/small" && mount -t tmpfs -o size=64k none "$RAVE_STATE/small"
        cp -a "$project/." "$RAVE_STATE/small/" && mount --bind "$RAVE_STATE/small" "$project"
        if "$RAVE" apply demo; then echo "changes were applied on a full disk"; exit 9; fi
        test "$(cat "$project/b")" = b
        grep -qxE 'a|of the guest' "$project/a"
        test "$(ls -A "$project" | wc -l)" = 2
        mount -o remount,size=2m none "$RAVE_STATE/small"
        "$RAVE" apply demo
        test "$(wc -l < "$project/b")" = 40000 && grep -qx 'of the guest' "$project/a"
    "#;
    let done = rave_testing::or_skip!(in_room(&state, script));
    done.expect(0).expect_output("No space left on device");
}

#[test]
fn a_sandbox_with_unapplied_work_is_removed_only_by_force() {
    let state = State::new();
    let place = state.make("demo", &SSH);
    let scratch = tempfile::tempdir().unwrap();
    let source = state.path().join("project");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("a"), "a\n").unwrap();
    work(&place, &source, &scratch.path().join("copy"), |copy: &Path| {
        fs::write(copy.join("a"), "of the guest\n").unwrap();
        fs::set_permissions(copy.join("a"), fs::Permissions::from_mode(0o644)).unwrap();
    });
    let row = state.row("demo");
    assert_eq!(row["workspace"], source.as_str());
    let table = state.run(&["ps", "--all"]);
    assert!(table.expect(0).stdout.contains(source.as_str()), "{}", table.stdout);
    assert!(state.run(&["inspect", "demo"]).expect(0).stdout.contains(source.as_str()));
    state.run(&["rm", "demo"]).expect(2);
    assert_eq!(state.rows().len(), 1);
    state.run(&["rm", "--force", "demo"]).expect(0);
    assert!(state.rows().is_empty());
}

#[test]
fn only_a_stop_that_fetched_the_changes_shows_that_nothing_is_lost() {
    let state = State::new();
    let place = state.make("demo", &SSH);
    let scratch = tempfile::tempdir().unwrap();
    let source = state.path().join("project");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("a"), "a\n").unwrap();
    work(&place, &source, &scratch.path().join("copy"), |_| ());
    let pull =
        rave_workspace::record::Pull::find(&rave_workspace::Place::new(place.folder())).unwrap().unwrap();
    let end = |fetched: Option<u64>| {
        let end = serde_json::json!({"how": "powered-off", "detail": "", "fetched": fetched});
        fs::write(place.end(), end.to_string()).unwrap();
    };
    end(None);
    state.run(&["rm", "demo"]).expect(2).expect_output("ran after its changes were last fetched");
    end(Some(pull.when - 1));
    state.run(&["rm", "demo"]).expect(2);
    end(Some(pull.when));
    state.run(&["rm", "demo"]).expect(0);
}

#[test]
fn an_unknown_sandbox_does_not_stop_the_removal_of_others() {
    let state = State::new();
    for name in ["a", "b"] {
        state.make(name, &SSH);
    }
    state.run(&["rm", "gone", "a", "lost", "b"]).expect(2).expect_output("gone").expect_output("lost");
    assert!(state.rows().is_empty());
}
