use std::net::Ipv4Addr;

use rave_testing::parsers::{Sample, feed_any, feed_mutated, save_seeds};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpRepr, DhcpMessageType, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4Repr,
    IpProtocol, Ipv4Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber, UdpPacket, UdpRepr,
};

use super::*;
use crate::lan::{GATEWAY, GATEWAY_MAC, GUEST, GUEST_MAC, RESOLVER};

const AAAA: u16 = 28;
const HTTPS: u16 = 65;
const ANY: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// A frame of the guest in QEMU's framing.
fn frame(to: EthernetAddress, protocol: EthernetProtocol, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 14 + payload.len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    frame.set_src_addr(GUEST_MAC);
    frame.set_dst_addr(to);
    frame.set_ethertype(protocol);
    frame.payload_mut().copy_from_slice(payload);
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat()
}

fn ipv4(to: Ipv4Addr, next_header: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let header =
        Ipv4Repr { src_addr: GUEST, dst_addr: to, next_header, payload_len: payload.len(), hop_limit: 64 };
    let mut bytes = vec![0; header.buffer_len()];
    header.emit(&mut smoltcp::wire::Ipv4Packet::new_unchecked(&mut bytes), &ChecksumCapabilities::default());
    frame(GATEWAY_MAC, EthernetProtocol::Ipv4, &[bytes, payload.to_vec()].concat())
}

fn udp(to: Ipv4Addr, ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let header = UdpRepr { src_port: ports.0, dst_port: ports.1 };
    let mut bytes = vec![0; header.header_len() + payload.len()];
    header.emit(
        &mut UdpPacket::new_unchecked(&mut bytes),
        &GUEST.into(),
        &to.into(),
        payload.len(),
        |into| into.copy_from_slice(payload),
        &ChecksumCapabilities::default(),
    );
    ipv4(to, IpProtocol::Udp, &bytes)
}

fn syn() -> Vec<u8> {
    let segment = TcpRepr {
        src_port: 4000,
        dst_port: 443,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(1),
        ack_number: None,
        window_len: 64_000,
        window_scale: Some(7),
        max_seg_size: Some(1460),
        sack_permitted: true,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: b"",
    };
    let mut bytes = vec![0; segment.buffer_len()];
    let ends = (&GUEST.into(), &ANY.into());
    segment.emit(&mut TcpPacket::new_unchecked(&mut bytes), ends.0, ends.1, &ChecksumCapabilities::default());
    ipv4(ANY, IpProtocol::Tcp, &bytes)
}

fn echo() -> Vec<u8> {
    let request = Icmpv4Repr::EchoRequest { ident: 1, seq_no: 2, data: b"ping" };
    let mut bytes = vec![0; request.buffer_len()];
    request
        .emit(&mut smoltcp::wire::Icmpv4Packet::new_unchecked(&mut bytes), &ChecksumCapabilities::default());
    ipv4(GATEWAY, IpProtocol::Icmp, &bytes)
}

fn arp() -> Vec<u8> {
    let request = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: GUEST_MAC,
        source_protocol_addr: GUEST,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: GATEWAY,
    };
    let mut bytes = vec![0; request.buffer_len()];
    request.emit(&mut smoltcp::wire::ArpPacket::new_unchecked(&mut bytes));
    frame(EthernetAddress::BROADCAST, EthernetProtocol::Arp, &bytes)
}

/// An empty UDP datagram from `fe80::1` to `fe80::2` (RFC 8200, 3).
fn ipv6() -> Vec<u8> {
    let mut bytes = vec![0x60, 0, 0, 0, 0, 8, 17, 64, 0xfe, 0x80];
    bytes.extend([0; 13]);
    bytes.extend([1, 0xfe, 0x80]);
    bytes.extend([0; 13]);
    bytes.extend([2, 0, 1, 0, 9, 0, 8, 0, 0]);
    frame(GATEWAY_MAC, EthernetProtocol::Ipv6, &bytes)
}

fn discover() -> Vec<u8> {
    dhcp::tests::message(DhcpMessageType::Discover, None)
}

fn request() -> Vec<u8> {
    dhcp::tests::message(DhcpMessageType::Request, Some(GUEST))
}

const REQUESTS: [&str; 6] = [
    "GET /a HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nAuthorization: Bearer placeholder\r\n\r\n",
    "POST /b HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello",
    "POST /c HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n",
    "GET /d HTTP/1.1\r\nHost: a.example\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhl\r\n\r\n",
    "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nCookie: a=b; c=d\r\nOrigin: http://a.example\r\n\r\n",
    "GET / HTTP/1.0\r\nHost: a.example\r\nAuthorization: Basic YTpwbGFjZWhvbGRlcg==\r\n\r\n",
];

