//! The channel of a template and of its clones: no program runs without an identity.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rave_guest::channel::client::{Client, HoldError, Stream};
use rave_guest::channel::clock::{Clock, ClockSet};
use rave_guest::channel::frame::{Decoder, Frame, Kind, preamble};
use rave_guest::channel::identity::{Barrier, ENTROPY, Identity, Receipt};
use rave_guest::channel::message::{Ended, Request, parse, to_json};
use rave_guest::channel::provision::Provision;
use rave_guest::channel::server::Server;

use crate::channel_host::{LIMIT, config, finish, shell};

/// The calls of a barrier.
type Calls = Arc<Mutex<Vec<&'static str>>>;

#[derive(Debug)]
struct Recorder {
    calls: Calls,
    /// Whether renewing fails.
    is_broken: bool,
}

impl Barrier for Recorder {
    fn hold(&mut self) -> Result<(), String> {
        self.calls.lock().unwrap().push("hold");
        Ok(())
    }

    fn renew(&mut self, identity: &Identity) -> Result<Receipt, String> {
        self.calls.lock().unwrap().push("renew");
        if self.is_broken {
            return Err("no generator was found".into());
        }
        Ok(Receipt {
            renewed: vec!["random".into()],
            machine_id: identity.machine_id.clone(),
            host_name: identity.host_name.clone(),
            host_key: "ssh-ed25519 AAAA".into(),
            clock_behind_ms: 7,
            time_ms: identity.time_ms,
        })
    }

    fn open(&mut self) -> Result<(), String> {
        self.calls.lock().unwrap().push("open");
        Ok(())
    }
}

struct Guest {
    client: Client,
    calls: Calls,
    _server: JoinHandle<()>,
}

impl Guest {
    fn new(is_broken: bool) -> Self {
        Self::with_clock(is_broken, Box::new(Wall(Arc::default())))
    }

    fn with_clock(is_broken: bool, clock: Box<dyn Clock>) -> Self {
        Self::with(is_broken, clock, Server::at_barrier)
    }

    /// A guest that runs programs, and can be held.
    fn running() -> Self {
        let clock = Box::new(Wall(Arc::default()));
        Self::with(false, clock, Server::with_later_barrier)
    }

    fn with(is_broken: bool, clock: Box<dyn Clock>, put: fn(Server, Box<dyn Barrier>) -> Server) -> Self {
        let (host, guest) = UnixStream::pair().unwrap();
        guest.set_nonblocking(true).unwrap();
        let calls = Calls::default();
        let barrier = Box::new(Recorder { calls: Arc::clone(&calls), is_broken });
        let mut server = put(Server::new(config()), barrier).with_clock(clock);
        let is_held = server.is_held();
        let server = thread::spawn(move || server.serve(&guest).unwrap());
        let (client, welcome) = Client::begin(host, 7, LIMIT).unwrap();
        assert_eq!(welcome.at_barrier, is_held);
        Self { client, calls, _server: server }
    }

    fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }

    fn program(&self) -> Option<String> {
        let mut stream: Stream = self.client.open(&to_json(&Request::Exec(shell("true")))).unwrap();
        finish(&mut stream).ended.error
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.client.close();
    }
}

fn renew() -> Request {
    let (machine_id, host_name) = ("0".repeat(32), "demo".to_owned());
    let entropy = vec![1; ENTROPY];
    Request::Renew(Identity {
        entropy,
        machine_id,
        host_name,
        time_ms: 1000,
        authorized_keys: String::new(),
        provision: Provision::default(),
    })
}

#[test]
fn programs_run_only_after_the_barrier_opens() {
    let guest = Guest::new(false);
    assert_eq!(guest.program().as_deref(), Some("this machine has no identity yet"));
    assert_eq!(guest.client.ask(&Request::Hold, LIMIT).unwrap(), None);
    let receipt = guest.client.ask(&renew(), LIMIT).unwrap().unwrap();
    let receipt: Receipt = parse(&receipt).unwrap();
    assert_eq!((receipt.host_name.as_str(), receipt.clock_behind_ms), ("demo", 7));
    assert!(guest.program().is_some(), "the host has not confirmed the receipt");
    guest.client.ask(&Request::Open, LIMIT).unwrap();
    assert_eq!(guest.program(), None);
    assert_eq!(guest.calls(), ["hold", "renew", "open"]);
    let second = guest.client.ask(&renew(), LIMIT).unwrap_err();
    assert_eq!(second.to_string(), "this machine has an identity");
}

