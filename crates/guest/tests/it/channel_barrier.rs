//! The channel of a template and of its clones: no program before there is an identity.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rave_guest::channel::client::{Client, Stream};
use rave_guest::channel::identity::{Barrier, ENTROPY, Identity, Receipt};
use rave_guest::channel::message::{Request, parse, to_json};
use rave_guest::channel::server::{Config, Server};

use crate::channel_host::{JOBS, LIMIT, finish, me, shell};

/// What a barrier was told.
type Told = Arc<Mutex<Vec<&'static str>>>;

#[derive(Debug)]
struct Recorder {
    told: Told,
    /// It cannot renew anything.
    is_broken: bool,
}

impl Barrier for Recorder {
    fn hold(&mut self) -> Result<(), String> {
        self.told.lock().unwrap().push("hold");
        Ok(())
    }

    fn renew(&mut self, identity: &Identity) -> Result<Receipt, String> {
        self.told.lock().unwrap().push("renew");
        if self.is_broken {
            return Err("there is no generator".into());
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
        self.told.lock().unwrap().push("open");
        Ok(())
    }
}

struct Guest {
    client: Client,
    told: Told,
    _server: JoinHandle<()>,
}

impl Guest {
    fn new(is_broken: bool) -> Self {
        let (host, guest) = UnixStream::pair().unwrap();
        guest.set_nonblocking(true).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_rave-guest")).to_owned();
        let config = Config {
            program,
            user: me().name,
            cgroups: false,
            jobs: JOBS,
            denied: "/nonexistent/denied".into(),
        };
        let told = Told::default();
        let barrier = Box::new(Recorder { told: Arc::clone(&told), is_broken });
        let mut server = Server::new(config).at_barrier(barrier);
        let server = thread::spawn(move || server.serve(&guest).unwrap());
        let (client, welcome) = Client::begin(host, 7, LIMIT).unwrap();
        assert!(welcome.at_barrier);
        Self { client, told, _server: server }
    }

    fn told(&self) -> Vec<&'static str> {
        self.told.lock().unwrap().clone()
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
    Request::Renew(Identity { entropy, machine_id, host_name, time_ms: 1000, authorized_keys: String::new() })
}

#[test]
fn programs_run_only_after_the_barrier_was_opened() {
    let guest = Guest::new(false);
    assert_eq!(guest.program().as_deref(), Some("this machine has no identity yet"));
    assert_eq!(guest.client.ask(&Request::Hold, LIMIT).unwrap(), None);
    let receipt = guest.client.ask(&renew(), LIMIT).unwrap().unwrap();
    let receipt: Receipt = parse(&receipt).unwrap();
    assert_eq!((receipt.host_name.as_str(), receipt.clock_behind_ms), ("demo", 7));
    assert!(guest.program().is_some(), "the host has not said that the receipt is in");
    guest.client.ask(&Request::Open, LIMIT).unwrap();
    assert_eq!(guest.program(), None);
    assert_eq!(guest.told(), ["hold", "renew", "open"]);
    let again = guest.client.ask(&renew(), LIMIT).unwrap_err();
    assert_eq!(again.to_string(), "this machine has an identity");
}

#[test]
fn a_guest_that_cannot_renew_itself_says_why_and_stays() {
    let guest = Guest::new(true);
    let error = guest.client.ask(&renew(), LIMIT).unwrap_err();
    assert_eq!(error.to_string(), "there is no generator");
    assert!(guest.program().is_some());
    assert_eq!(guest.told(), ["renew"]);
}

#[test]
fn entropy_is_in_no_log() {
    let text = format!("{:?}", renew());
    assert!(!text.contains("1, 1") && text.contains("demo"), "{text}");
}
