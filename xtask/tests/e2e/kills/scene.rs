//! A sandbox in a known state, the commands that are killed, and the required state afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::Value;

use super::Victim;
use super::moment::{Before, Moment};
use crate::command::Command;
use crate::tool::{Finished, HEADLESS, Place, finish, shared_cache, shared_out, wait_until};

/// The files allowed in a sandbox's folder: `rave_sandbox::Place`.
const FILES: [&str; 23] = [
    "lock",
    "record.json",
    "disk",
    "identity.json",
    "fork.json",
    "snapshots",
    "workspace",
    "ssh-key",
    "ssh-key.pub",
    "run",
    "ctl.sock",
    "known_hosts",
    "supervisor.lock",
    "supervisor.log",
    "failure.json",
    "end.json",
    "network.json",
    "network-log.json",
    "model-token",
    "model-usage.json",
    "audit.jsonl",
    "audit-head",
    "audit-reserve",
];

pub(super) struct Scene {
    place: Place,
    /// The last case.
    case: String,
    /// Ports that sandboxes had.
    ports: BTreeSet<u16>,
}

impl Scene {
    /// A state folder with only a template.
    pub(super) fn new() -> Self {
        shared_cache(HEADLESS);
        let place = Place::new();
        place.share_templates();
        fs::create_dir(place.path("project")).unwrap();
        let scene = Self { place, case: String::new(), ports: BTreeSet::new() };
        scene.write("a", "of the host\n");
        scene.write("z", "of the host\n");
        scene
    }

