//! `[network]`: what sandboxes may reach by default.

use std::fmt;
use std::str::FromStr;

use crate::InvalidValue;
use crate::names::NetworkMode;
use crate::reader::{Reader, Section};
use crate::value;

/// The longest rule, in characters: a host name has at most 253.
pub const NETWORK_RULE_MAX: usize = 300;
const RULE: &str =
    "a rule: a name, *.DOMAIN, HOST:PORT/tcp, or an address, with ,private for one of a private network";

/// A rule as text. The network crate parses it; here only its characters are checked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetworkRule(String);

impl NetworkRule {
    /// The text of the rule.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NetworkRule {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._*:/,[]".contains(c);
        if text.is_empty() || text.len() > NETWORK_RULE_MAX || !text.chars().all(fits) {
            return Err(InvalidValue::new(format!("{text:?} is not a rule"), RULE));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for NetworkRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What sandboxes may reach.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetworkDefaults {
    /// What may be reached if no rule decides; `restricted` if absent.
    pub mode: Option<NetworkMode>,
    /// What may be reached.
    pub allow: Vec<NetworkRule>,
    /// What may not be reached, even if it is allowed.
    pub deny: Vec<NetworkRule>,
}

pub(crate) fn parse(mut section: Section<'_>, reader: &mut Reader) -> Option<NetworkDefaults> {
    const MODES: &str = "restricted, offline, learn or open";
    let mode = section.optional(reader, "mode", |_, node, _| value::text(node, MODES)?.parse());
    let mut rules = |name: &str| {
        let rule = |node: &_| value::text(node, RULE)?.parse();
        section.list(reader, name, "a list of rules", rule, NetworkRule::as_str)
    };
    let (allow, deny) = (rules("allow"), rules("deny"));
    section.finish(reader);
    Some(NetworkDefaults {
        mode: mode.map(Some).or(None)?,
        allow: allow.or(Vec::new())?,
        deny: deny.or(Vec::new())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rules_are_accepted() {
        for good in [
            "api.example.com",
            "*.example.com",
            "db.example.com:5432/tcp",
            "10.0.0.0/8,private",
            "[::1]:80/tcp",
        ] {
            assert_eq!(good.parse::<NetworkRule>().unwrap().as_str(), good);
        }
        for bad in ["", "a b", "$(id)", "a;b", "a\nb", &"a".repeat(301)] {
            assert!(bad.parse::<NetworkRule>().is_err(), "{bad:?}");
        }
    }
}
