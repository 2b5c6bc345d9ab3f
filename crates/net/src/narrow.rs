//! Decides whether a rule stays within what a policy already allows.

use crate::access::Access;
use crate::name::{HostName, NamePattern};
use crate::policy::{Check, Destination, Grant, Mode, Policy};
use crate::rule::{Host, Ports, Rule};

/// A label that represents any name below a wildcard. No rule is about a name with it.
const ANY: &str = "any-name-below-a-wildcard";

impl Policy {
    /// Whether this rule, in place of the others or in addition, allows nothing that the policy does not allow as
    /// freely. The hosts of groups must be known. An offline policy is judged by its rules.
    pub fn includes(&self, rule: &Rule) -> bool {
        let mode = if self.mode == Mode::Offline { Mode::Restricted } else { self.mode };
        let policy = Self { mode, ..self.clone() };
        match &rule.host {
            // A group also allows more than its hosts: the model is served, and hosts may be private.
            Host::Group { group, write } => {
                let has = |write| policy.allow.contains(&Rule::of_group(*group, write));
                (has(true) || (!write && has(false)))
                    && policy
                        .groups
                        .of(*group)
                        .all(|origin| policy.already_grants(rule, &origin.host, origin.port))
            }
            Host::Network(_) => policy.allow.contains(rule) || (policy.mode.is_public() && !rule.private),
            Host::Name(pattern) => {
                let ports = match rule.ports {
                    Ports::Web => vec![80, 443],
                    Ports::One(port) => vec![port],
                };
                let holds =
                    |name: &HostName| ports.iter().all(|port| policy.already_grants(rule, name, *port));
                sample(pattern).is_some_and(|name| holds(&name))
                    && policy.samples().filter(|name| pattern.matches(name)).all(|name| holds(&name))
            }
        }
    }

    /// Whether the policy already grants what the rule grants there, or denies it regardless of the rules that allow.
    fn already_grants(&self, rule: &Rule, name: &HostName, port: u16) -> bool {
        let to = Destination::Name(name.clone());
        let Some(wanted) = self.grant(rule, &to, port) else { return true };
        match self.connect(&to, port) {
            Ok(has) => is_within(&wanted, &has),
            Err(refusal) => refusal.allow.is_none(),
        }
    }

    /// One name for each set of names that the rules distinguish.
    fn samples(&self) -> impl Iterator<Item = HostName> {
        let named = self.allow.iter().filter_map(|rule| match &rule.host {
            Host::Name(pattern) => sample(pattern),
            _ => None,
        });
        let origins = self.groups.known().flat_map(|group| self.groups.of(group));
        named.chain(origins.map(|origin| origin.host.clone()))
    }
}

/// A name that a pattern matches; nothing if its domain is too long for one.
fn sample(pattern: &NamePattern) -> Option<HostName> {
    let name = pattern.name();
    if pattern.is_wildcard() { format!("{ANY}.{name}").parse().ok() } else { Some(name.clone()) }
}

fn is_within(wanted: &Grant, has: &Grant) -> bool {
    let strictness = |check| match check {
        Check::Inspected => 0,
        Check::Tls | Check::Http => 1,
        Check::Nothing => 2,
    };
    (wanted.check == has.check || strictness(wanted.check) < strictness(has.check))
        && (wanted.access == has.access || has.access == Access::Full)
        && (has.private || !wanted.private)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::{Group, Origin};

    fn policy(mode: Mode, allow: &[&str]) -> Policy {
        let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
        let mut policy = Policy { mode, allow, ..Policy::default() };
        policy.groups.set(Group::Npm, Origin::of_url("https://npm.example/", true));
        policy
    }

    fn includes(mode: Mode, allow: &[&str], rule: &str) -> bool {
        policy(mode, allow).includes(&rule.parse().unwrap())
    }

    #[test]
    fn a_list_includes_its_rules_and_subdomains() {
        let list = ["*.a.example", "b.example,inspect", "c.example:22/tcp", "192.0.43.7", "npm"];
        for rule in list.into_iter().chain(["x.a.example", "x.a.example,inspect", "*.x.a.example"]) {
            assert!(includes(Mode::Restricted, &list, rule), "{rule}");
            assert!(includes(Mode::Offline, &list, rule), "{rule}");
        }
        for rule in [
            "a.example",
            "x.a.example:22/tcp",
            "x.a.example:443/tcp",
            "x.a.example,private",
            "b.example",
            "c.example",
            "192.0.43.8",
            "npm:write",
            "npm.example",
            "git",
        ] {
            assert!(!includes(Mode::Restricted, &list, rule), "{rule}");
        }
    }

    #[test]
    fn an_open_policy_includes_public_rules_with_equal_inspection_and_no_groups() {
        let list = ["b.example,inspect", "*.c.example", "npm"];
        for rule in ["a.example", "a.example:22/tcp", "*.a.example", "192.0.43.8", "b.example,inspect", "npm"]
        {
            assert!(includes(Mode::Open, &list, rule), "{rule}");
        }
        for rule in [
            "b.example",
            "b.example:443/tcp",
            "*.example",
            "x.c.example:443/tcp",
            "npm.example,inspect",
            "a.example,private",
            "10.0.0.7,private",
            "model",
            "git",
            "npm:write",
        ] {
            for mode in [Mode::Learn, Mode::Open] {
                assert!(!includes(mode, &list, rule), "{mode} {rule}");
            }
        }
    }

    #[test]
    fn denied_rules_stay_denied_whatever_is_included() {
        let policy = Policy { deny: vec!["a.example".parse().unwrap()], ..policy(Mode::Restricted, &[]) };
        assert!(policy.includes(&"a.example".parse().unwrap()));
        assert!(!policy.includes(&"*.example".parse().unwrap()));
    }
}