    /// A state folder with the sandbox `demo`, which has data on its disk and in its memory, and its snapshot `base`.
    pub(super) fn with_demo() -> Self {
        let scene = Self::new();
        scene.succeeds(&["up", "demo"]);
        scene.text("demo", "echo disk > disk; echo memory > /dev/shm/memory; sync");
        scene.succeeds(&["snapshot", "demo", "base"]);
        scene
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.place.path("project").join(name), text).unwrap();
    }

    pub(super) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.place.path("project").join(name)).unwrap()
    }

    /// A sandbox continues with its memory, or can be restored to it after its QEMU was killed.
    #[track_caller]
    pub(super) fn continues(&self, name: &str, with_memory: bool) {
        if !with_memory {
            self.succeeds(&["restore", "--force", name, "base"]);
        }
        assert_eq!(self.text(name, "cat disk /dev/shm/memory"), "disk\nmemory");
    }

    /// The labels of `demo`'s snapshots, and what each contains.
    pub(super) fn snapshots(&self) -> Vec<(String, Option<String>)> {
        let listed = self.succeeds(&["snapshot", "demo", "--list", "--json"]);
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let all = listed.as_array().unwrap().iter();
        all.map(|one| (text(&one["label"]).unwrap(), text(&one["saved"]))).collect()
    }

    fn root(&self) -> PathBuf {
        self.place.path("state/sandboxes")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.place.xtask(arguments);
        if arguments[0] == "up" {
            let project = self.place.path("project");
            command.args(["--base", "debian", "--no-build", "--workspace"]).arg(project);
            command.arg("--out").arg(shared_out(HEADLESS));
        }
        command
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Finished {
        finish(&self.command(arguments))
    }

    #[track_caller]
    pub(super) fn succeeds(&self, arguments: &[&str]) -> String {
        self.run(arguments).expect_code(0).stdout.clone()
    }

    /// The output of a program in the sandbox.
    #[track_caller]
    pub(super) fn text(&self, name: &str, script: &str) -> String {
        self.succeeds(&["exec", name, "--", "sh", "-ec", script]).trim().to_owned()
    }

    fn rows(&self) -> BTreeMap<String, Value> {
        let rows: Value = serde_json::from_str(&self.succeeds(&["ps", "--all", "--json"])).unwrap();
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| (row["name"].as_str().unwrap().to_owned(), row.clone())).collect()
    }

    pub(super) fn state(&self, name: &str) -> Option<String> {
        self.rows().get(name).map(|row| row["state"].as_str().unwrap().to_owned())
    }

    /// Starts a command, kills a victim at a moment, and waits until the running processes match `ps`.
    pub(super) fn kill(&mut self, command: &[&str], of: &str, moment: Moment, victim: Victim) {
        self.case = format!("{command:?}: {victim:?} at {moment:?}");
        self.note_ports();
        let before = Before::new(&self.root(), moment);
        let output = self.place.path("output");
        let running = self.command(command).start(&output);
        let mut is_reached = before.wait(moment, || running.has_ended());
        let killed = match victim {
            Victim::Command => send("KILL", running.id()),
            Victim::Supervisor | Victim::Qemu => {
                let mut pid = self.process(of, victim);
                while pid.is_none() && !running.has_ended() {
                    pid = self.process(of, victim);
                }
                pid.is_some_and(|pid| send("KILL", pid))
            }
        };
        is_reached &= killed;
        let code = running.wait().code();
        let printed = fs::read_to_string(output).unwrap();
        let whether = if is_reached { "killed" } else { "too late" };
        eprintln!("{}: {whether}, {code:?}\n{printed}", self.case);
        self.agrees();
    }

    /// The process of a sandbox.
    fn process(&self, of: &str, victim: Victim) -> Option<u32> {
        let folder = self.root().join(of);
        self.place
            .processes()
            .into_iter()
            .find(|(_, line)| match victim {
                Victim::Supervisor => {
                    line.contains(&format!("\0supervise\0{of}\0")) && !line.starts_with("setsid")
                }
                _ => line.contains(&format!("path={}", folder.join("run/qmp.sock").display())),
            })
            .map(|(pid, _)| pid)
    }

    /// The running processes match `ps`.
    fn agrees(&mut self) {
        let case = self.case.clone();
        wait_until(&format!("ps shows what runs after {case}"), || {
            let rows = self.rows();
            let pids = rows.values().flat_map(|row| [&row["qemu"], &row["status"]["supervisor"]]);
            let shown: BTreeSet<u64> = pids.filter_map(Value::as_u64).collect();
            let runs: BTreeSet<u64> = self.place.processes().into_keys().map(u64::from).collect();
            shown == runs
        });
        for (name, row) in self.rows() {
            assert_ne!(row["state"], "unreadable", "{case}: {name}");
        }
        self.note_ports();
    }

    fn note_ports(&mut self) {
        for row in self.rows().into_values() {
            let forwards = row["forwards"].as_array().into_iter().flatten();
            self.ports.extend(forwards.filter_map(|port| u16::try_from(port["host"].as_u64()?).ok()));
        }
    }

    /// After the next command nothing is incomplete, and no port is in use by a stopped sandbox.
    pub(super) fn assert_nothing_left(&mut self) {
        let case = self.case.clone();
        self.agrees();
        let rows = self.rows();
        let mut left = Vec::new();
        for entry in fs::read_dir(self.root()).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !rows.contains_key(&name) {
                left.push(entry.path());
                continue;
            }
            for folder in ["", "snapshots", "disk"] {
                let files = fs::read_dir(entry.path().join(folder)).into_iter().flatten().flatten();
                left.extend(files.map(|file| file.path()).filter(|path| {
                    let name = path.file_name().unwrap().to_string_lossy();
                    name.starts_with('.')
                        || name.contains(".new")
                        || name == "restored"
                        || folder.is_empty() && !FILES.contains(&&*name)
                }));
            }
        }
        assert!(left.is_empty(), "{case}: {left:?}");
        let held: BTreeSet<u16> = rows
            .values()
            .flat_map(|row| row["forwards"].as_array().unwrap())
            .filter_map(|port| u16::try_from(port["host"].as_u64()?).ok())
            .collect();
        for port in self.ports.difference(&held) {
            assert!(TcpListener::bind(("127.0.0.1", *port)).is_ok(), "{case}: port {port} is held");
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let rows = self.run(&["ps", "--all", "--json"]);
        let rows: Value = serde_json::from_str(&rows.stdout).unwrap_or_default();
        for row in rows.as_array().into_iter().flatten() {
            self.run(&["rm", "--force", row["name"].as_str().unwrap_or_default()]);
        }
        for pid in self.place.processes().into_keys() {
            send("KILL", pid);
        }
    }
}

/// Sends a signal; returns whether the process still existed.
fn send(name: &str, pid: u32) -> bool {
    let mut kill = Command::new("kill");
    finish(kill.arg(format!("-{name}")).arg(pid.to_string())).status.success()
}
