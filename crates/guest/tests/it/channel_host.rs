//! Both ends of the channel over a pair of sockets: the client, and the server as in the guest's program.

use std::io;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rave_guest::channel::client::{Client, Stream};
use rave_guest::channel::frame::Kind;
use rave_guest::channel::message::{Ended, Exec, Request, parse, to_json};
use rave_guest::channel::server::{Config, Server};
use rave_guest::channel::user::User;

/// Longer than anything here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The largest number of programs at the same time.
pub(crate) const JOBS: usize = 12;

pub(crate) struct Channel {
    pub(crate) client: Client,
    server: Option<JoinHandle<io::Result<()>>>,
}

pub(crate) fn me() -> User {
    User::of_number(rustix::process::geteuid().as_raw()).expect("a user of /etc/passwd runs the tests")
}

/// The configuration of the server.
pub(crate) fn config() -> Config {
    Config { jobs: JOBS, ..Config::new(env!("CARGO_BIN_EXE_rave-guest"), me().name) }
}

/// A server on one end of a pair; returns the other end.
pub(crate) fn server() -> (UnixStream, JoinHandle<io::Result<()>>) {
    let (host, guest) = UnixStream::pair().unwrap();
    guest.set_nonblocking(true).unwrap();
    (host, thread::spawn(move || Server::new(config()).serve(&guest)))
}

impl Channel {
    pub(crate) fn new() -> Self {
        let (host, server) = server();
        let (client, welcome) = Client::begin(host, 7, LIMIT).unwrap();
        assert_eq!(welcome.version, 1);
        Self { client, server: Some(server) }
    }

    pub(crate) fn start(&self, mut exec: Exec) -> Stream {
        exec.env.extend(no_profile());
        self.client.open(&to_json(&Request::Exec(exec))).unwrap()
    }

    /// With the profile of the given home.
    pub(crate) fn run_as_given(&self, exec: Exec) -> Done {
        finish(&mut self.client.open(&to_json(&Request::Exec(exec))).unwrap())
    }

    pub(crate) fn run(&self, exec: Exec, input: &[u8]) -> Done {
        let mut stream = self.start(exec);
        if !input.is_empty() {
            stream.sender().send(Kind::Stdin, input).unwrap();
        }
        stream.sender().send(Kind::StdinEnd, &[]).unwrap();
        finish(&mut stream)
    }

    pub(crate) fn shell(&self, script: &str) -> Done {
        self.run(shell(script), b"")
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.client.close();
        let ended = self.server.take().unwrap().join();
        if !thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

/// Keeps the user's own login shell profile out of the tests.
fn no_profile() -> [(String, String); 1] {
    [("HOME".to_owned(), "/nonexistent".to_owned())]
}

pub(crate) fn shell(script: &str) -> Exec {
    let command = ["sh", "-c", script].map(str::to_owned).into();
    Exec { command, env: no_profile().into(), ..Exec::default() }
}

/// The output and end of a program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) ended: Ended,
}

impl Done {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Reads to the end, with credit for everything.
pub(crate) fn finish(stream: &mut Stream) -> Done {
    let mut done = Done { stdout: Vec::new(), stderr: Vec::new(), ended: Ended::default() };
    let sender = stream.sender();
    loop {
        let frame = stream.next().expect("an end comes before the connection's");
        let length = u32::try_from(frame.payload.len()).unwrap();
        match frame.kind {
            Kind::Stdout => done.stdout.extend(frame.payload),
            Kind::Stderr => done.stderr.extend(frame.payload),
            Kind::Ended => {
                done.ended = parse(&frame.payload).unwrap();
                return done;
            }
            _ => continue,
        }
        let _ = sender.send(Kind::OutputCredit, &length.to_le_bytes());
    }
}

/// Reads until standard output contains `text`.
pub(crate) fn read_until(stream: &mut Stream, text: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        let frame = stream.next().expect("the text comes before the end");
        assert_ne!(frame.kind, Kind::Ended, "{seen}: {frame:?}");
        if frame.kind == Kind::Stdout {
            seen.push_str(&String::from_utf8_lossy(&frame.payload));
        }
    }
    seen
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = std::time::Instant::now();
    while !holds() {
        assert!(started.elapsed() < LIMIT, "timed out waiting until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process exists and is not a zombie.
pub(crate) fn is_alive(pid: &str) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'))
}
