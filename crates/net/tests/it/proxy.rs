//! Connections through the host's own proxy.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use rave_net::{Mode, Outbound, Proxies, Resolve};

use crate::guest::{Guest, Outcome};
use crate::hosts::{Names, Site, echo, policy, server};

/// A proxy that sends this answer and, if its status is 200, connects to an echo server. It reports each request.
fn proxy(answer: &'static str) -> (SocketAddr, Receiver<String>) {
    let (sender, received) = channel();
    let target = echo();
    let address = server(move |mut stream: TcpStream| {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
            head.push(byte[0]);
        }
        sender.send(String::from_utf8(head).unwrap()).unwrap();
        // Bytes that directly follow the head belong to the guest.
        stream.write_all(answer.as_bytes()).unwrap();
        if !answer.starts_with("HTTP/1.1 200") {
            return;
        }
        let mut other = TcpStream::connect(target).unwrap();
        let (mut from, mut to) = (stream.try_clone().unwrap(), other.try_clone().unwrap());
        thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
        let _ = std::io::copy(&mut other, &mut stream);
        let _ = stream.shutdown(std::net::Shutdown::Write);
    });
    (address, received)
}

fn proxies(address: SocketAddr, direct: &str) -> Proxies {
    let url = format!("http://me:secret@{address}");
    Proxies::of(|name| match name {
        "all_proxy" => Some(url.clone()),
        "no_proxy" => Some(direct.into()),
        _ => None,
    })
}

fn exchange(guest: &mut Guest, address: Ipv4Addr, port: u16, bytes: &[u8]) -> Vec<u8> {
    let handle = guest.open(address, port);
    guest.write(handle, bytes);
    guest.close(handle);
    guest.read_all(handle)
}

#[test]
fn an_unresolved_name_is_left_to_the_proxy() {
    let (address, received) = proxy("HTTP/1.1 200 OK\r\nvia: x\r\n\r\nhello ");
    let rules = policy(Mode::Restricted, &["db.example:5432/tcp"], &[]);
    let (site, mut guest) = Site::behind(proxies(address, ""), rules, Names::new());
    let found = guest.address("db.example");
    assert_eq!(exchange(&mut guest, found, 5432, b"world"), b"hello world");
    // The credentials as base64(1) encodes them.
    assert_eq!(
        received.recv().unwrap(),
        "CONNECT db.example:5432 HTTP/1.1\r\nhost: db.example:5432\r\nproxy-authorization: Basic bWU6c2VjcmV0\r\n\r\n"
    );
    assert!(site.network.log().denials.is_empty());
}

#[test]
fn a_refusing_proxy_is_reported_without_its_password() {
    let (address, _told) = proxy("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
    let rules = policy(Mode::Restricted, &["db.example:5432/tcp"], &[]);
    let (site, mut guest) = Site::behind(proxies(address, ""), rules, Names::new());
    let found = guest.address("db.example");
    assert_eq!(guest.connect(found, 5432), Outcome::Refused);
    let denial = site.denial();
    assert_eq!(
        denial.rule,
        format!("the proxy http://{address} of this host answers 407 Proxy Authentication Required")
    );
}

#[test]
fn the_proxy_gives_no_access_to_a_private_network() {
    let (address, received) = proxy("HTTP/1.1 200 OK\r\n\r\n");
    let names = Names::from([(("inner.example", 0), "10.0.0.7:443".parse().unwrap())]);
    let rules = policy(Mode::Open, &["inner.example:22/tcp"], &[]);
    let (site, mut guest) = Site::behind(proxies(address, ""), rules, names);
    let inner = guest.address("inner.example");
    assert_eq!(guest.connect(inner, 22), Outcome::Refused);
    assert!(site.denial().rule.starts_with("its address 10.0.0.7 is "));
    // A name that only the proxy knows could be there, and only the mode allows it.
    let unknown = guest.address("unknown.example");
    assert_eq!(guest.connect(unknown, 443), Outcome::Refused);
    let denial = site.network.log().denials.pop().unwrap();
    assert_eq!(denial.allow.as_deref(), Some("unknown.example"));
    assert!(denial.rule.contains("only asks its proxy for what a rule names"), "{}", denial.rule);
    assert!(received.try_recv().is_err());
}

#[test]
fn a_name_with_private_and_public_addresses_is_not_left_to_the_proxy() {
    let (address, received) = proxy("HTTP/1.1 200 OK\r\n\r\n");
    let resolve: Resolve = Arc::new(|_, port| {
        Ok(["93.184.215.14", "10.0.0.7"].map(|ip| (ip.parse::<IpAddr>().unwrap(), port).into()).into())
    });
    let outbound = Outbound { resolve, proxies: proxies(address, "") };
    let (site, mut guest) = Site::with(outbound, policy(Mode::Open, &[], &[]));
    let mixed = guest.address("mixed.example");
    assert_eq!(guest.connect(mixed, 443), Outcome::Refused);
    assert!(site.denial().rule.starts_with("its address 10.0.0.7 is "));
    assert!(received.try_recv().is_err());
}

#[test]
fn hosts_in_no_proxy_and_local_ones_are_reached_directly() {
    let (address, received) = proxy("HTTP/1.1 502 Bad Gateway\r\n\r\n");
    let near = echo();
    let names = Names::from([(("near.example", 0), near)]);
    let near_rule = format!("{near}/tcp,private");
    let rules = policy(Mode::Restricted, &["near.example:5432/tcp,private", &near_rule], &[]);
    let (_site, mut guest) = Site::behind(proxies(address, ""), rules, names);
    let by_name = guest.address("near.example");
    assert_eq!(exchange(&mut guest, by_name, 5432, b"by name"), b"by name");
    assert_eq!(exchange(&mut guest, rave_net::lan::GATEWAY, near.port(), b"by address"), b"by address");
    assert!(received.try_recv().is_err());

    let rules = policy(Mode::Restricted, &["gone.direct.example:5432/tcp"], &[]);
    let (site, mut guest) = Site::behind(proxies(address, "direct.example"), rules, Names::new());
    let gone = guest.address("gone.direct.example");
    assert_eq!(guest.connect(gone, 5432), Outcome::Refused);
    assert!(site.network.log().denials.is_empty() && received.try_recv().is_err());
}
