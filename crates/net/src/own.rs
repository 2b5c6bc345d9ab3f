//! The addresses of this host: even a public one leads to the host's own services.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::rule::Network;

/// The largest part of a table that is read, in bytes.
const LIMIT: u64 = 16 << 20;
/// The flag of a route to this host, `RTF_LOCAL` of `linux/ipv6_route.h`.
const LOCAL: u32 = 0x8000_0000;
/// The shortest prefix that is taken for addresses of this host, in bits. Transparent proxies have a route to this host
/// for every address, in a table for the packets that they redirect.
const SHORTEST: u8 = 8;

/// Addresses, and networks all of whose addresses are this host's.
#[derive(Debug, Default)]
pub(crate) struct Own {
    addresses: HashSet<IpAddr>,
    networks: Vec<Network>,
}

impl Own {
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.addresses.contains(&address) || self.networks.iter().any(|network| network.contains(address))
    }

    fn add(&mut self, address: IpAddr, bits: u8) {
        match Network::new(address, bits) {
            Some(network) if network == Network::one(address) => drop(self.addresses.insert(address)),
            Some(network) if bits >= SHORTEST => self.networks.push(network),
            _ => {}
        }
    }

    /// A line `|-- 192.0.2.7` is followed by a line for each route to networks that begin with this address, such as
    /// `/32 host LOCAL`.
    fn add_v4(&mut self, table: &str) {
        let mut first = None;
        for line in table.lines() {
            let mut words = line.split_whitespace();
            match (words.next(), words.next(), words.next()) {
                (Some("|--"), Some(address), _) => first = address.parse::<Ipv4Addr>().ok(),
                (Some(bits), _, Some("LOCAL")) => {
                    let bits = bits.strip_prefix('/').and_then(|bits| bits.parse().ok());
                    if let (Some(first), Some(bits)) = (first, bits) {
                        self.add(first.into(), bits);
                    }
                }
                _ => {}
            }
        }
    }

    /// The first column is the address in 32 hexadecimal digits.
    fn add_v6(&mut self, table: &str) {
        for line in table.lines() {
            if let Some(address) = line.split_whitespace().next().and_then(address_v6) {
                self.add(address, 128);
            }
        }
    }

    /// The first two columns are the address and the length of the prefix, and the last but one has the flags, all in
    /// hexadecimal digits.
    fn add_routes_v6(&mut self, table: &str) {
        for line in table.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [address, bits, .., flags, _] = words.as_slice() else { continue };
            let flags = u32::from_str_radix(flags, 16).unwrap_or_default();
            if let (Some(address), Ok(bits)) = (address_v6(address), u8::from_str_radix(bits, 16))
                && flags & LOCAL != 0
            {
                self.add(address, bits);
            }
        }
    }
}

impl FromIterator<IpAddr> for Own {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(addresses: I) -> Self {
        Self { addresses: addresses.into_iter().collect(), networks: Vec::new() }
    }
}

/// The host's current addresses, from proc(5). Returns nothing if the system does not provide them: then nothing may be
/// reached.
pub(crate) fn addresses() -> Option<Own> {
    of(|name| read(&format!("/proc/net/{name}"))).ok()
}

fn of(read: impl Fn(&str) -> io::Result<String>) -> io::Result<Own> {
    let mut own = Own::default();
    own.add_v4(&read("fib_trie")?);
    // Without IPv6 its tables do not exist. Any other error hides addresses.
    let optional = |name| match read(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        other => other,
    };
    own.add_v6(&optional("if_inet6")?);
    own.add_routes_v6(&optional("ipv6_route")?);
    Ok(own)
}

fn read(path: &str) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?.take(LIMIT + 1).read_to_string(&mut text)?;
    if length as u64 > LIMIT { Err(ErrorKind::FileTooLarge.into()) } else { Ok(text) }
}

fn address_v6(digits: &str) -> Option<IpAddr> {
    let bits = u128::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 32)?;
    Some(Ipv6Addr::from(bits).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 host LOCAL\n        /0 universe UNICAST\n\
        Local:\n     |-- 192.0.43.0\n        /31 link UNICAST\n        /32 host LOCAL\n     |-- 192.0.43.7\n        /32 host LOCAL tos=4\n\
        \x20    |-- 8.8.8.0\n        /24 host LOCAL\n     |-- 9.9.9.0\n        /24 link UNICAST\n";
    const ADDRESSES: &str = "26062800000000000000000000000007 02 40 00 80 eth0\nshort\n";
    const ROUTES: &str = "26070000000000000000000000000000 40 00 00 00 00000000 00000002 00000000 80200001       lo\n\
        26080000000000000000000000000000 40 00 00 00 00000100 00000001 00000000 00000001     eth0\n\
        00000000000000000000000000000000 00 00 00 00 00000400 00000002 00000000 80200001       lo\n";

    fn own(of_v6: impl Fn(&str) -> io::Result<String>) -> io::Result<Own> {
        of(|name| if name == "fib_trie" { Ok(V4.to_owned()) } else { of_v6(name) })
    }

    #[test]
    fn loopback_addresses_are_included() {
        assert!(addresses().unwrap().has(Ipv4Addr::LOCALHOST.into()));
        assert!(!addresses().unwrap().has("192.0.43.8".parse().unwrap()));
    }

    #[test]
    fn every_address_that_is_routed_to_the_host_is_its_own() {
        let own = own(|name| Ok(if name == "if_inet6" { ADDRESSES } else { ROUTES }.to_owned())).unwrap();
        for address in ["192.0.43.0", "192.0.43.7", "8.8.8.8", "2606:2800::7", "2607::1:2"] {
            assert!(own.has(address.parse().unwrap()), "{address}");
        }
        for address in ["192.0.43.1", "8.8.9.1", "9.9.9.9", "0.0.0.0", "2606:2800::8", "2608::1", "::2"] {
            assert!(!own.has(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn addresses_are_unknown_if_a_table_cannot_be_read() {
        let fails = |kind: ErrorKind| own(move |_| Err(kind.into())).is_ok();
        assert!(fails(ErrorKind::NotFound), "the host has no IPv6");
        assert!(!fails(ErrorKind::PermissionDenied));
        assert!(of(|_| Err(ErrorKind::NotFound.into())).is_err());
    }
}
