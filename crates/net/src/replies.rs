//! Replies to the guest that need no connection.

use std::net::{Ipv4Addr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetProtocol, Icmpv4DstUnreachable, Icmpv4Packet,
    Icmpv4Repr, Icmpv6DstUnreachable, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet,
    Ipv6Repr, UdpPacket, UdpRepr,
};

use crate::lan::{GATEWAY, GATEWAY_MAC, GUEST, GUEST_MAC, RESOLVER};
use crate::outgoing::Outgoing;

/// The hop limit of our packets.
const HOPS: u8 = 64;
/// The largest part of a packet that an error about it repeats, in bytes: an error fits in 576 bytes (RFC 1812,
/// 4.3.2.3).
const REPEATED: usize = 512;
/// The gateway's link-local address, derived from its MAC address (RFC 4291, appendix A).
const GATEWAY_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5055, 0x0aff, 0xfe00, 0x0202);
/// Ports of DHCP and DNS.
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;
const DNS: u16 = 53;

pub(crate) fn arp(out: &mut Outgoing, target: Ipv4Addr) {
    let reply = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Reply,
        source_hardware_addr: GATEWAY_MAC,
        source_protocol_addr: target,
        target_hardware_addr: GUEST_MAC,
        target_protocol_addr: GUEST,
    };
    out.add(EthernetProtocol::Arp, reply.buffer_len(), |bytes| {
        reply.emit(&mut ArpPacket::new_unchecked(bytes));
    });
}

/// Sends to every station: the guest does not know its address yet.
pub(crate) fn dhcp(out: &mut Outgoing, message: &[u8]) {
    let header = UdpRepr { src_port: DHCP_SERVER, dst_port: DHCP_CLIENT };
    udp(out, EthernetAddress::BROADCAST, (GATEWAY, Ipv4Addr::BROADCAST), header, message);
}

pub(crate) fn dns(out: &mut Outgoing, port: u16, message: &[u8]) {
    let header = UdpRepr { src_port: DNS, dst_port: port };
    udp(out, GUEST_MAC, (RESOLVER, GUEST), header, message);
}

fn udp(
    out: &mut Outgoing,
    station: EthernetAddress,
    path: (Ipv4Addr, Ipv4Addr),
    header: UdpRepr,
    message: &[u8],
) {
    let (from, to) = path;
    let length = header.header_len() + message.len();
    ipv4(out, station, path, IpProtocol::Udp, length, |bytes| {
        let mut datagram = UdpPacket::new_unchecked(bytes);
        let fill = |payload: &mut [u8]| payload.copy_from_slice(message);
        let checks = ChecksumCapabilities::default();
        header.emit(&mut datagram, &from.into(), &to.into(), message.len(), fill, &checks);
    });
}

pub(crate) fn echo(out: &mut Outgoing, from: Ipv4Addr, id: u16, number: u16, data: &[u8]) {
    icmp(out, from, &Icmpv4Repr::EchoReply { ident: id, seq_no: number, data });
}

/// Communication is administratively prohibited (RFC 1812, 5.2.7.1).
pub(crate) fn unreachable(out: &mut Outgoing, header: Ipv4Repr, payload: &[u8]) {
    let data = &payload[..payload.len().min(REPEATED)];
    icmp(
        out,
        GATEWAY,
        &Icmpv4Repr::DstUnreachable { reason: Icmpv4DstUnreachable::CommProhibited, header, data },
    );
}

fn icmp(out: &mut Outgoing, from: Ipv4Addr, message: &Icmpv4Repr<'_>) {
    ipv4(out, GUEST_MAC, (from, GUEST), IpProtocol::Icmp, message.buffer_len(), |bytes| {
        message.emit(&mut Icmpv4Packet::new_unchecked(bytes), &ChecksumCapabilities::default());
    });
}

fn ipv4(
    out: &mut Outgoing,
    station: EthernetAddress,
    (from, to): (Ipv4Addr, Ipv4Addr),
    protocol: IpProtocol,
    length: usize,
    fill: impl FnOnce(&mut [u8]),
) {
    if out.is_full() {
        return;
    }
    let header = Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: protocol,
        payload_len: length,
        hop_limit: HOPS,
    };
    out.add_to(station, EthernetProtocol::Ipv4, header.buffer_len() + length, |bytes| {
        header.emit(&mut Ipv4Packet::new_unchecked(&mut *bytes), &ChecksumCapabilities::default());
        fill(&mut bytes[header.buffer_len()..]);
    });
}

/// The same for IPv6, which is never passed on (RFC 4443, 3.1).
pub(crate) fn unreachable6(out: &mut Outgoing, header: Ipv6Repr, payload: &[u8]) {
    if out.is_full() {
        return;
    }
    let data = &payload[..payload.len().min(REPEATED)];
    let message = Icmpv6Repr::DstUnreachable { reason: Icmpv6DstUnreachable::AdminProhibit, header, data };
    let to = header.src_addr;
    let ip = Ipv6Repr {
        src_addr: GATEWAY_LINK,
        dst_addr: to,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: HOPS,
    };
    out.add(EthernetProtocol::Ipv6, ip.buffer_len() + message.buffer_len(), |bytes| {
        ip.emit(&mut Ipv6Packet::new_unchecked(&mut *bytes));
        let rest = &mut bytes[ip.buffer_len()..];
        let checks = ChecksumCapabilities::default();
        message.emit(&GATEWAY_LINK, &to, &mut Icmpv6Packet::new_unchecked(rest), &checks);
    });
}