const ANSWERS: [&str; 4] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nSet-Cookie: a=b; Domain=x\r\n\r\naba-ab ok",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
];

const MODEL: [&str; 2] = [
    r#"{"type":"message","model":"m","usage":{"input_tokens":3,"output_tokens":5,"cache_read_input_tokens":1}}"#,
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":3}}}\n\n\
     event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\n\n",
];

/// An exchange with a page, as [`net_pages`] expects it.
fn exchange() -> Vec<u8> {
    let request = "\0GET / HTTP/1.1\r\nHost: box.localhost:8080\r\nOrigin: http://box.localhost:8080\r\n\r\n";
    let answer = "\x01HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nok";
    [request.as_bytes(), answer.as_bytes()].join(&0xff)
}

fn hellos() -> [Vec<u8>; 2] {
    [hello::tests::hello("a.example"), hello::tests::split("api.example.com", 40)]
}

fn questions() -> [Vec<u8>; 3] {
    [("api.example.com", dns::A, true), ("a.b", AAAA, false), ("www.example.com", HTTPS, true)]
        .map(|(name, kind, edns)| dns::tests::query(name, kind, edns))
}

fn samples() -> Vec<Sample> {
    let [question, ..] = questions();
    let frames = [
        [arp(), echo(), ipv6()].concat(),
        [udp(GATEWAY, (68, 67), &discover()), udp(GATEWAY, (68, 67), &request())].concat(),
        [udp(RESOLVER, (5353, 53), &question), udp(ANY, (5353, 443), b"quic"), syn()].concat(),
    ];
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    let of = |name: &'static str, samples: Vec<Vec<u8>>| samples.into_iter().map(move |bytes| (name, bytes));
    of("net_frames", frames.to_vec())
        .chain(of("net_dhcp", vec![discover(), request()]))
        .chain(of("net_dns", questions().to_vec()))
        .chain(of("net_hello", hellos().to_vec()))
        .chain(of("net_http", texts(&REQUESTS)))
        .chain(of("net_pages", vec![exchange()]))
        .chain(of("net_request", texts(&REQUESTS)))
        .chain(of("net_answer", texts(&ANSWERS)))
        .chain(of("net_usage", texts(&MODEL)))
        .collect()
}

/// The kinds of the frames in QEMU's framing.
fn kinds(bytes: &[u8]) -> Vec<&'static str> {
    let mut decoder = Decoder::default();
    decoder.push(bytes);
    let mut kinds = Vec::new();
    while let Some(frame) = decoder.next_frame().unwrap() {
        kinds.push(match incoming::parse(frame) {
            Incoming::Arp { .. } => "ARP",
            Incoming::Tcp(_) => "TCP",
            Incoming::Dhcp(_) => "DHCP",
            Incoming::Dns { .. } => "DNS",
            Incoming::Echo { .. } => "echo",
            Incoming::Unreachable { .. } => "unreachable",
            Incoming::Unreachable6 { .. } => "unreachable6",
            Incoming::Nothing => "nothing",
        });
    }
    kinds
}

#[test]
fn each_sample_is_accepted() {
    let samples = samples();
    let frames: Vec<_> =
        samples.iter().filter(|(name, _)| *name == "net_frames").map(|(_, frames)| kinds(frames)).collect();
    assert_eq!(
        frames,
        [vec!["ARP", "echo", "unreachable6"], vec!["DHCP", "DHCP"], vec!["DNS", "unreachable", "TCP"]]
    );
    assert!([discover(), request()].iter().all(|message| dhcp::answer(message).is_some()));
    assert!(questions().iter().all(|bytes| matches!(dns::parse(bytes), Some(Message::Question(_)))));
    assert!(hellos().iter().all(|bytes| matches!(hello::parse(bytes), Hello::For(_))));
    assert!(REQUESTS.iter().all(|text| {
        let end = head::end(text.as_bytes()).unwrap();
        Head::parse(&text.as_bytes()[..end - 4]).is_ok()
    }));
    assert!(ANSWERS.iter().all(|text| {
        let end = head::end(text.as_bytes()).unwrap();
        ResponseHead::parse(&text.as_bytes()[..end - 4]).is_ok()
    }));
    for (is_stream, text) in [(false, MODEL[0]), (true, MODEL[1])] {
        let mut reader = Reader::new(is_stream);
        reader.take(text.as_bytes());
        assert_eq!(reader.finish().0.as_deref(), Some("m"));
    }
    save_seeds(&samples);
}

#[test]
fn mutated_samples_are_handled() {
    feed_mutated(PARSERS, &samples());
}

#[test]
fn any_bytes_are_handled() {
    feed_any(PARSERS);
}
