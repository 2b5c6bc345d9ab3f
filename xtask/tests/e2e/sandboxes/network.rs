//! What a real guest reaches, as root and ignoring proxies: only what is allowed.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::thread;

use super::{NAME, Sandbox};
use crate::command::Command;

/// A server on the host's loopback that the guest may reach later.
pub(super) struct Control {
    port: u16,
}

impl Control {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nof the host");
            }
        });
        Self { port }
    }

    fn rule(&self) -> String {
        format!("127.0.0.1:{}/tcp,private", self.port)
    }

    /// Whether the guest reaches it, at QEMU's usual address for the host.
    pub(super) fn is_reached(&self, sandbox: &Sandbox) -> bool {
        let fetch = format!("curl --silent --noproxy '*' --max-time 60 http://10.0.2.2:{}/", self.port);
        sandbox.exec(&["sh", "-c", &fetch]).stdout == "of the host"
    }
}

/// Addresses of this host, `proc_net(5)`.
fn own_addresses() -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap();
    let pairs = table.lines().zip(table.lines().skip(1));
    let own = pairs.filter(|(_, next)| next.contains("host LOCAL"));
    own.filter_map(|(line, _)| line.trim().strip_prefix("|-- ").map(str::to_owned)).collect()
}

/// Prints the result of a connection for each line `HOST PORT` of stdin.
const CONNECT: &str = "while read host port; do \
     timeout 60 bash -c \"exec 3<>/dev/tcp/$host/$port\" 2>&1 | grep -q refused && echo $host refused || echo $host else; done";

/// The same text as in the log, once, in the shell that caused it.
fn the_next_prompt_shows_the_refusal(sandbox: &Sandbox) {
    let command = format!("cargo xtask net {NAME} allow told.example");
    let shown = "until grep -q told.example /run/rave/denied; do sleep 0.1; done";
    // Interactive although it has no terminal: the prompts, and the text before them, are on stderr.
    let lines = format!("getent hosts told.example\ntimeout 60 sh -c '{shown}'\necho again\nexit\n");
    let mut shell: Command = sandbox.command(&["exec", NAME, "--", "bash", "--login", "-i"]);
    shell.stdin(lines.into_bytes());
    let done = crate::tool::finish(&shell);
    assert_eq!(done.stderr.matches("rave: the name told.example was refused").count(), 1, "{}", done.stderr);
    assert!(done.stderr.contains(&command), "{}", done.stderr);
    let file = sandbox.exec(&["cat", "/run/rave/denied"]);
    assert!(file.expect_code(0).stdout.contains(&command), "{}", file.stdout);
}

/// Leaves the control allowed.
pub(super) fn a_guest_reaches_only_what_it_is_allowed(sandbox: &Sandbox, control: &Control) {
    let route = "until ip route | grep -q default; do sleep 0.2; done";
    sandbox.exec(&["timeout", "120", "sh", "-c", route]).expect_code(0);
    assert!(!control.is_reached(sandbox), "nothing is allowed yet");

    let mut hosts = own_addresses();
    hosts.extend(["10.0.2.2", "169.254.169.254", "192.168.0.1", "172.16.0.1", "1.1.1.1"].map(str::to_owned));
    hosts.retain(|host| !host.starts_with("127."));
    let lines: Vec<String> = hosts.iter().map(|host| format!("{host} {}\n", control.port)).collect();
    let mut connect: Command =
        sandbox.command(&["exec", NAME, "--user", "root", "--", "bash", "-c", CONNECT]);
    connect.stdin(lines.concat().into_bytes());
    let done = crate::tool::finish(&connect);
    let expected: Vec<String> = hosts.iter().map(|host| format!("{host} refused")).collect();
    assert_eq!(done.expect_code(0).stdout.lines().collect::<Vec<_>>(), expected);

    sandbox
        .exec(&["getent", "hosts", "denied.example"])
        .expect_code(2)
        .expect_said(&format!("cargo xtask net {NAME} allow denied.example"));
    let log = sandbox.run(&["net", NAME, "log"]);
    let rule = control.rule();
    for message in ["the name denied.example was refused", &format!("cargo xtask net {NAME} allow {rule}")] {
        assert!(log.stdout.contains(message), "{message}: {}", log.stdout);
    }

    the_next_prompt_shows_the_refusal(sandbox);

    sandbox.run(&["net", NAME, "allow", &rule, "denied.example"]).expect_code(0);
    assert!(control.is_reached(sandbox), "the control");
    let lookup = "until getent hosts denied.example; do sleep 0.2; done";
    let found = sandbox.exec(&["timeout", "60", "sh", "-c", lookup]);
    assert!(found.expect_code(0).stdout.starts_with("198.18."), "{}", found.stdout);

    sandbox.run(&["net", NAME, "mode", "offline"]).expect_code(0);
    assert!(!control.is_reached(sandbox), "offline is offline");
    sandbox.run(&["net", NAME, "mode", "restricted"]).expect_code(0);
    assert_eq!(sandbox.row()["network"], "restricted");
    let mut other = sandbox.up();
    crate::tool::finish(other.args(["--network", "open"]))
        .expect_code(2)
        .expect_said(&format!("cargo xtask net {NAME} mode open"));
}
