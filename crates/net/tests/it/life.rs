//! Forwarded ports, and machines that come and go.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use rave_net::{Forward, Log, Mode};
use smoltcp::socket::tcp::State;

use crate::guest::{Guest, Outcome};
use crate::hosts::{Names, Site, echo, policy, read_all, wait_until};

fn forward(guest: u16) -> (Forward, std::net::SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (Forward { listener, guest, pages: None }, address)
}

#[test]
fn a_forwarded_port_connects_to_the_guest_both_ways() {
    let (forward, address) = forward(22);
    let (_site, mut guest) = Site::new(policy(Mode::Offline, &[], &[]), Names::new(), vec![forward]);
    let handle = guest.listen(22);
    let mut client = TcpStream::connect(address).unwrap();
    client.write_all(b"question").unwrap();
    let mut got = Vec::new();
    guest.until(Duration::from_secs(10), |guest| {
        let socket = guest.socket(handle);
        if socket.can_recv() {
            got.extend(socket.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap());
        }
        (got == b"question").then_some(())
    });
    assert_eq!(got, b"question");
    guest.write(handle, b"answer");
    guest.close(handle);
    let reader = std::thread::spawn(move || read_all(&mut client));
    guest.until(Duration::from_secs(10), |_| reader.is_finished().then_some(()));
    assert_eq!(reader.join().unwrap(), b"answer");
}

#[test]
fn a_port_refuses_connections_while_it_is_closed() {
    let (forward, address) = forward(22);
    let forward = Forward { listener: rave_net::closed(forward.listener).unwrap(), ..forward };
    let (site, mut guest) = Site::new(policy(Mode::Offline, &[], &[]), Names::new(), vec![forward]);
    let refused = || TcpStream::connect(address).unwrap_err().kind() == std::io::ErrorKind::ConnectionRefused;
    assert!(refused());
    site.network.open_ports(&[80]).unwrap();
    assert!(refused(), "another service is ready");
    for _ in 0..2 {
        let handle = guest.listen(22);
        site.network.open_ports(&[80, 22]).unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"x").unwrap();
        guest.until(Duration::from_secs(10), |guest| guest.socket(handle).can_recv().then_some(()));
        site.network.open_ports(&[]).unwrap();
        assert!(refused());
    }
}

#[test]
fn a_missing_service_resets_the_connection() {
    let (forward, address) = forward(22);
    let (_site, mut guest) = Site::new(policy(Mode::Offline, &[], &[]), Names::new(), vec![forward]);
    let mut client = TcpStream::connect(address).unwrap();
    let reader = std::thread::spawn(move || client.read(&mut [0; 1]).map_err(|error| error.kind()));
    guest.until(Duration::from_secs(10), |_| reader.is_finished().then_some(()));
    assert_eq!(reader.join().unwrap(), Err(std::io::ErrorKind::ConnectionReset));
}

#[test]
fn another_machine_starts_without_state_of_the_last() {
    let names = Names::from([(("a.example", 7), echo())]);
    let (site, mut guest) =
        Site::new(policy(Mode::Restricted, &["a.example:7/tcp,private"], &[]), names, vec![]);
    let address = guest.address("a.example");
    let handle = guest.open(address, 7);
    // Half a frame, then the end.
    guest.raw().write_all(&[0, 0, 5, 0xdc, 1, 2, 3]).unwrap();
    assert_eq!(guest.socket(handle).state(), State::Established);
    drop(guest);
    let mut guest = Guest::accept(&site.listener);
    // A segment of the old connection belongs to none of the new machine.
    let address = guest.address("a.example");
    let handle = guest.open(address, 7);
    guest.write(handle, b"again");
    guest.close(handle);
    assert_eq!(guest.read_all(handle), b"again");
}

#[test]
fn invalid_framing_ends_the_connection_and_a_new_one_is_accepted() {
    let (site, mut guest) = Site::new(policy(Mode::Restricted, &[], &[]), Names::new(), vec![]);
    guest.raw().write_all(&[0xff; 8]).unwrap();
    let mut guest = Guest::accept(&site.listener);
    assert_eq!(guest.lookup("a.example").0, 3);
}

#[test]
fn the_log_round_trips() {
    let (site, mut guest) = Site::new(policy(Mode::Restricted, &[], &[]), Names::new(), vec![]);
    assert_eq!(guest.connect(Ipv4Addr::new(1, 1, 1, 1), 443), Outcome::Refused);
    let path = camino::Utf8PathBuf::from_path_buf(site.folder.path().join("log.json")).unwrap();
    wait_until("the log is written", || !Log::read(&path).denials.is_empty());
    let denial = Log::read(&path).denials.remove(0);
    assert_eq!(
        denial.message(),
        "a connection to 1.1.1.1:443 was refused: mode restricted: no rule allows it"
    );
    assert_eq!(denial.allow.as_deref(), Some("1.1.1.1:443/tcp"));
}
