//! What is closed in every mode: the host, its network and metadata services. Each test has a control that the same
//! path is open if a rule allows it.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use rave_net::lan::{GATEWAY, GUEST, GUEST_MAC, RESOLVER};
use rave_net::{Mode, Policy};
use smoltcp::wire::{EthernetAddress, EthernetProtocol, IpProtocol};

use crate::guest::{Outcome, ethernet, ipv4, read_ipv4, udp};
use crate::hosts::{Names, Site, echo, greeter, policy};

/// How long to wait for the absence of a reply.
const SILENCE: Duration = Duration::from_millis(100);

/// Addresses of this host besides loopback.
fn own_addresses() -> Vec<Ipv4Addr> {
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap();
    let pairs = table.lines().zip(table.lines().skip(1));
    let own = pairs.filter(|(_, next)| next.contains("host LOCAL"));
    own.filter_map(|(line, _)| line.trim().strip_prefix("|-- ")?.parse().ok()).collect()
}

#[test]
fn the_host_its_network_and_metadata_are_closed_in_every_mode() {
    let port = greeter("secret").port();
    let mut closed: Vec<Ipv4Addr> = [
        "10.0.2.2",
        "10.0.2.3",
        "127.0.0.1",
        "169.254.169.254",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.100.100.200",
        "168.63.129.16",
        "198.18.3.3",
        "0.0.0.1",
    ]
    .map(|address| address.parse().unwrap())
    .to_vec();
    closed.extend(own_addresses());
    for mode in Mode::ALL {
        let (site, mut guest) = Site::new(policy(mode, &[], &[]), Names::new(), vec![]);
        // Resolve both stations of the link first, which takes this guest's stack a second.
        for station in [GATEWAY, RESOLVER] {
            guest.connect(station, 1);
        }
        for address in &closed {
            for port in [port, 80, 443] {
                let since = Instant::now();
                assert_eq!(guest.connect(*address, port), Outcome::Refused, "{mode} {address}:{port}");
                assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
            }
        }
        assert!(!site.network.log().denials.is_empty());
    }
    // The control: the server is running, and the same path is open if a rule allows it.
    let rule = format!("127.0.0.1:{port}/tcp,private");
    let (_site, mut guest) = Site::new(policy(Mode::Restricted, &[&rule], &[]), Names::new(), vec![]);
    let handle = guest.open(GATEWAY, port);
    assert_eq!(guest.read_all(handle), b"secret");
}

#[test]
fn a_name_that_resolves_to_the_host_is_closed_unless_private_is_allowed() {
    let port = greeter("secret").port();
    for address in ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::127.0.0.1", "169.254.169.254"] {
        let names =
            || Names::from([(("a.example", 7), std::net::SocketAddr::new(address.parse().unwrap(), port))]);
        let (site, mut guest) =
            Site::new(policy(Mode::Restricted, &["a.example:7/tcp"], &[]), names(), vec![]);
        let synthetic = guest.address("a.example");
        assert_eq!(guest.connect(synthetic, 7), Outcome::Refused, "{address}");
        let denial = site.denial();
        // No rule allows a name to lead to a metadata service.
        let helps = (address != "169.254.169.254").then_some("a.example:7/tcp,private");
        assert_eq!(denial.allow.as_deref(), helps);
        let allowed: Policy = policy(Mode::Restricted, &["a.example:7/tcp,private"], &[]);
        if address == "127.0.0.1" {
            let (_site, mut guest) = Site::new(allowed, names(), vec![]);
            let synthetic = guest.address("a.example");
            let handle = guest.open(synthetic, 7);
            assert_eq!(guest.read_all(handle), b"secret", "the control");
        } else if address == "169.254.169.254" {
            let (_site, mut guest) = Site::new(allowed, names(), vec![]);
            let synthetic = guest.address("a.example");
            assert_eq!(guest.connect(synthetic, 7), Outcome::Refused, "no name leads to a metadata service");
        }
    }
}

#[test]
fn other_protocols_are_unreachable_immediately() {
    let (_site, mut guest) = Site::new(policy(Mode::Open, &[], &[]), Names::new(), vec![]);
    for (to, port) in [("1.1.1.1", 443), ("1.1.1.1", 53), ("10.0.2.2", 53), ("10.0.2.2", 123)] {
        let to: Ipv4Addr = to.parse().unwrap();
        guest.send(&udp(GUEST, to, (4000, port), b"data"));
        let answer = guest.frame(Duration::from_secs(5), |frame| {
            let (from, protocol, message) = read_ipv4(frame)?;
            (protocol == IpProtocol::Icmp).then(|| (from, message[0], message[1]))
        });
        assert_eq!(answer, Some((GATEWAY, 3, 13)), "{to}:{port} administratively prohibited");
    }
    // The gateway answers an echo request, and nobody else does.
    let echo = |to: Ipv4Addr| {
        let mut message = vec![8, 0, 0, 0, 0, 1, 0, 1, b'x', b'y'];
        let sum =
            message.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum::<u32>();
        let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        ethernet(GUEST_MAC, EthernetProtocol::Ipv4, &ipv4(GUEST, to, IpProtocol::Icmp, &message))
    };
    for (to, kind) in [(GATEWAY, 0), (RESOLVER, 0), (Ipv4Addr::new(1, 1, 1, 1), 3)] {
        guest.send(&echo(to));
        let answer = guest.frame(Duration::from_secs(5), |frame| {
            let (_, protocol, message) = read_ipv4(frame)?;
            (protocol == IpProtocol::Icmp).then(|| message[0])
        });
        assert_eq!(answer, Some(kind), "{to}");
    }
}

