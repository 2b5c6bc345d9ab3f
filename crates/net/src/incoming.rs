//! Classifies the guest's frames without answering them. Frames that are malformed or not the guest's own are dropped.

use std::net::Ipv4Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv4Repr, IpProtocol,
    Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, TcpPacket, UdpPacket, UdpRepr,
};

use crate::lan::{GATEWAY, GATEWAY_MAC, GUEST, GUEST_MAC, MTU, RESOLVER};

/// A frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming<'a> {
    /// An ARP request for this address.
    Arp { target: Ipv4Addr },
    /// A TCP segment.
    Tcp(Segment<'a>),
    /// A DHCP message.
    Dhcp(&'a [u8]),
    /// A DNS message from this port.
    Dns { port: u16, message: &'a [u8] },
    /// An ICMP echo request.
    Echo { to: Ipv4Addr, id: u16, number: u16, data: &'a [u8] },
    /// An IPv4 packet that is never passed on, to a valid destination.
    Unreachable { header: Ipv4Repr, payload: &'a [u8], what: Unreachable },
    /// The same for IPv6.
    Unreachable6 { header: Ipv6Repr, payload: &'a [u8] },
    /// A frame to drop.
    Nothing,
}

/// What is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// UDP to this port.
    Udp(u16),
    /// Another protocol.
    Other,
}

/// A TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    /// Including its IP header.
    pub(crate) packet: &'a [u8],
    pub(crate) to: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) from_port: u16,
    /// Whether it opens a connection.
    pub(crate) is_first: bool,
}

/// Classifies a frame.
pub(crate) fn parse(frame: &[u8]) -> Incoming<'_> {
    parse_checked(frame).unwrap_or(Incoming::Nothing)
}

fn parse_checked(frame: &[u8]) -> Option<Incoming<'_>> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    // From a second network card of the guest, or a forged address.
    if frame.src_addr() != GUEST_MAC {
        return None;
    }
    let is_broadcast = frame.dst_addr().is_broadcast();
    if !is_broadcast && frame.dst_addr() != GATEWAY_MAC {
        return None;
    }
    match frame.ethertype() {
        EthernetProtocol::Arp => arp(frame.payload()),
        EthernetProtocol::Ipv4 => ipv4(frame.payload()),
        EthernetProtocol::Ipv6 if !is_broadcast => ipv6(frame.payload()),
        _ => None,
    }
}

fn arp(bytes: &[u8]) -> Option<Incoming<'_>> {
    let ArpRepr::EthernetIpv4 { operation, source_hardware_addr, target_protocol_addr, .. } =
        ArpRepr::parse(&ArpPacket::new_checked(bytes).ok()?).ok()?
    else {
        return None;
    };
    let is_ours = target_protocol_addr == GATEWAY || target_protocol_addr == RESOLVER;
    let asks = operation == ArpOperation::Request && source_hardware_addr == GUEST_MAC;
    (asks && is_ours).then_some(Incoming::Arp { target: target_protocol_addr })
}

fn ipv4(bytes: &[u8]) -> Option<Incoming<'_>> {
    let packet = Ipv4Packet::new_checked(bytes).ok()?;
    let checks = ChecksumCapabilities::default();
    let header = Ipv4Repr::parse(&packet, &checks).ok()?;
    // Never reassemble fragments: the result could differ from what was checked.
    if packet.version() != 4 || packet.more_frags() || packet.frag_offset() != 0 {
        return None;
    }
    let payload = packet.payload();
    if header.src_addr != GUEST
        && !(header.src_addr.is_unspecified() && header.next_header == IpProtocol::Udp)
    {
        return None;
    }
    let unreachable = |what| {
        let to = header.dst_addr;
        let is_unicast = !to.is_multicast() && !to.is_broadcast() && !to.is_unspecified();
        let is_on_lan = to.octets()[..3] == GATEWAY.octets()[..3] && to.octets()[3] == 255;
        let may_get_error = is_unicast && !is_on_lan && header.src_addr == GUEST;
        may_get_error.then_some(Incoming::Unreachable { header, payload, what })
    };
    match header.next_header {
        IpProtocol::Tcp => tcp(&bytes[..usize::from(packet.total_len())], header, payload),
        IpProtocol::Udp => {
            let datagram = UdpPacket::new_checked(payload).ok()?;
            let repr =
                UdpRepr::parse(&datagram, &header.src_addr.into(), &header.dst_addr.into(), &checks).ok()?;
            match (repr.src_port, repr.dst_port) {
                (68, 67) => Some(Incoming::Dhcp(datagram.payload())),
                (port, 53) if header.dst_addr == RESOLVER && header.src_addr == GUEST => {
                    Some(Incoming::Dns { port, message: datagram.payload() })
                }
                (_, port) => unreachable(Unreachable::Udp(port)),
            }
        }
        IpProtocol::Icmp => {
            let message = Icmpv4Packet::new_checked(payload).ok()?;
            match Icmpv4Repr::parse(&message, &checks).ok()? {
                Icmpv4Repr::EchoRequest { ident, seq_no, data }
                    if header.dst_addr == GATEWAY || header.dst_addr == RESOLVER =>
                {
                    Some(Incoming::Echo { to: header.dst_addr, id: ident, number: seq_no, data })
                }
                // An error must not be sent about an error (RFC 1122, 3.2.2).
                Icmpv4Repr::EchoRequest { .. } => unreachable(Unreachable::Other),
                _ => None,
            }
        }
        _ => unreachable(Unreachable::Other),
    }
}

fn tcp<'a>(packet: &'a [u8], header: Ipv4Repr, payload: &'a [u8]) -> Option<Incoming<'a>> {
    let segment = TcpPacket::new_checked(payload).ok()?;
    let is_plain =
        header.dst_addr.is_unspecified() || header.dst_addr.is_multicast() || header.dst_addr.is_broadcast();
    // The first segment of each connection is kept until the host has connected, so its length is bounded.
    let is_too_long = packet.len() > MTU;
    if is_plain || is_too_long || segment.src_port() == 0 || segment.dst_port() == 0 {
        return None;
    }
    Some(Incoming::Tcp(Segment {
        packet,
        to: header.dst_addr,
        port: segment.dst_port(),
        from_port: segment.src_port(),
        is_first: segment.syn() && !segment.ack() && !segment.rst() && !segment.fin(),
    }))
}

fn ipv6(bytes: &[u8]) -> Option<Incoming<'_>> {
    let packet = Ipv6Packet::new_checked(bytes).ok()?;
    let header = Ipv6Repr::parse(&packet).ok()?;
    let is_error = header.next_header == IpProtocol::Icmpv6;
    if is_error
        || header.dst_addr.is_multicast()
        || header.src_addr.is_multicast()
        || header.src_addr.is_unspecified()
    {
        return None;
    }
    let start = bytes.len().min(40);
    let end = bytes.len().min(start + header.payload_len);
    Some(Incoming::Unreachable6 { header, payload: &bytes[start..end] })
}
