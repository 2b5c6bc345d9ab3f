//! Named sandboxes, with the real headless image: what they keep, and the effects of killed processes.

mod audit;
mod clock;
mod network;
mod ports;

use std::fs;

use crate::command::{Command, signal};
use crate::tool::{Finished, HEADLESS, Place, finish, shared_cache, shared_out, wait_until};

const NAME: &str = "demo";

struct Sandbox {
    place: Place,
}

impl Sandbox {
    fn command(&self, arguments: &[&str]) -> Command {
        self.place.xtask(arguments)
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        finish(&self.command(arguments))
    }

    fn up(&self) -> Command {
        let mut up =
            self.command(&["up", NAME, "--cold", "--base", "debian", "--no-build", "--json", "--out"]);
        up.arg(shared_out(HEADLESS));
        up
    }

    fn exec(&self, command: &[&str]) -> Finished {
        self.run(&[&["exec", NAME, "--"], command].concat())
    }

    fn row(&self) -> serde_json::Value {
        let rows = self.run(&["ps", "--all", "--json"]);
        rows.expect_code(0);
        let rows: serde_json::Value = serde_json::from_str(&rows.stdout).unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 1, "{rows}");
        rows[0].clone()
    }

    fn state(&self) -> String {
        self.row()["state"].as_str().unwrap().to_owned()
    }

    fn pid(&self, of: &str) -> u64 {
        let row = self.row();
        let pid = if of == "qemu" { &row["qemu"] } else { &row["status"][of] };
        pid.as_u64().unwrap_or_else(|| panic!("no {of} in {row}"))
    }

    fn kill(&self, of: &str) {
        signal("KILL", u32::try_from(self.pid(of)).unwrap());
    }
}

/// Its processes outlive a test that failed.
impl Drop for Sandbox {
    fn drop(&mut self) {
        self.run(&["rm", "--force", NAME]);
    }
}

