//! The sandbox's own network: one guest, one gateway. It has the addresses of QEMU's user network, because guests may
//! depend on them.

use std::net::Ipv4Addr;

use smoltcp::wire::EthernetAddress;

/// The guest's address. Packets from any other source address are dropped.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The gateway. Its ports stand for those of the host's loopback, which only a rule opens.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The resolver for names.
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// Where the model is served, over HTTP: nobody else is on the link.
pub const MODEL: (Ipv4Addr, u16) = (RESOLVER, 80);
/// The network mask, /24.
pub(crate) const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);

/// QEMU's address for the first network card. Clones have the same: the links keep sandboxes apart, not this.
pub const GUEST_MAC: EthernetAddress = EthernetAddress([0x52, 0x54, 0x00, 0x12, 0x34, 0x56]);
/// The gateway's, the same as in QEMU's user network.
pub(crate) const GATEWAY_MAC: EthernetAddress = EthernetAddress([0x52, 0x55, 10, 0, 2, 2]);

/// The longest IP packet in bytes: Ethernet's.
pub(crate) const MTU: usize = 1500;
