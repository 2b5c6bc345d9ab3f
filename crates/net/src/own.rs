//! The addresses of this host: even a public one leads to the host's own services.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The largest part of a table that is read, in bytes.
const LIMIT: usize = 16 << 20;

/// The host's current addresses, from proc(5). Returns nothing if the system does not provide them: then nothing may be
/// reached.
pub(crate) fn addresses() -> Option<HashSet<IpAddr>> {
    let v4 = fs::read_to_string("/proc/net/fib_trie").ok().filter(|text| text.len() <= LIMIT)?;
    // Without IPv6 this table does not exist.
    let v6 = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    Some(of_v4(&v4).chain(of_v6(&v6)).collect())
}

/// A line `|-- 192.168.1.5` is followed by `/32 host LOCAL` for an address of this host.
fn of_v4(table: &str) -> impl Iterator<Item = IpAddr> {
    let pairs = table.lines().zip(table.lines().skip(1));
    pairs.filter(|(_, next)| next.trim().ends_with("host LOCAL")).filter_map(|(line, _)| {
        let address: Ipv4Addr = line.trim().strip_prefix("|-- ")?.parse().ok()?;
        Some(address.into())
    })
}

/// The first column is the address in 32 hexadecimal digits.
fn of_v6(table: &str) -> impl Iterator<Item = IpAddr> {
    table.lines().filter_map(|line| {
        let digits = line.split_whitespace().next().filter(|digits| digits.len() == 32)?;
        u128::from_str_radix(digits, 16).ok().map(|bits| Ipv6Addr::from(bits).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_addresses_are_included() {
        assert!(addresses().unwrap().contains(&Ipv4Addr::LOCALHOST.into()));
    }

    #[test]
    fn routing_tables_are_parsed() {
        let v4 = "Local:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 192.0.2.0\n        /24 link UNICAST\n     |-- 192.0.2.7\n        /32 host LOCAL\n";
        assert_eq!(of_v4(v4).collect::<Vec<_>>(), ["192.0.2.7".parse::<IpAddr>().unwrap()]);
        let v6 = "20010db8000000000000000000000007 02 40 00 80 eth0\nshort\n";
        assert_eq!(of_v6(v6).collect::<Vec<_>>(), ["2001:db8::7".parse::<IpAddr>().unwrap()]);
    }
}
