//! What a sandbox may reach, as pure data. Each answer names the rule that decided.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::group::{Group, Groups, Origin};
use crate::name::{HostName, NamePattern};
use crate::rule::{Host, Ports, Rule};

/// The largest number of rules of each kind.
pub const MAX_RULES: usize = 1000;

/// What may be reached if no rule decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Nothing.
    #[default]
    Restricted,
    /// Nothing, even if rules allow it.
    Offline,
    /// Public addresses; the rules that a list would need are recorded.
    Learn,
    /// Public addresses.
    Open,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 4] = [Self::Restricted, Self::Offline, Self::Learn, Self::Open];

    /// The name of the mode.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restricted => "restricted",
            Self::Offline => "offline",
            Self::Learn => "learn",
            Self::Open => "open",
        }
    }

    /// Whether public addresses may be reached without a rule.
    pub fn is_public(self) -> bool {
        matches!(self, Self::Learn | Self::Open)
    }
}

impl std::str::FromStr for Mode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::as_str).join(", ");
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| format!("expected one of {}", known()))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A mode and rules. A rule that denies takes precedence over all that allow.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Policy {
    /// The mode.
    pub mode: Mode,
    /// What may be reached.
    #[serde(default)]
    pub allow: Vec<Rule>,
    /// What may not be reached.
    #[serde(default)]
    pub deny: Vec<Rule>,
    /// The hosts of groups.
    #[serde(default)]
    pub groups: Groups,
    /// Whether pages of the guest may connect anywhere in a browser of the host, whatever the mode.
    #[serde(default)]
    pub open_pages: bool,
}

/// The destination of a connection, as the guest means it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    /// A name that the guest resolved.
    Name(HostName),
    /// An address.
    Address(IpAddr),
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// What is checked before a connection's data is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// The name in the TLS hello.
    Tls,
    /// The host of each HTTP request.
    Http,
    /// The name in the TLS hello, and each request inside.
    Inspected,
    /// Nothing.
    Nothing,
}

/// A connection that may be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// What is checked.
    pub check: Check,
    /// Which requests are passed on, if they are checked.
    pub access: Access,
    /// Whether the address may be private, or the host's own.
    pub private: bool,
    /// Whether a rule allows it, rather than only the mode.
    pub is_named: bool,
    /// The fields of the user's secrets for the host: if there are any, no other credential is passed on.
    pub guarded: Vec<String>,
    /// The rule that decided.
    pub rule: String,
}

/// Why something may not be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule that decided.
    pub rule: String,
    /// The rule that would allow it, if any.
    pub allow: Option<Rule>,
}

/// A name that may be resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolvable {
    /// The rule that decided.
    pub rule: String,
    /// Whether only a wildcard matches it.
    pub is_wild: bool,
}

impl Policy {
    /// Whether a name may be resolved: it must be allowed on some port.
    pub fn resolve(&self, name: &HostName) -> Result<Resolvable, Refusal> {
        let denied = self.deny.iter().find(|rule| rule.ports == Ports::Web && self.covers(rule, name));
        if let Some(rule) = denied {
            return Err(Refusal { rule: format!("deny {rule}"), allow: None });
        }
        let matching = self.allow.iter().filter_map(|rule| match &rule.host {
            Host::Name(pattern) if pattern.matches(name) => Some((rule, pattern.is_wildcard())),
            Host::Group { group, .. } if self.groups.of(*group).any(|origin| origin.host == *name) => {
                Some((rule, false))
            }
            _ => None,
        });
        let found = matching.min_by_key(|(_, is_wild)| *is_wild);
        match found {
            Some((rule, is_wild)) if self.mode != Mode::Offline => {
                Ok(Resolvable { rule: format!("allow {rule}"), is_wild })
            }
            None if self.mode.is_public() => {
                Ok(Resolvable { rule: format!("mode {}", self.mode), is_wild: false })
            }
            _ => Err(self.refusal(Rule::of_name(name, 443))),
        }
    }