#[test]
fn a_running_guest_is_frozen_and_resumes_as_itself_or_as_a_fork() {
    let guest = Guest::running();
    assert_eq!(guest.program(), None);
    for _ in 0..2 {
        let held = guest.client.hold(LIMIT, &mut || true).unwrap();
        drop(held);
        assert!(guest.program().is_some(), "the guest is held");
        guest.client.ask(&Request::Open, LIMIT).unwrap();
        assert_eq!(guest.program(), None);
    }
    guest.client.ask(&Request::Hold, LIMIT).unwrap();
    guest.client.ask(&renew(), LIMIT).unwrap();
    assert!(guest.program().is_some(), "the host has not confirmed the receipt");
    guest.client.ask(&Request::Open, LIMIT).unwrap();
    assert_eq!(guest.program(), None);
    assert_eq!(guest.calls(), ["hold", "open", "hold", "open", "hold", "renew", "open"]);
}

#[test]
fn a_guest_that_is_too_old_to_be_held_is_told_from_one_that_refuses() {
    for (why, is_too_old) in [("this machine has an identity", true), ("a group does not stop", false)] {
        let (host, mut guest) = UnixStream::pair().unwrap();
        let peer = thread::spawn(move || {
            let mut decoder = Decoder::default();
            let mut buffer = [0; 4096];
            let mut answered = 0;
            while answered < 2 {
                let count = guest.read(&mut buffer).unwrap();
                decoder.push(&buffer[..count]);
                while let Some(frame) = decoder.next() {
                    answered += 1;
                    let welcome = br#"{"version":1,"program":"0","boot_id":""}"#.to_vec();
                    let (kind, payload) = match frame.kind {
                        Kind::Hello => (Kind::Welcome, welcome),
                        _ => (Kind::Ended, to_json(&Ended::failed(why))),
                    };
                    let answer = Frame::new(kind, frame.stream, frame.nonce, payload).to_bytes();
                    let first = if answered == 1 { preamble() } else { Vec::new() };
                    guest.write_all(&[first, answer].concat()).unwrap();
                }
            }
        });
        let (client, _) = Client::begin(host, 7, LIMIT).unwrap();
        let refused = client.hold(LIMIT, &mut || true).unwrap_err();
        assert_eq!(matches!(refused, HoldError::Unknown), is_too_old, "{refused:?}");
        peer.join().unwrap();
    }
}

#[test]
fn nothing_is_sent_to_a_frozen_guest() {
    let guest = Guest::running();
    let held = guest.client.hold(LIMIT, &mut || true).unwrap();
    let client = guest.client.clone();
    let other = thread::spawn(move || client.ask(&Request::Open, LIMIT));
    thread::sleep(std::time::Duration::from_millis(100));
    assert_eq!(guest.calls(), ["hold"]);
    drop(held);
    other.join().unwrap().unwrap();
    assert_eq!(guest.calls(), ["hold", "open"]);
}

#[test]
fn a_guest_that_cannot_renew_its_identity_reports_why_and_stays_held() {
    let guest = Guest::new(true);
    let error = guest.client.ask(&renew(), LIMIT).unwrap_err();
    assert_eq!(error.to_string(), "no generator was found");
    assert!(guest.program().is_some());
    assert_eq!(guest.calls(), ["renew"]);
}

#[test]
fn entropy_is_not_logged() {
    let text = format!("{:?}", renew());
    assert!(!text.contains("1, 1") && text.contains("demo"), "{text}");
}

/// A clock that records the time it was set to.
#[derive(Debug)]
struct Wall(Arc<Mutex<u64>>);

impl Clock for Wall {
    fn set(&mut self, time_ms: u64) -> Result<ClockSet, String> {
        *self.0.lock().unwrap() = time_ms;
        Ok(ClockSet { behind_ms: 5, time_ms })
    }
}

#[test]
fn the_clock_is_set_after_the_identity() {
    let time = Arc::new(Mutex::new(0));
    let guest = Guest::with_clock(false, Box::new(Wall(Arc::clone(&time))));
    let ask = || guest.client.ask(&Request::Clock { time_ms: 7000 }, LIMIT);
    assert_eq!(ask().unwrap_err().to_string(), "this machine has no identity yet");
    assert_eq!(*time.lock().unwrap(), 0);
    guest.client.ask(&Request::Open, LIMIT).unwrap();
    let answer: ClockSet = parse(&ask().unwrap().unwrap()).unwrap();
    assert_eq!(answer, ClockSet { behind_ms: 5, time_ms: 7000 });
    assert_eq!(*time.lock().unwrap(), 7000);
}
