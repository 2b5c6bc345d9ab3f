//! One rule, in the form that a user writes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::group::Group;
use crate::name::{HostName, NamePattern};
use crate::special;

/// Follows a rule whose host may be in a private range.
const PRIVATE: &str = ",private";
/// Follows a rule whose TLS is inspected.
const INSPECT: &str = ",inspect";

/// Follows a group to which requests may write.
const WRITE: &str = ":write";

/// `api.example.com`, `*.example.com`, `db.example.com:5432/tcp`, `10.0.0.7:5432/tcp,private`, `10.0.0.0/8,private`,
/// `api.example.com,inspect`, `npm`, `npm:write`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rule {
    /// The destination.
    pub host: Host,
    /// The ports.
    pub ports: Ports,
    /// Whether the address may belong to this host or its network.
    pub private: bool,
    /// Whether TLS is inspected and each request checked.
    pub inspect: bool,
}

/// The other end of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// By name.
    Name(NamePattern),
    /// By address.
    Network(Network),
    /// The hosts of a group.
    Group {
        /// The group.
        group: Group,
        /// Whether requests may write there.
        write: bool,
    },
}

/// Addresses with the same prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    /// The length of the prefix in bits: at most 32, or 128.
    bits: u8,
}

/// The ports of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ports {
    /// 443 with TLS and 80 with HTTP, both for this name. In a rule that denies: every port.
    Web,
    /// This port, with any protocol over TCP.
    One(u16),
}

/// Why a text is not a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a rule: {why}")]
pub struct BadRule {
    text: String,
    why: String,
}

impl BadRule {
    fn new(text: &str, why: impl Into<String>) -> Self {
        Self { text: text.chars().take(300).collect(), why: why.into() }
    }
}

impl Rule {
    /// The narrowest rule for this name and port.
    pub fn of_name(name: &HostName, port: u16) -> Self {
        let ports = if matches!(port, 80 | 443) { Ports::Web } else { Ports::One(port) };
        Self { host: Host::Name(NamePattern::exact(name.clone())), ports, private: false, inspect: false }
    }

    /// The narrowest rule for this address and port.
    pub fn of_address(address: IpAddr, port: u16) -> Self {
        let host = Host::Network(Network::one(address));
        Self { host, ports: Ports::One(port), private: special::of(address).is_some(), inspect: false }
    }

    /// The rule for a group; `write` allows requests that change something.
    pub fn of_group(group: Group, write: bool) -> Self {
        Self { host: Host::Group { group, write }, ports: Ports::Web, private: false, inspect: false }
    }

    /// Whether it is about addresses, and this is one of them.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        matches!(self.host, Host::Network(network) if network.contains(address))
    }

    /// Whether it covers this port as a rule that denies.
    pub(crate) fn denies_port(&self, port: u16) -> bool {
        match self.ports {
            Ports::Web => true,
            Ports::One(one) => one == port,
        }
    }
}

impl Network {
    /// This address only.
    pub fn one(address: IpAddr) -> Self {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        Self { address, bits }
    }

    /// The addresses with the same first `bits` bits; nothing if an address has fewer.
    pub(crate) fn new(address: IpAddr, bits: u8) -> Option<Self> {
        (bits <= Self::one(address).bits).then_some(Self { address, bits })
    }

    /// Whether it contains an address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |ours: u128, other: u128, width: u32| {
            let rest = width - u32::from(self.bits);
            ours.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
        };
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => {
                same(u32::from(ours).into(), u32::from(other).into(), 32)
            }
            (IpAddr::V6(ours), IpAddr::V6(other)) => same(ours.into(), other.into(), 128),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| "that is not an address")?;
        let most = Self::one(address).bits;
        let bits = match bits {
            Some(bits) => bits.parse::<u8>().ok().filter(|bits| (8..=most).contains(bits)),
            None => Some(most),
        };
        let bits = bits.ok_or("the prefix length is a number from 8 to the length of the address")?;
        Ok(Self { address, bits })
    }
}

impl FromStr for Rule {
    type Err = BadRule;

    fn from_str(text: &str) -> Result<Self, BadRule> {
        let bad = |why: &str| BadRule::new(text, why);
        if let Some(rule) = Self::parse_group(text) {
            return Ok(rule);
        }
        let (mut rest, mut private, mut inspect) = (text, false, false);
        loop {
            rest = match (rest.strip_suffix(PRIVATE), rest.strip_suffix(INSPECT)) {
                (Some(shorter), _) if !private => {
                    private = true;
                    shorter
                }
                (_, Some(shorter)) if !inspect => {
                    inspect = true;
                    shorter
                }
                _ => break,
            };
        }
        if rest != text && Self::parse_group(rest).is_some() {
            return Err(bad(
                "a group takes neither ,private nor ,inspect: its TLS is inspected, and its hosts are as the host's clients name them",
            ));
        }
        let (host, ports) = split_port(rest).map_err(bad)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if let Ok(network) = bare.parse::<Network>() {
            if !private && special::of(network.address).is_some() {
                let message =
                    format!("{bare} is not a public address; if it is intended, write {text}{PRIVATE}");
                return Err(BadRule::new(text, message));
            }
            if inspect {
                return Err(bad("TLS is inspected only for names; write HOST,inspect"));
            }
            return Ok(Self { host: Host::Network(network), ports, private, inspect });
        }
        if bare.contains('/') {
            return Err(bad("a rule is HOST, *.DOMAIN, HOST:PORT/tcp or ADDRESS/BITS, without a path"));
        }
        let pattern: NamePattern = bare.parse().map_err(|error| BadRule::new(text, format!("{error}")))?;
        Ok(Self { host: Host::Name(pattern), ports, private, inspect })
    }
}