    /// Whether a connection may be made.
    pub fn connect(&self, to: &Destination, port: u16) -> Result<Grant, Refusal> {
        let denied = self.deny.iter().find(|rule| rule.denies_port(port) && self.is_about(rule, to, true));
        if let Some(rule) = denied {
            return Err(Refusal { rule: format!("deny {rule}"), allow: None });
        }
        let would = match to {
            Destination::Name(name) => Rule::of_name(name, port),
            Destination::Address(address) => Rule::of_address(*address, port),
        };
        if self.mode == Mode::Offline {
            return Err(self.refusal(would));
        }
        let grants = self.allow.iter().filter(|rule| self.is_about(rule, to, false));
        let grants: Vec<Grant> = grants.filter_map(|rule| self.grant(rule, to, port)).collect();
        let inspects = grants.iter().any(|grant| grant.check == Check::Inspected);
        // If several rules match, the most permissive applies, because its author meant it. If one of them opens TLS,
        // it is inspected.
        let most = grants
            .into_iter()
            .max_by_key(|grant| (grant.private, grant.check == Check::Nothing, grant.access == Access::Full));
        match most {
            Some(grant) if inspects && grant.check == Check::Tls => {
                Ok(Grant { check: Check::Inspected, ..grant })
            }
            Some(grant) => Ok(grant),
            None if self.mode.is_public() => {
                let rule = format!("mode {}", self.mode);
                let (check, access) = (Check::Nothing, Access::Full);
                Ok(Grant { check, access, private: false, is_named: false, guarded: Vec::new(), rule })
            }
            None => Err(self.refusal(would)),
        }
    }

    /// The rules that deny addresses on a port. They also apply to the addresses of names, which are known once a
    /// connection is made.
    pub(crate) fn denied_addresses(&self, port: u16) -> Vec<Rule> {
        let is_about = |rule: &&Rule| rule.denies_port(port) && matches!(rule.host, Host::Network(_));
        self.deny.iter().filter(is_about).cloned().collect()
    }

    /// Whether the model is served.
    pub fn model(&self) -> Result<(), Refusal> {
        let is_it = |rule: &Rule| matches!(rule.host, Host::Group { group: Group::Model, .. });
        match self.deny.iter().find(|rule| is_it(rule)) {
            Some(rule) => Err(Refusal { rule: format!("deny {rule}"), allow: None }),
            None if self.mode != Mode::Offline && self.allow.iter().any(is_it) => Ok(()),
            None => Err(self.refusal(Rule::of_group(Group::Model, false))),
        }
    }

    /// The grant of a matching rule on a port.
    pub(crate) fn grant(&self, rule: &Rule, to: &Destination, port: u16) -> Option<Grant> {
        let web = |is_tls| {
            if is_tls { if rule.inspect { Check::Inspected } else { Check::Tls } } else { Check::Http }
        };
        let text = format!("allow {rule}");
        let granted = |check, access, private| {
            Some(Grant { check, access, private, is_named: true, guarded: Vec::new(), rule: text.clone() })
        };
        match (rule.ports, &rule.host, port) {
            (_, Host::Group { group, write }, _) => {
                let is_it = |origin: &&Origin| matches!(to, Destination::Name(name) if *name == origin.host);
                let origin = self.groups.of(*group).filter(is_it).find(|origin| origin.port == port)?;
                let access = if *write { Access::Full } else { Access::Read(*group) };
                let check = if origin.tls { Check::Inspected } else { Check::Http };
                granted(check, access, origin.private)
            }
            (Ports::One(one), _, _) if one == port => {
                let check = if rule.inspect { Check::Inspected } else { Check::Nothing };
                granted(check, Access::Full, rule.private)
            }
            (Ports::Web, Host::Network(_), 80 | 443) => granted(Check::Nothing, Access::Full, rule.private),
            (Ports::Web, Host::Name(_), 80 | 443) => granted(web(port == 443), Access::Full, rule.private),
            _ => None,
        }
    }

    /// The names whose TLS is inspected.
    pub fn inspected(&self) -> Vec<NamePattern> {
        let mut names = Vec::new();
        for rule in &self.allow {
            match &rule.host {
                Host::Name(pattern) if rule.inspect => names.push(pattern.clone()),
                Host::Group { group, .. } => {
                    let origins = self.groups.of(*group).filter(|origin| origin.tls);
                    names.extend(origins.map(|origin| NamePattern::exact(origin.host.clone())));
                }
                _ => {}
            }
        }
        names.sort();
        names.dedup();
        names
    }

    /// Whether a list would need a rule for this grant.
    pub(crate) fn learns(&self, grant: &Grant) -> bool {
        self.mode == Mode::Learn && grant.rule == format!("mode {}", self.mode)
    }

    fn covers(&self, rule: &Rule, name: &HostName) -> bool {
        match &rule.host {
            Host::Name(pattern) => pattern.covers(name),
            Host::Group { group, .. } => self.groups.of(*group).any(|origin| origin.host == *name),
            Host::Network(_) => false,
        }
    }

