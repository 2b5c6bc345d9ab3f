//! What is reported of a network, and that nothing passes while it cannot be recorded.

use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rave_net::{Forward, Kind, Mode, Seen, Witness};

use crate::guest::Outcome;
use crate::hosts::{Names, Site, echo, policy, wait_until};

/// Keeps everything that is reported.
#[derive(Default)]
pub(crate) struct Notes {
    pub(crate) seen: Mutex<Vec<Seen>>,
    fails: AtomicBool,
}

impl Witness for Notes {
    fn see(&self, seen: Seen) {
        self.seen.lock().unwrap().push(seen);
    }

    fn can_record(&self) -> bool {
        !self.fails.load(Ordering::Relaxed)
    }
}

impl Notes {
    fn has(&self, wanted: &Seen) -> bool {
        self.seen.lock().unwrap().contains(wanted)
    }
}

#[test]
fn connections_queries_and_refusals_are_recorded_with_rule_and_bytes() {
    let notes = Arc::new(Notes::default());
    let names = Names::from([(("a.example", 7), echo())]);
    let rules = policy(Mode::Restricted, &["a.example:7/tcp,private"], &[]);
    let (_site, mut guest) = Site::seen_by(notes.clone(), rules, names, vec![]);
    let address = guest.address("a.example");
    let handle = guest.open(address, 7);
    guest.write(handle, b"hello");
    guest.close(handle);
    assert_eq!(guest.read_all(handle), b"hello");
    guest.lookup("b.example");
    let rule = "allow a.example:7/tcp,private".to_owned();
    let to = "a.example:7".to_owned();
    let closed = Seen::Closed { from_guest: true, to: to.clone(), sent: 5, received: 5 };
    wait_until("the end is reported", || {
        guest.poll();
        notes.has(&closed)
    });
    assert!(notes.has(&Seen::Question { name: "a.example".into(), rule: rule.clone() }));
    assert!(notes.has(&Seen::Opened { from_guest: true, to, rule }));
    let seen = notes.seen.lock().unwrap();
    let denied =
        |seen: &&Seen| matches!(seen, Seen::Denied { kind: Kind::Name, to, .. } if to == "b.example");
    assert_eq!(seen.iter().filter(denied).count(), 1, "{seen:?}");
}

#[test]
fn nothing_is_transferred_while_it_cannot_be_recorded() {
    let notes = Arc::new(Notes::default());
    let names = Names::from([(("a.example", 7), echo())]);
    let rules = policy(Mode::Restricted, &["a.example:7/tcp,private"], &[]);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap();
    let forwards = vec![Forward { listener, guest: 22, pages: None }];
    let (_site, mut guest) = Site::seen_by(notes.clone(), rules, names, forwards);
    let address = guest.address("a.example");
    let handle = guest.open(address, 7);
    guest.write(handle, b"hello");
    notes.fails.store(true, Ordering::Relaxed);
    // The next packet of the guest detects it.
    assert_eq!(guest.connect(address, 7), Outcome::Refused);
    assert_eq!(guest.lookup("a.example").1, None);
    let limit = Duration::from_secs(10);
    guest
        .until(limit, |guest| (!guest.socket(handle).is_open()).then_some(()))
        .expect("open connections have ended");
    let mut client = TcpStream::connect(port).unwrap();
    let ended = std::thread::spawn(move || client.read(&mut [0]));
    guest.until(limit, |_| ended.is_finished().then_some(())).expect("forwarded connections end at once");
    assert!(matches!(ended.join().unwrap(), Ok(0) | Err(_)));
    notes.fails.store(false, Ordering::Relaxed);
    let address = guest.address("a.example");
    let handle = guest.open(address, 7);
    guest.write(handle, b"again");
    guest.close(handle);
    assert_eq!(guest.read_all(handle), b"again");
}