impl Rule {
    fn parse_group(text: &str) -> Option<Self> {
        let (name, write) = text.strip_suffix(WRITE).map_or((text, false), |name| (name, true));
        Some(Self::of_group(name.parse().ok()?, write))
    }
}

/// Splits a host and its port: `HOST:PORT/tcp`.
fn split_port(text: &str) -> Result<(&str, Ports), &'static str> {
    let Some(rest) = text.strip_suffix("/tcp") else {
        let has_port = text.rsplit_once(':').is_some_and(|(host, port)| {
            !host.contains(':') && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
        });
        if has_port || text.ends_with("/udp") {
            return Err("a port is written as HOST:PORT/tcp; UDP is not supported");
        }
        return Ok((text, Ports::Web));
    };
    let (host, port) = rest.rsplit_once(':').ok_or("a port is written as HOST:PORT/tcp")?;
    let port = port.parse::<u16>().ok().filter(|port| *port != 0).ok_or("a port is a number up to 65535")?;
    Ok((host, Ports::One(port)))
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if self.bits == Self::one(self.address).bits { Ok(()) } else { write!(f, "/{}", self.bits) }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.ports) {
            (Host::Name(name), _) => write!(f, "{name}")?,
            (Host::Network(network), Ports::One(_)) if network.address.is_ipv6() => write!(f, "[{network}]")?,
            (Host::Network(network), _) => write!(f, "{network}")?,
            (Host::Group { group, write }, _) => {
                return write!(f, "{group}{}", if *write { WRITE } else { "" });
            }
        }
        if let Ports::One(port) = self.ports {
            write!(f, ":{port}/tcp")?;
        }
        if self.private {
            f.write_str(PRIVATE)?;
        }
        if self.inspect { f.write_str(INSPECT) } else { Ok(()) }
    }
}

impl TryFrom<String> for Rule {
    type Error = BadRule;

    fn try_from(text: String) -> Result<Self, BadRule> {
        text.parse()
    }
}

impl From<Rule> for String {
    fn from(rule: Rule) -> Self {
        rule.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rules_round_trip() {
        for text in [
            "api.example.com",
            "*.example.com",
            "db.example.com:5432/tcp",
            "intranet.example:8080/tcp,private",
            "192.0.43.7",
            "192.0.43.7:22/tcp",
            "10.0.0.0/8,private",
            "127.0.0.1:8080/tcp,private",
            "[fd00::1]:22/tcp,private",
            "[2606:2800::/32]:22/tcp",
            "api.example.com,inspect",
            "*.example.com:8443/tcp,private,inspect",
            "npm",
            "git:write",
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        assert_eq!("API.Example.COM.".parse::<Rule>().unwrap().to_string(), "api.example.com");
    }

    #[test]
    fn ambiguous_rules_are_refused() {
        for (text, why) in [
            ("", "empty"),
            ("*", "a dot"),
            ("**.example.com", "letters"),
            ("a.*.example.com", "letters"),
            ("https://example.com", "without a path"),
            ("example.com/x", "without a path"),
            ("example.com:443", "PORT/tcp"),
            ("example.com:443/udp", "UDP is not supported"),
            ("example.com:0/tcp", "65535"),
            ("example.com:70000/tcp", "65535"),
            ("10.0.0.7:5432/tcp", ",private"),
            ("127.0.0.1", ",private"),
            ("npm,private", "a group takes neither"),
            ("npm:write,inspect", "a group takes neither"),
            ("[::1]:80/tcp", ",private"),
            ("0.0.0.0/0", "without a path"),
            ("bücher.example", "letters"),
            ("localhost", "address"),
            ("127.1", "address"),
            ("192.0.43.7,inspect", "inspected only for names"),
            ("a.example,inspect,inspect", "letters"),
            ("npm:read", "letters"),
        ] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_network_matches_its_prefix() {
        let network: Network = "10.1.0.0/16".parse().unwrap();
        assert!(network.contains("10.1.255.1".parse().unwrap()));
        assert!(!network.contains("10.2.0.1".parse().unwrap()));
        assert!(!network.contains("::ffff:10.1.0.1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn any_text_is_handled_and_a_rule_matches_itself(text in ".{0,80}") {
            if let Ok(rule) = text.parse::<Rule>() {
                prop_assert_eq!(rule.to_string().parse::<Rule>().unwrap(), rule);
            }
        }
    }
}