#[test]
fn forged_packets_are_dropped() {
    let (_site, mut guest) = Site::new(policy(Mode::Open, &[], &[]), Names::new(), vec![]);
    let (other, to) = (Ipv4Addr::new(10, 0, 2, 16), Ipv4Addr::new(1, 1, 1, 1));
    let good = udp(GUEST, to, (4000, 9), b"data");
    let mut second_card = good.clone();
    second_card[6..12].copy_from_slice(&EthernetAddress([2, 0, 0, 0, 0, 1]).0);
    let mut other_station = good.clone();
    other_station[..6].copy_from_slice(&[2, 0, 0, 0, 0, 2]);
    let mut bad_sum = good.clone();
    bad_sum[24] ^= 1;
    let mut fragment = ipv4(GUEST, to, IpProtocol::Udp, &[0; 16]);
    fragment[6] = 0x20;
    let sum: u32 = 0xffff & !u32::from(u16::from_be_bytes([fragment[10], fragment[11]]));
    let sum = sum + 0x2000;
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    fragment[10..12].copy_from_slice(&sum.to_be_bytes());
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend(GUEST_MAC.0);
    arp.extend(GUEST.octets());
    arp.extend([0; 6]);
    arp.extend([10, 0, 2, 16]);
    for frame in [
        udp(other, to, (4000, 9), b"data"),
        second_card,
        other_station,
        bad_sum,
        ethernet(GUEST_MAC, EthernetProtocol::Ipv4, &fragment),
        ethernet(GUEST_MAC, EthernetProtocol::Arp, &arp),
        vec![1],
        vec![0; 9000],
    ] {
        guest.send(&frame);
    }
    assert_eq!(guest.frame(SILENCE, |frame| Some(frame.to_vec())), None);
    // The control: a valid frame is answered.
    guest.send(&good);
    assert!(guest.frame(Duration::from_secs(5), |frame| Some(frame.to_vec())).is_some());
}

#[test]
fn ipv6_is_unreachable_immediately() {
    let (_site, mut guest) = Site::new(policy(Mode::Open, &[], &[]), Names::new(), vec![]);
    let mut packet = vec![0x60, 0, 0, 0, 0, 8, 6, 64];
    packet.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0x26, 6, 0x47, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x11, 0x11]);
    packet.extend([0; 8]);
    guest.send(&ethernet(GUEST_MAC, EthernetProtocol::Ipv6, &packet));
    let answer = guest.frame(Duration::from_secs(5), |frame| {
        (frame[12..14] == [0x86, 0xdd]).then(|| frame[54..56].to_vec())
    });
    assert_eq!(answer, Some(vec![1, 1]), "administratively prohibited");
}

#[test]
fn a_denied_address_is_closed_to_every_name_that_leads_to_it() {
    let names = Names::from([(("a.example", 7), greeter("hello"))]);
    let allow = ["a.example:7/tcp,private"];
    let (site, mut guest) = Site::new(policy(Mode::Restricted, &allow, &[]), names, vec![]);
    let address = guest.address("a.example");
    let open = guest.open(address, 7);
    assert_eq!(guest.read_all(open), b"hello");
    // Other addresses and other ports stay as they are.
    site.change(policy(Mode::Restricted, &allow, &["127.1.0.0/16,private", "127.0.0.1:8/tcp,private"]));
    guest.open(address, 7);
    for deny in ["127.0.0.0/8,private", "127.0.0.1:7/tcp,private"] {
        site.change(policy(Mode::Restricted, &allow, &[deny]));
        // The first may still be in progress when the rule takes effect, and end as such.
        for _ in 0..2 {
            assert_eq!(guest.connect(address, 7), Outcome::Refused, "{deny}");
        }
        let rule = site.denial().rule;
        assert_eq!(rule, format!("deny {deny}, which has its address 127.0.0.1"));
    }
}

#[test]
fn a_connection_ends_when_addresses_are_denied() {
    let names = Names::from([(("a.example", 7), echo())]);
    let allow = ["a.example:7/tcp,private"];
    let (site, mut guest) = Site::new(policy(Mode::Restricted, &allow, &[]), names, vec![]);
    let address = guest.address("a.example");
    let open = guest.open(address, 7);
    site.change(policy(Mode::Restricted, &allow, &["127.0.0.0/8,private"]));
    guest
        .until(Duration::from_secs(5), |guest| (!guest.socket(open).is_open()).then_some(()))
        .expect("it is reset");
}