#[test]
fn a_sandbox_outlives_its_supervisor_and_ps_reports_the_real_state() {
    shared_cache(HEADLESS);
    let sandbox = Sandbox { place: Place::new() };
    // Two at once: the second waits for the first and joins it.
    let first = sandbox.up().start_until("");
    let second = finish(&sandbox.up());
    second.expect_code(0);
    assert_eq!(first.wait().code(), Some(0));
    let address: serde_json::Value = serde_json::from_str(&second.stdout).unwrap();
    assert_eq!(address["name"], NAME);
    assert_eq!(sandbox.state(), "running");

    let mut other = sandbox.up();
    finish(other.args(["--port", "gateway=1"]))
        .expect_code(2)
        .expect_said("--port: demo is running with another port");

    ports::a_port_opens_once_its_service_answers(&sandbox);
    programs(&sandbox);
    let control = network::Control::start();
    network::a_guest_reaches_only_what_it_is_allowed(&sandbox, &control);

    audit::actions_are_recorded(&sandbox);
    audit::a_page_is_only_for_its_own_names(&sandbox);

    let qemu = sandbox.pid("qemu");
    sandbox.kill("supervisor");
    wait_until("the supervisor is gone", || sandbox.state() == "unattended");
    let repeated = sandbox.exec(&["sh", "-c", "cat /tmp/kept"]);
    assert_eq!((repeated.expect_code(0).stdout.as_str(), sandbox.pid("qemu")), ("boot 1\n", qemu));
    assert_eq!(sandbox.state(), "running");
    ports::all_are_open(&sandbox);
    assert!(control.is_reached(&sandbox), "the network is back, with its rules");

    clock::is_right_after_a_pause(&sandbox);

    sandbox.exec(&["sh", "-c", "echo work > mine; sync"]).expect_code(0);
    sandbox.run(&["rm", NAME]).expect_code(2).expect_said("is running");
    assert!(sandbox.run(&["prune", "--yes"]).expect_code(0).stdout.is_empty(), "what runs stays");
    let follow = sandbox.command(&["logs", NAME, "--follow"]);
    let follow = std::thread::spawn(move || finish(&follow));
    // On a loaded host a clean end takes longer than the default.
    sandbox.run(&["stop", NAME, "--timeout", "2m"]).expect_code(0);
    // It ends with the machine, after the last lines.
    let log = follow.join().unwrap();
    assert!(log.expect_code(0).stdout.contains("Power down"), "{}", log.stdout);
    assert_eq!(sandbox.state(), "stopped");
    assert!(sandbox.run(&["prune", "--dry-run"]).expect_code(0).stdout.contains(NAME));
    sandbox.exec(&["true"]).expect_code(2).expect_said("is not running");
    sandbox.place.expect_no_process();

    sandbox.run(&["start", NAME]).expect_code(0);
    let kept = sandbox.exec(&["sh", "-c", "cat mine; test ! -e /tmp/kept"]);
    assert_eq!(kept.expect_code(0).stdout, "work\n");
    sandbox.kill("qemu");
    wait_until("ps says that it crashed", || sandbox.state() == "crashed");
    sandbox.place.expect_no_process();

    sandbox.run(&["prune"]).expect_code(2).expect_said("nothing was removed");
    sandbox.run(&["prune", "--yes"]).expect_code(0);
    let left: Vec<_> = fs::read_dir(sandbox.place.path("state/sandboxes")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    audit::the_record_outlives_the_sandbox(&sandbox);
}

/// Streams, exit codes, signals, a client that disappears, and login with SSH.
fn programs(sandbox: &Sandbox) {
    let done = sandbox.exec(&["sh", "-c", "echo out; echo err >&2; id -un; pwd; exit 7"]);
    done.expect_code(7).expect_said("err");
    assert_eq!(done.stdout, "out\nagent\n/home/agent\n");
    let done = sandbox.exec(&["sh", "-c", "echo $PATH; groups; sudo -n id -u; echo boot 1 > /tmp/kept"]);
    let lines: Vec<&str> = done.expect_code(0).stdout.lines().collect();
    assert!(lines[0].contains("/home/agent/.local/bin"), "{lines:?}");
    assert!(lines[1].contains("sudo") && lines[2] == "0", "{lines:?}");
    sandbox.exec(&["sh", "-c", "kill -TERM $$"]).expect_code(143);
    sandbox.exec(&["no-such-program"]).expect_code(127);
    let mut timed = sandbox.command(&["exec", NAME, "--timeout", "1s", "--", "sleep", "100"]);
    timed.env("A", "b");
    finish(&timed).expect_code(124);
    let options = ["exec", NAME, "--workdir", "/usr", "--env", "A=b c", "--", "sh", "-c", "pwd; echo \"$A\""];
    assert_eq!(sandbox.run(&options).expect_code(0).stdout, "/usr\nb c\n");

    let mut count = sandbox.command(&["exec", NAME, "--", "wc", "-c"]);
    count.stdin(vec![b'x'; 3_000_000]);
    assert_eq!(finish(&count).expect_code(0).stdout.trim(), "3000000");

    // A process in its own session is still killed when its client ends.
    let script = "echo started >&2; setsid sleep 4711 & sleep 4711";
    let vanishing = sandbox.command(&["exec", NAME, "--", "sh", "-c", script]).start_until("started");
    vanishing.signal("KILL");
    wait_until("nothing of it is left", || {
        sandbox.exec(&["pgrep", "-f", "sleep 4711"]).status.code() == Some(1)
    });

    let asked = sandbox.command(&[
        "exec",
        NAME,
        "--",
        "sh",
        "-c",
        "trap 'exit 5' INT; echo up >&2; while :; do sleep 0.1; done",
    ]);
    let asked = asked.start_until("up");
    asked.signal("INT");
    assert_eq!(asked.wait().code(), Some(5), "the program got the signal");

    let ssh = sandbox.run(&["ssh", NAME, "echo", "by ssh"]);
    assert_eq!(ssh.expect_code(0).stdout, "by ssh\n");
    by_configuration(sandbox);
    let port = sandbox.run(&["port", NAME, "ssh"]);
    assert!(port.expect_code(0).stdout.starts_with("127.0.0.1:"), "{}", port.stdout);
    assert!(sandbox.run(&["logs", NAME]).expect_code(0).stdout.contains("rave: boot loader"));
    assert!(sandbox.run(&["inspect", NAME]).expect_code(0).stdout.contains("headless"));
}

/// Plain ssh(1), with the generated stanzas.
fn by_configuration(sandbox: &Sandbox) {
    let config = sandbox.place.path("ssh_config");
    fs::write(&config, sandbox.run(&["ssh-config"]).expect_code(0).stdout.clone()).unwrap();
    let ssh = duct::cmd("ssh", ["-F", config.to_str().unwrap(), "demo.rave", "cat; echo by name"]);
    assert_eq!(ssh.stdin_bytes("in\n").read().unwrap(), "in\nby name");
    let page = sandbox.run(&["open", NAME, "gateway", "--print"]);
    assert!(page.expect_code(0).stdout.starts_with("http://demo.localhost:"), "{}", page.stdout);
}
