//! Host names in a canonical form.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes without the final dot (RFC 1035, 2.3.4).
const MAX: usize = 253;
/// The longest label, in bytes (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;
/// The largest number of labels that `*` matches.
pub(crate) const WILD_LABELS: usize = 3;
/// The largest number of bytes that `*` matches.
pub(crate) const WILD_BYTES: usize = 63;

/// A host name in lower case, without a final dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

/// A name, or all names below one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NamePattern {
    name: HostName,
    is_wildcard: bool,
}

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadName(&'static str);

impl HostName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host in the name of one of its services, `_http._tcp.HOST` (RFC 2782); nothing for any other name.
    pub(crate) fn host_of_service(&self) -> Option<Self> {
        let mut rest = self.0.as_str();
        while rest.starts_with('_') {
            rest = rest.split_once('.')?.1;
        }
        (rest.len() < self.0.len()).then(|| rest.parse().ok()).flatten()
    }
}

impl FromStr for HostName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.is_empty() {
            return Err(BadName("the name is empty"));
        }
        if name.len() > MAX {
            return Err(BadName("the name has more than 253 characters"));
        }
        for label in name.split('.') {
            if label.is_empty() || label.len() > MAX_LABEL {
                return Err(BadName("each part of a name has 1 to 63 characters"));
            }
            // No host name has an underscore (RFC 1123, 2.1), but some are in use.
            if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')) {
                return Err(BadName(
                    "a name has letters, digits, hyphens and dots; write others in punycode",
                ));
            }
        }
        // inet_aton(3) reads a name whose last part is a number as an address.
        let last = name.rsplit('.').next().unwrap_or(name);
        let is_hexadecimal = last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
        let is_number = is_hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit());
        if is_number || name.eq_ignore_ascii_case("localhost") {
            return Err(BadName(
                "this means an address; write it as one, such as 127.0.0.1:8080/tcp,private",
            ));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for HostName {
    type Error = BadName;

    fn try_from(text: String) -> Result<Self, BadName> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

impl NamePattern {
    /// Matches this name only.
    pub fn exact(name: HostName) -> Self {
        Self { name, is_wildcard: false }
    }

    /// The name, without the `*.` of a wildcard.
    pub fn name(&self) -> &HostName {
        &self.name
    }

    /// Whether it stands for all names below its own.
    pub fn is_wildcard(&self) -> bool {
        self.is_wildcard
    }

    /// Whether it matches a name. What `*` matches is limited, because labels could carry data out.
    pub fn matches(&self, name: &HostName) -> bool {
        if !self.is_wildcard {
            return self.name == *name;
        }
        self.below(name)
            .is_some_and(|rest| rest.len() <= WILD_BYTES && rest.split('.').count() <= WILD_LABELS)
    }

    /// Whether it covers a name of any length; for denials.
    pub fn covers(&self, name: &HostName) -> bool {
        if self.is_wildcard { self.below(name).is_some() } else { self.name == *name }
    }

    fn below<'a>(&self, name: &'a HostName) -> Option<&'a str> {
        name.0.strip_suffix(&self.name.0)?.strip_suffix('.').filter(|rest| !rest.is_empty())
    }
}

impl FromStr for NamePattern {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        match text.strip_prefix("*.") {
            None if text == "*" => Err(BadName("`*` is followed by a dot and a domain")),
            None => Ok(Self::exact(text.parse()?)),
            Some(domain) => Ok(Self { name: domain.parse()?, is_wildcard: true }),
        }
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_wildcard { write!(f, "*.{}", self.name) } else { write!(f, "{}", self.name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        text.parse().unwrap()
    }

    #[test]
    fn a_wildcard_matches_subdomains_and_not_the_name_itself() {
        let pattern: NamePattern = "*.example.com".parse().unwrap();
        assert!(pattern.matches(&name("a.example.com")) && pattern.matches(&name("a.b.EXAMPLE.com.")));
        for other in ["example.com", "badexample.com", "example.com.evil.org"] {
            assert!(!pattern.matches(&name(other)), "{other}");
        }
    }

    #[test]
    fn a_name_that_programs_read_as_an_address_is_none() {
        for text in ["0x7f000001", "0X7F000001", "127.0.0.0X1", "127.1", "2130706433", "LocalHost"] {
            assert!(text.parse::<HostName>().is_err(), "{text}");
        }
        assert!("0x.example".parse::<HostName>().is_ok());
    }

    #[test]
    fn matches_of_a_wildcard_are_short() {
        let pattern: NamePattern = "*.example.com".parse().unwrap();
        let long = name(&format!("{}.x.example.com", "d".repeat(63)));
        assert!(!pattern.matches(&long) && pattern.covers(&long));
        assert!(!pattern.matches(&name("a.b.c.d.example.com")));
    }
}
