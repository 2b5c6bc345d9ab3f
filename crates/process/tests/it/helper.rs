//! Runs this test program as another process, to be killed and interrupted from outside.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rave_process::{Child, Cmd, Error, FileLock, interrupt};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait_for;

/// The role that the other process plays; unset in an ordinary run.
const ROLE: &str = "RAVE_PROCESS_TEST_ROLE";
/// The folder in which the two processes leave notes for each other.
const FOLDER: &str = "RAVE_PROCESS_TEST_FOLDER";

/// A shell script that notes its own pid and a grandchild's in `$1` and keeps running.
pub(crate) const FAMILY: &str = r#"sleep 1000 & echo $! >"$1/new"; mv "$1/new" "$1/grandchild"; echo $$ >"$1/new"; mv "$1/new" "$1/child"; wait"#;

/// The same, but ignoring SIGTERM; so does its grandchild.
pub(crate) const DEAF_FAMILY: &str = r#"trap '' TERM; sleep 1000 & echo $! >"$1/new"; mv "$1/new" "$1/grandchild"; echo $$ >"$1/new"; mv "$1/new" "$1/child"; wait"#;

pub(crate) fn family(script: &str, folder: &Path) -> Cmd {
    Cmd::new("sh").args(["-c", script, "sh"]).arg(folder)
}

/// The command that starts this program in `role`.
pub(crate) fn cmd(role: &str, folder: &Path) -> Cmd {
    Cmd::new(std::env::current_exe().unwrap())
        .args(["helper::plays_a_role", "--exact", "--nocapture"])
        .env(ROLE, role)
        .env(FOLDER, folder)
}

pub(crate) fn start(role: &str, folder: &Path) -> Child {
    cmd(role, folder).spawn().unwrap()
}

/// Waits for the note `name` and returns it.
pub(crate) fn note(folder: &Path, name: &str) -> String {
    wait_for(name, || fs::read_to_string(folder.join(name)).ok()).trim().to_owned()
}

pub(crate) fn pid(folder: &Path, name: &str) -> u32 {
    note(folder, name).parse().unwrap()
}

pub(crate) fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.try_into().unwrap()).unwrap(), signal).unwrap();
}

fn leave(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join("leaving"), text).unwrap();
    fs::rename(folder.join("leaving"), folder.join(name)).unwrap();
}

/// In an ordinary run there is no role, and this does nothing.
#[test]
fn plays_a_role() {
    let role = std::env::var(ROLE).unwrap_or_default();
    let folder = std::env::var_os(FOLDER).unwrap_or_default();
    let folder = Path::new(&folder);
    match role.as_str() {
        "" => {}
        "run" => record_results(folder, &family(FAMILY, folder)),
        "run interruptible" => interruptible(folder, FAMILY),
        "run deaf" => interruptible(folder, DEAF_FAMILY),
        "spawn survivor" => survivor(folder),
        "detach" => {
            family(FAMILY, folder).log_file(folder.join("log")).spawn().unwrap().detach();
            note(folder, "leave");
        }
        "two commands" => {
            let _first = family(FAMILY, folder).spawn().unwrap();
            note(folder, "go on");
            fs::create_dir(folder.join("second")).unwrap();
            record_results(folder, &family(FAMILY, &folder.join("second")));
        }
        "stubborn" => {
            interrupt::install().unwrap();
            leave(folder, "ready", "");
            loop {
                std::thread::park();
            }
        }
        "hold a lock" => {
            let _lock = FileLock::acquire(folder.join("lock"), &mut |_| {}).unwrap();
            leave(folder, "held", "");
            note(folder, "let go");
        }
        "wait for a lock" => {
            interrupt::install().unwrap();
            let lock = FileLock::acquire(folder.join("lock"), &mut |holder| {
                leave(folder, "waits for", &holder.pid.to_string());
            });
            leave(folder, "end", &lock.unwrap_err().to_string());
        }
        "stream" => stream(folder),
        "ask the terminal" => {
            let ask = "read -r answer </dev/tty; echo \"$answer\" >\"$1/new\"; mv \"$1/new\" \"$1/answer\"";
            family(ask, folder).inherit_terminal().run(&mut |_| {}).unwrap();
        }
        other => panic!("no such role: {other}"),
    }
}

fn interruptible(folder: &Path, script: &str) {
    interrupt::install().unwrap();
    record_results(folder, &family(script, folder));
}

/// Runs `cmd`, then another that must not start after an interrupt, and leaves both results.
fn record_results(folder: &Path, cmd: &Cmd) {
    let first = cmd.run(&mut |_| {});
    let second = Cmd::new("true").run(&mut |_| {});
    let name = |result: &Result<_, Error>| match result {
        Ok(_) => "ok".to_owned(),
        Err(Error::Interrupted { signal, .. }) => format!("interrupted by {signal}"),
        Err(error) => error.to_string(),
    };
    leave(folder, "end", &format!("{}; then {}", name(&first), name(&second)));
}

/// A machine whose owner shuts it down after the first interrupt.
fn survivor(folder: &Path) {
    interrupt::install().unwrap();
    let mut child = family(FAMILY, folder).survives_interrupt().spawn().unwrap();
    while interrupt::pause(Duration::from_secs(20)).is_ok() {}
    let still = child.wait_timeout(Duration::from_millis(100)).unwrap().is_none();
    let clean = Cmd::new("true").survives_interrupt().run(&mut |_| {}).is_ok();
    let end = child.terminate(Duration::from_secs(20)).unwrap();
    leave(folder, "end", &format!("ran on: {still}, cleaned up: {clean}, {end}"));
}

/// Streams a lot of data through this process and reports how much memory that took, in KiB.
fn stream(folder: &Path) {
    // proc_pid_status(5): the peak of the resident set.
    let peak = || -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim_end_matches("kB").trim().parse().unwrap()
    };
    let sh = |script: &str| Cmd::new("sh").args(["-c", script]);
    let before = peak();
    let mut bytes = 0;
    let mut count = |line: rave_process::Line<'_>| bytes += line.text.len() as u64 + 1;
    // Long lines, one endless line, and a file that the command writes itself.
    sh("yes $(seq -s- 300) | head -c 100M; head -c 30M /dev/zero >&2").run(&mut count).unwrap();
    let null = fs::File::options().write(true).open("/dev/null").unwrap();
    sh("yes | head -c 1G").stdout_file(null).run(&mut |_| {}).unwrap();
    let feed = |input: &mut dyn std::io::Write| (0..6400).try_for_each(|_| input.write_all(&[0; 16 * 1024]));
    Cmd::new("sh").args(["-c", "cat >/dev/null"]).run_with_input(feed, &mut |_| {}).unwrap();
    leave(folder, "end", &format!("{} {}", bytes >> 20, peak() - before));
}