    fn is_about(&self, rule: &Rule, to: &Destination, denies: bool) -> bool {
        match (&rule.host, to) {
            (Host::Name(pattern), Destination::Name(name)) if !denies => pattern.matches(name),
            (Host::Network(network), Destination::Address(address)) => network.contains(*address),
            (_, Destination::Name(name)) => self.covers(rule, name),
            _ => false,
        }
    }

    fn refusal(&self, would: Rule) -> Refusal {
        let rule = match self.mode {
            Mode::Offline => "mode offline".to_owned(),
            mode => format!("mode {mode}: no rule allows it"),
        };
        // No rule helps an offline sandbox.
        Refusal { rule, allow: (self.mode != Mode::Offline).then_some(would) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mode: Mode, allow: &[&str], deny: &[&str]) -> Policy {
        let rules = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        Policy { mode, allow: rules(allow), deny: rules(deny), ..Policy::default() }
    }

    fn name(text: &str) -> Destination {
        Destination::Name(text.parse().unwrap())
    }

    fn address(text: &str) -> Destination {
        Destination::Address(text.parse().unwrap())
    }

    #[test]
    fn an_empty_list_allows_nothing() {
        let policy = Policy::default();
        assert_eq!(policy.mode, Mode::Restricted);
        for to in [name("example.com"), address("1.1.1.1"), address("127.0.0.1")] {
            for port in [22, 53, 80, 443] {
                assert!(policy.connect(&to, port).is_err(), "{to} {port}");
            }
        }
        assert!(policy.resolve(&"example.com".parse().unwrap()).is_err());
    }

    #[test]
    fn a_bare_name_allows_tls_on_443_and_http_on_80_only() {
        let policy = policy(Mode::Restricted, &["example.com"], &[]);
        let check = |port| policy.connect(&name("example.com"), port).map(|grant| grant.check);
        assert_eq!((check(443), check(80)), (Ok(Check::Tls), Ok(Check::Http)));
        let refusal = check(22).unwrap_err();
        assert_eq!(refusal.rule, "mode restricted: no rule allows it");
        assert_eq!(refusal.allow.unwrap().to_string(), "example.com:22/tcp");
        assert!(policy.connect(&name("a.example.com"), 443).is_err());
        assert!(policy.connect(&address("1.1.1.1"), 443).is_err());
    }

    #[test]
    fn deny_wins_in_every_mode() {
        for mode in Mode::ALL {
            let policy = policy(mode, &["*.example.com", "a.example.com:22/tcp"], &["a.example.com"]);
            for port in [22, 80, 443, 9] {
                let refusal = policy.connect(&name("a.example.com"), port).unwrap_err();
                assert_eq!((refusal.rule.as_str(), refusal.allow), ("deny a.example.com", None));
            }
            assert!(policy.resolve(&"a.example.com".parse().unwrap()).is_err());
        }
    }

    #[test]
    fn a_denied_group_denies_all_of_its_hosts() {
        let mut policy = policy(Mode::Open, &["npm.example", "npm"], &["npm"]);
        policy.groups.set(Group::Npm, Origin::of_url("https://npm.example:8443/", true));
        for port in [22, 443, 8443] {
            assert_eq!(policy.connect(&name("npm.example"), port).unwrap_err().rule, "deny npm");
        }
        assert!(policy.resolve(&"npm.example".parse().unwrap()).is_err());
    }

    #[test]
    fn a_denied_port_leaves_the_others_open() {
        let policy = policy(Mode::Open, &[], &["example.com:25/tcp"]);
        assert!(policy.connect(&name("example.com"), 25).is_err());
        assert!(policy.connect(&name("example.com"), 443).is_ok());
        assert!(policy.resolve(&"example.com".parse().unwrap()).is_ok());
    }

    #[test]
    fn offline_overrides_every_allowed_rule() {
        let policy = policy(Mode::Offline, &["example.com", "1.1.1.1:53/tcp"], &[]);
        assert_eq!(policy.connect(&name("example.com"), 443).unwrap_err().rule, "mode offline");
        assert!(policy.connect(&address("1.1.1.1"), 53).is_err());
        assert!(policy.resolve(&"example.com".parse().unwrap()).is_err());
    }

    #[test]
    fn only_a_rule_opens_private_addresses() {
        let policy = policy(Mode::Open, &["127.0.0.1:8080/tcp,private", "db.example:5432/tcp,private"], &[]);
        assert!(policy.connect(&address("127.0.0.1"), 8080).unwrap().private);
        assert!(!policy.connect(&address("127.0.0.1"), 8081).unwrap().private);
        assert!(policy.connect(&name("db.example"), 5432).unwrap().private);
        assert!(!policy.connect(&name("db.example"), 443).unwrap().private);
    }
}
