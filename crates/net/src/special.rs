//! Addresses that are not on the public internet, according to IANA's registries of special-purpose addresses (RFC 6890
//! and its successors), and metadata services of clouds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not a public one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Special {
    /// The purpose of the address.
    pub(crate) purpose: &'static str,
    /// Whether a name can be meant to lead to it: loopback, private networks, and ranges that laboratories and proxies
    /// use as private. Other addresses are never reached by name.
    pub(crate) can_be_meant: bool,
}

const fn private(purpose: &'static str) -> Special {
    Special { purpose, can_be_meant: true }
}

const fn closed(purpose: &'static str) -> Special {
    Special { purpose, can_be_meant: false }
}

/// The purpose of an address, if it is not a public one.
pub(crate) fn of(address: IpAddr) -> Option<Special> {
    match address {
        IpAddr::V4(address) => of_v4(address),
        IpAddr::V6(address) => of_v6(address),
    }
}

/// The address at which packets to this one arrive, as far as its form shows: itself, or the IPv4 address embedded in
/// it.
pub(crate) fn inner(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(outer) => embedded(outer).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// First address, length of the prefix, purpose.
type Entry4 = ([u8; 4], u32, Special);

/// The IANA IPv4 Special-Purpose Address Registry, multicast (RFC 5771), and metadata services outside of these ranges.
const V4: &[Entry4] = &[
    // Azure's WireServer, which has a public address.
    ([168, 63, 129, 16], 32, closed("a cloud's metadata service")),
    ([100, 100, 100, 200], 32, closed("a cloud's metadata service")),
    ([0, 0, 0, 0], 8, closed("this network")),
    ([10, 0, 0, 0], 8, private("a private network")),
    ([100, 64, 0, 0], 10, private("a carrier's shared addresses")),
    ([127, 0, 0, 0], 8, private("the host's loopback")),
    ([169, 254, 0, 0], 16, closed("link-local and metadata services")),
    ([172, 16, 0, 0], 12, private("a private network")),
    ([192, 0, 0, 0], 24, closed("protocol assignments")),
    ([192, 0, 2, 0], 24, private("documentation")),
    ([192, 31, 196, 0], 24, closed("AS112")),
    ([192, 52, 193, 0], 24, closed("AMT")),
    ([192, 88, 99, 0], 24, closed("6to4 relays")),
    ([192, 168, 0, 0], 16, private("a private network")),
    ([192, 175, 48, 0], 24, closed("AS112")),
    ([198, 18, 0, 0], 15, private("benchmarks, and names of this sandbox")),
    ([198, 51, 100, 0], 24, private("documentation")),
    ([203, 0, 113, 0], 24, private("documentation")),
    ([224, 0, 0, 0], 4, closed("multicast")),
    ([240, 0, 0, 0], 4, closed("reserved and broadcast")),
];

fn of_v4(address: Ipv4Addr) -> Option<Special> {
    let address = u32::from(address);
    let is_in =
        |(first, bits, _): &&Entry4| (address ^ u32::from(Ipv4Addr::from(*first))) >> (32 - bits) == 0;
    V4.iter().find(is_in).map(|(_, _, special)| *special)
}

/// First segments of the address, length of the prefix, purpose.
type Entry6 = ([u16; 4], u32, Special);

/// The IANA IPv6 Special-Purpose Address Registry. Outside of it, only `2000::/3` is assigned (RFC 4291, 2.4).
const V6: &[Entry6] = &[
    ([0x2001, 0, 0, 0], 23, closed("protocol assignments and tunnels")),
    ([0x2001, 0xdb8, 0, 0], 32, private("documentation")),
    ([0x2620, 0x4f, 0x8000, 0], 48, closed("AS112")),
    ([0x3fff, 0, 0, 0], 20, private("documentation")),
    ([0xfc00, 0, 0, 0], 7, private("a private network")),
    ([0xfe80, 0, 0, 0], 10, closed("link-local")),
    ([0xff00, 0, 0, 0], 8, closed("multicast")),
];

/// Metadata services of AWS (of instances, and of pods in EKS), Google, Oracle, Scaleway and Akamai, by their
/// documentation.
const METADATA_V6: [Ipv6Addr; 6] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1),
];

fn of_v6(address: Ipv6Addr) -> Option<Special> {
    if address.is_loopback() {
        return Some(private("the host's loopback"));
    }
    if METADATA_V6.contains(&address) {
        return Some(closed("a cloud's metadata service"));
    }
    if let Some(inner) = embedded(address) {
        return of_v4(inner);
    }
    let high = u128::from(address);
    let is_in = |(first, bits, _): &&Entry6| {
        let [a, b, c, d] = *first;
        let first = u128::from(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0));
        (high ^ first) >> (128 - bits) == 0
    };
    if let Some((_, _, special)) = V6.iter().find(is_in) {
        return Some(*special);
    }
    if address.segments()[0] >> 13 == 1 { None } else { Some(closed("reserved")) }
}

/// The IPv4 address embedded in an IPv6 address: mapped (RFC 4291, 2.5.5.2), NAT64 (RFC 6052, 2.1), 6to4 (RFC 3056, 2).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let of = |at: usize| Some(Ipv4Addr::from((u32::from(segments[at]) << 16) | u32::from(segments[at + 1])));
    match segments {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => of(6),
        [0x2002, ..] => of(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_of_a_special_address_is_recognised() {
        for address in [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "168.63.129.16",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001::1",
            "2001:db8::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
            "100::1",
            "4000::1",
        ] {
            assert!(of(address.parse().unwrap()).is_some(), "{address}");
        }
    }

    #[test]
    fn public_addresses_are_public() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert_eq!(of(address.parse().unwrap()), None, "{address}");
        }
    }

    #[test]
    fn metadata_addresses_cannot_be_allowed_by_name() {
        for address in [
            "169.254.169.254",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd00:a9fe:a9fe::1",
            "::ffff:169.254.169.254",
            "100.100.100.200",
        ] {
            assert!(!of(address.parse().unwrap()).unwrap().can_be_meant, "{address}");
        }
        assert!(of("10.0.0.1".parse().unwrap()).unwrap().can_be_meant);
    }
}
