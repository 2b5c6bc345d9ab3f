//! Limits on what a hostile guest can make grow.

use std::net::Ipv4Addr;
use std::time::Duration;

use rave_net::Mode;
use rave_net::lan::{GUEST, GUEST_MAC};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use smoltcp::wire::{EthernetProtocol, IpProtocol, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber};

use crate::guest::{Outcome, ethernet, ipv4};
use crate::hosts::{Names, Site, echo, policy, server};

/// A frame that opens a connection, with data.
fn first(from: u16, to: Ipv4Addr, port: u16, payload: &[u8]) -> Vec<u8> {
    let segment = TcpRepr {
        src_port: from,
        dst_port: port,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(1),
        ack_number: None,
        window_len: 1000,
        window_scale: None,
        max_seg_size: Some(1460),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload,
    };
    let mut bytes = vec![0; segment.buffer_len()];
    let checks = smoltcp::phy::ChecksumCapabilities::default();
    segment.emit(&mut TcpPacket::new_unchecked(&mut bytes), &GUEST.into(), &to.into(), &checks);
    ethernet(GUEST_MAC, EthernetProtocol::Ipv4, &ipv4(GUEST, to, IpProtocol::Tcp, &bytes))
}

/// Resident bytes of this process, from `/proc/self/statm`.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Raises the limit of open files: the supervisor keeps to the usual 1024, but the servers run in this process too.
fn open_more_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

#[test]
fn floods_of_new_connections_leave_memory_bounded_and_others_working() {
    open_more_files();
    let names = Names::from([(("a.example", 7), echo())]);
    let (site, mut guest) =
        Site::new(policy(Mode::Restricted, &["a.example:7/tcp,private"], &[]), names, vec![]);
    let address = guest.address("a.example");
    let before = resident();
    for round in 0..100_000u32 {
        // Some are refused by rule, others allowed but never completed.
        let to = if round % 10 == 0 { address } else { Ipv4Addr::from(0x0101_0000 + round) };
        guest.send(&first(u16::try_from(1024 + round % 60_000).unwrap(), to, 7, &[]));
        if round % 100 == 0 {
            guest.poll();
        }
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes");
    assert!(site.network.log().denials.len() <= 500);
    // Incomplete ones end by themselves.
    let open = guest.until(Duration::from_secs(40), |guest| match guest.connect(address, 7) {
        Outcome::Open(handle) => Some(handle),
        _ => None,
    });
    let handle = open.expect("a connection after the flood");
    guest.write(handle, b"still");
    guest.close(handle);
    assert_eq!(guest.read_all(handle), b"still");
}

#[test]
fn a_first_segment_that_is_longer_than_the_link_allows_is_dropped() {
    let (site, mut guest) = Site::new(policy(Mode::Restricted, &[], &[]), Names::new(), vec![]);
    for (to, length) in [(Ipv4Addr::new(1, 1, 1, 1), 9000), (Ipv4Addr::new(1, 1, 1, 2), 1000)] {
        guest.send(&first(1024, to, 7, &vec![0; length]));
    }
    let is_refused = |_: &mut _| (!site.network.log().denials.is_empty()).then_some(());
    guest.until(Duration::from_secs(5), is_refused).expect("the shorter one is refused");
    assert_eq!(site.denial().to, "1.1.1.2:7");
}

#[test]
fn a_guest_that_reads_nothing_blocks_no_other_connection() {
    let endless = server(|mut stream| {
        let block = vec![0; 64 * 1024];
        while std::io::Write::write_all(&mut stream, &block).is_ok() {}
    });
    let names = Names::from([(("slow.example", 7), endless), (("a.example", 7), echo())]);
    let rules = ["slow.example:7/tcp,private", "a.example:7/tcp,private"];
    let (_site, mut guest) = Site::new(policy(Mode::Restricted, &rules, &[]), names, vec![]);
    let slow = guest.address("slow.example");
    let stuck: Vec<_> = (0..20).map(|_| guest.open(slow, 7)).collect();
    guest
        .until(Duration::from_secs(10), |guest| (guest.socket(stuck[0]).recv_queue() > 60_000).then_some(()));
    let address = guest.address("a.example");
    let handle = guest.open(address, 7);
    guest.write(handle, b"quick");
    guest.close(handle);
    assert_eq!(guest.read_all(handle), b"quick");
}

#[test]
fn wildcard_names_are_limited() {
    let (site, mut guest) = Site::new(policy(Mode::Restricted, &["*.example"], &[]), Names::new(), vec![]);
    let long = format!("{}.{}.example", "d".repeat(60), "d".repeat(60));
    assert_eq!(guest.lookup(&long), (3, None), "labels could carry data");
    let given = (0..400).filter(|number| guest.lookup(&format!("n{number}.example")).1.is_some()).count();
    assert!((256..300).contains(&given), "{given}");
    assert!(site.network.log().denials.iter().any(|denial| denial.rule == "too many names"));
}
